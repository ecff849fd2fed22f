"""F27, F28: a replica that is behind takes over, or does not know yet that it should."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from tests.chaos.storage import Storage, connected
from tests.chaos.tracked import Tracked
from tests.chaos.world import World
from tests.support.proxy import FaultProxy

HOOKS = "tests.chaos.hooks"


async def running(world: World, script: str, characters: int = 150, **options: Any) -> Tracked:
    answer = await world.ask(script, **options)
    await world.grown(answer, characters)
    return answer


async def replica_of(stack: AsyncExitStack, made: World) -> tuple[Storage, FaultProxy]:
    """A replica, and the way over which it follows."""
    way = await stack.enter_async_context(FaultProxy("127.0.0.1", made.storage.port, http=False))
    options = ["--replicaof", f"127.0.0.1 {way.port}", "--repl-diskless-sync-delay", "0"]
    replica = await stack.enter_async_context(Storage(options=options))
    own = await stack.enter_async_context(connected(replica))
    deadline = time.monotonic() + 10
    # By its own word: the other end calls it online as soon as it has sent everything, loaded or not.
    while (await own.info("replication"))["master_link_status"] != "up":
        assert time.monotonic() < deadline, replica.log
        await asyncio.sleep(0.05)
    return replica, way


async def test_f27_failover_to_a_stale_replica(split: World) -> None:
    async with AsyncExitStack() as stack:
        replica, way = await replica_of(stack, split)
        answer = await running(split, "n=5000 rate=50 seed=221", viewers=3)
        await split.grown(answer, answer.grown + 100)
        way.blackhole()
        await split.grown(answer, answer.grown + 300)
        await split.fail_over(stack, replica)
        await split.redis.execute_command("REPLICAOF", "NO", "ONE")
        await split.grown(answer, answer.grown + 500)
        split.provider.hurry()
        await split.check()
        assert len(split.oracle.calls(answer)) == 1


async def test_f28_read_only_after_failover(split: World) -> None:
    async with AsyncExitStack() as stack:
        replica, way = await replica_of(stack, split)
        answer = await running(split, "n=7000 rate=50 seed=222")
        await split.grown(answer, answer.grown + 100)
        way.blackhole()
        await split.fail_over(stack, replica)
        response = await split.request("POST", "/api/chats", json={"prompt": f"n=1 {split.word}"})
        assert response.status_code == 503
        await asyncio.sleep(3)
        await split.redis.execute_command("REPLICAOF", "NO", "ONE")
        promoted, shown = time.monotonic(), answer.grown
        await split.grown(answer, shown + 1, within=10)
        assert time.monotonic() - promoted < 10
        await split.grown(answer, answer.grown + 500)
        split.provider.hurry()
        await split.check()
        assert len(split.oracle.calls(answer)) == 1
