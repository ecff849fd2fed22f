"""How each kind of fault is made, and what it excuses the answers that it hits from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from tests.chaos.oracle import LEASE, Tracked
from tests.chaos.plan import Fault
from tests.chaos.world import Node

if TYPE_CHECKING:
    from tests.chaos.storm import Storm

__all__ = ("strike",)

#: Seconds to breathe after a fault that stops a process' beat: several must not add up to a lease.
BREATH = 1.5
BREAKS = (
    "fault=rst@{}",
    "fault=eof@{}",
    "fault=error@{}",
    "fault=badjson@{}",
    "fault=nofinish",
    "fault=rst@0",
)
ODD = ("fault=crlf", "fault=comments", "fault=slowbytes", "fault=nospace", "fault=pings", "fault=reasoning@5")

Strike = Callable[["Storm", Fault], Awaitable[None]]
_STRIKES: dict[str, Strike] = {}


async def strike(storm: Storm, fault: Fault) -> None:
    """Inject one fault; returns when it is over."""
    await _STRIKES[fault.kind](storm, fault)


def kind(name: str) -> Callable[[Strike], Strike]:
    def register(function: Strike) -> Strike:
        _STRIKES[name] = function
        return function

    return register


def some_node(storm: Storm, fault: Fault) -> Node:
    nodes = list(storm.world.nodes.values())
    return nodes[fault.pick(len(nodes))]


def some_web(storm: Storm, fault: Fault) -> Node:
    return storm.world.webs[fault.pick(len(storm.world.webs))]


def everybody(storm: Storm) -> list[Tracked]:
    return list(storm.running.values())


def owned(storm: Storm, node: Node) -> list[Tracked]:
    """The answers that a process writes, or may be about to claim."""
    return [a for a in everybody(storm) if storm.world.owner(a) in (node, None)]


def shake(storm: Storm, answers: Iterable[Tracked]) -> None:
    """Their owner is taken from them: text is kept, and nothing shown yet is asked again."""
    storm.shaken_at = time.monotonic()
    for answer in answers:
        answer.terms.excuse("interrupted", calls=1)
        answer.shaken_at = time.monotonic()


@kind("viewer hangs up")
async def _(storm: Storm, fault: Fault) -> None:
    if answers := everybody(storm):
        answer = answers[fault.pick(len(answers))]
        storm.note(fault.kind, answer)
        answer.viewers[int(fault.strength * len(answer.viewers))].hang_up()


@kind("browser–web connections cut")
async def _(storm: Storm, fault: Fault) -> None:
    web = some_web(storm, fault)
    assert web.front is not None
    storm.note(fault.kind, *everybody(storm))
    web.front.cut_all(reset=fault.strength < 0.5)


@kind("web–browser response cut after n bytes")
async def _(storm: Storm, fault: Fault) -> None:
    web = some_web(storm, fault)
    assert web.front is not None
    web.front.cut_after(int(fault.between(1, 2500)), reset=fault.strength < 0.5, path_contains="/events")
    if answers := everybody(storm):
        answer = answers[fault.pick(len(answers))]
        storm.note(fault.kind, answer)
        for viewer in answer.viewers:
            viewer.hang_up()


@kind("502 or 503 to reconnects")
async def _(storm: Storm, fault: Fault) -> None:
    web = some_web(storm, fault)
    assert web.front is not None
    web.front.answer(
        502 if fault.strength < 0.5 else 503, times=int(fault.between(1, 12)), path_contains="/events"
    )
    storm.note(fault.kind, *everybody(storm))
    web.front.cut_all()


@kind("browser–web black hole")
async def _(storm: Storm, fault: Fault) -> None:
    web = some_web(storm, fault)
    assert web.front is not None
    storm.note(fault.kind, *everybody(storm))
    web.front.blackhole()
    await asyncio.sleep(fault.between(0.2, 2))
    web.front.heal()


@kind("browser–web bytes one by one")
async def _(storm: Storm, fault: Fault) -> None:
    web = some_web(storm, fault)
    assert web.front is not None
    storm.note(fault.kind, *everybody(storm))
    web.front.split(1)
    await asyncio.sleep(fault.between(0.1, 0.5))
    web.front.heal()


@kind("process–Redis connections cut")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    assert node.storage is not None
    storm.note(fault.kind, *owned(storm, node))
    node.storage.cut_all(reset=fault.strength < 0.5)


@kind("Redis replies lost after the command")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    assert node.storage is not None
    storm.note(fault.kind, *owned(storm, node))
    node.storage.swallow += int(fault.between(1, 4))


@kind("process–Redis black hole")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    assert node.storage is not None
    async with node.lock:
        storm.note(fault.kind, *owned(storm, node))
        node.storage.blackhole()
        await asyncio.sleep(fault.between(0.2, 1.5))
        node.storage.heal()
        await asyncio.sleep(BREATH)


@kind("process–Redis slow")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    assert node.storage is not None
    storm.note(fault.kind, *owned(storm, node))
    node.storage.delay(fault.between(0.02, 0.2))
    await asyncio.sleep(fault.between(0.2, 1.5))
    node.storage.heal()


@kind("worker–provider connections cut")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    assert node.model is not None
    answers = owned(storm, node)
    storm.note(fault.kind, *answers)
    for answer in answers:
        answer.terms.excuse("interrupted", "failed", calls=2)
    node.model.cut_all(reset=fault.strength < 0.5)


@kind("provider breaks off")
async def _(storm: Storm, fault: Fault) -> None:
    words = BREAKS[fault.pick(len(BREAKS))].format(int(fault.between(1, 60)))
    storm.scripted.append((fault.kind, words))


@kind("provider refuses at first")
async def _(storm: Storm, fault: Fault) -> None:
    status = (429, 500, 502, 503)[fault.pick(4)]
    storm.scripted.append((fault.kind, f"status={status} times=1 retry_after=0.1"))


@kind("provider sends odd bytes")
async def _(storm: Storm, fault: Fault) -> None:
    storm.scripted.append((fault.kind, ODD[fault.pick(len(ODD))]))


@kind("provider slow to begin")
async def _(storm: Storm, fault: Fault) -> None:
    storm.scripted.append((fault.kind, f"first={fault.between(1, 5):.1f}"))


@kind("Redis paused")
async def _(storm: Storm, fault: Fault) -> None:
    async with storm.redis_lock:
        storm.note(fault.kind, *everybody(storm))
        storm.world.storage.pause()
        await asyncio.sleep(fault.between(0.1, 1.5))
        storm.world.storage.resume()
        await asyncio.sleep(BREATH)


@kind("Redis scripts flushed")
async def _(storm: Storm, fault: Fault) -> None:
    storm.note(fault.kind, *everybody(storm))
    async with storm.redis_lock:
        await storm.world.redis.script_flush()


@kind("Redis killed")
async def _(storm: Storm, fault: Fault) -> None:
    async with storm.redis_lock:
        storm.note(fault.kind, *everybody(storm))
        storm.world.storage.kill()
        await asyncio.sleep(fault.between(0, 1.5))
        await asyncio.to_thread(storm.world.storage.start)
        await asyncio.sleep(BREATH)


@kind("Redis tail lost")
async def _(storm: Storm, fault: Fault) -> None:
    async with storm.redis_lock:
        marked_at, mark = time.monotonic(), storm.world.storage.mark()
        await asyncio.sleep(fault.between(0.1, 1.0))
        storm.note(fault.kind, *everybody(storm))
        await asyncio.to_thread(storm.world.storage.truncate_to, mark)
        storm.losses.append((marked_at, time.monotonic()))
        forgotten(storm, everybody(storm), marked_at)
        await asyncio.sleep(BREATH)


def forgotten(storm: Storm, answers: Iterable[Tracked], marked_at: float) -> None:
    """Excuse answers from what Redis confirmed after the mark and has forgotten."""
    for answer in answers:
        # A viewer ahead of the log is told so where its worker does not send again within two seconds.
        answer.terms.excuse(resets=100)
        # Redis writes up to two seconds later what it has confirmed, where the disk is slow.
        if answer.begun_at > marked_at - 3:
            answer.terms.may_vanish = True
        if max(answer.begun_at, answer.shaken_at) > marked_at - LEASE - 3:
            # The claim may be among it: its text goes with it, or its owner.
            answer.terms.excuse("interrupted", calls=1)
        if any(call.finished for call in storm.world.oracle.calls(answer)):
            # The end may be among it, and workers do not keep what is confirmed to the end.
            answer.terms.excuse("interrupted")
        if "stopped" in answer.terms.statuses or answer.ended_at or any(v.end for v in answer.viewers):
            answer.terms.excuse("interrupted")
            answer.terms.may_reopen = True


@kind("process paused")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    async with node.lock:
        storm.note(fault.kind, *owned(storm, node))
        node.freeze()
        await asyncio.sleep(fault.between(0.1, 2.5))
        node.thaw()
        await asyncio.sleep(BREATH)


@kind("process paused beyond the lease")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    async with node.lock:
        answers = owned(storm, node)
        storm.note(fault.kind, *answers)
        shake(storm, answers)
        storm.world.oracle.frozen.add(node.key)
        node.freeze()
        await asyncio.sleep(LEASE + fault.between(1, 3))
        # Whatever it claimed at the last moment.
        shake(storm, owned(storm, node))
        node.thaw()
        await asyncio.sleep(BREATH)
        storm.world.oracle.frozen.discard(node.key)


@kind("process killed")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    async with node.lock:
        answers = owned(storm, node)
        storm.note(fault.kind, *answers)
        node.kill()
        shake(storm, answers)
        await asyncio.sleep(fault.between(0, 1.0))
        await node.restart()


@kind("process terminated")
async def _(storm: Storm, fault: Fault) -> None:
    node = some_node(storm, fault)
    async with node.lock:
        answers = owned(storm, node)
        storm.note(fault.kind, *answers)
        shake(storm, answers)
        code = await node.terminate()
        shake(storm, (a for a in owned(storm, node) if a not in answers))
        if code != 0:
            storm.find(f"{node.name} ended with {code} at SIGTERM:\n{node.process.log[-1500:]}")
        await node.restart()


@kind("answer stopped by its owner")
async def _(storm: Storm, fault: Fault) -> None:
    if answers := everybody(storm):
        answer = answers[fault.pick(len(answers))]
        storm.note(fault.kind, answer)
        answer.terms.excuse("stopped")
        await storm.world.stop(answer)
