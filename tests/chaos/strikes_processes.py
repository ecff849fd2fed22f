"""Faults of Redis and of the program's processes, and an owner who stops an answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.chaos.oracle import LEASE
from tests.chaos.plan import Fault
from tests.chaos.strike import BREATH, everybody, forgotten, kind, owned, shake, some_node

if TYPE_CHECKING:
    from tests.chaos.storm import Storm

__all__ = ()


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
