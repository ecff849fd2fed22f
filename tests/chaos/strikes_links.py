"""Faults of viewers, of the ways between processes, and of the provider."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.chaos.plan import Fault
from tests.chaos.strike import BREATH, everybody, kind, owned, some_node, some_web

if TYPE_CHECKING:
    from tests.chaos.storm import Storm

__all__ = ()

BREAKS = (
    "fault=rst@{}",
    "fault=eof@{}",
    "fault=error@{}",
    "fault=badjson@{}",
    "fault=nofinish",
    "fault=rst@0",
)
ODD = ("fault=crlf", "fault=comments", "fault=slowbytes", "fault=nospace", "fault=pings", "fault=reasoning@5")


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
