"""F23–F25, F30, F31, F68: Redis is full, evicts, counts its clients, or tells another time."""

from __future__ import annotations

import asyncio
import resource
import time
from signal import SIGUSR1
from typing import Any

import pytest

from tests.chaos.oracle import LEASE
from tests.chaos.tracked import Tracked
from tests.chaos.world import World, world

HOOKS = "tests.chaos.hooks"


async def running(world: World, script: str, characters: int = 150, **options: Any) -> Tracked:
    answer = await world.ask(script, **options)
    await world.grown(answer, characters)
    return answer


async def limit(made: World, room: int) -> None:
    used = (await made.redis.info("memory"))["used_memory"]
    await made.redis.config_set("maxmemory", used + room)


@pytest.mark.parametrize("seconds", [4, 15], ids=["short", "longer_than_the_lease"])
async def test_f23_redis_out_of_memory(split: World, seconds: int) -> None:
    answer = await running(split, "n=20000 rate=3000 seed=216")
    if seconds > LEASE:
        answer.terms.excuse("interrupted", calls=1)
    await limit(split, 20_000)
    deadline = time.monotonic() + 10
    while (
        await split.request("POST", "/api/chats", json={"prompt": f"n=1 {split.word}"})
    ).status_code != 503:
        assert time.monotonic() < deadline, "Redis never filled up"
    response = await split.request("GET", answer.path)
    assert response.status_code == 200, "readers still read"
    assert answer.text.startswith(response.json()["text"])
    await asyncio.sleep(seconds)
    await split.redis.config_set("maxmemory", 0)
    await split.check()
    await split.check(await split.ask("n=10 seed=217"))


async def test_f24_wrong_eviction_policy_is_said() -> None:
    async with world(["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]) as made:
        web = await made.web("web", ready=False)
        deadline = time.monotonic() + 20
        while "allkeys-lru" not in web.process.log:
            assert time.monotonic() < deadline, f"no word of the eviction policy:\n{web.process.log}"
            await asyncio.sleep(0.1)


async def test_f24_an_evicted_log_is_not_made_anew(split: World) -> None:
    answer = await running(split, "n=2000 rate=50 seed=218")
    answer.terms.excuse("interrupted", resets=1)
    await split.redis.delete(answer.log_key)
    saved = await split.oracle.ended(answer, within=LEASE + 3)
    assert saved.outcome is not None
    assert saved.outcome["error"]["code"] == "log_lost"
    assert not await split.redis.exists(answer.log_key)
    await split.check()


async def test_f24_an_evicted_generation_ends_with_the_text_of_its_log(split: World) -> None:
    answer = await running(split, "n=2000 rate=50 seed=232")
    answer.terms.excuse("interrupted")
    await split.redis.delete(answer.generation_key)
    saved = await split.oracle.ended(answer, within=LEASE + 5)
    assert saved.outcome is not None
    assert saved.outcome["error"]["code"] == "log_lost"
    await split.check()
    assert len(saved.text) >= 150
    # And the chat is free again.
    again = await split.ask("n=10 seed=233", chat_id=answer.chat_id)
    await split.check(again)


async def test_f25_a_bounded_number_of_connections(empty: World) -> None:
    await empty.web("web", front=False, direct=True)
    await empty.redis.config_set("maxclients", 20)
    answer = await empty.ask("n=100 rate=20 seed=219", viewers=200)
    most = 0
    while answer.viewers[-1].end is None:
        most = max(most, len(await empty.redis.client_list()))
        await asyncio.sleep(0.2)
    await empty.check()
    assert most <= 6 + 4
    assert not any(viewer.refusals for viewer in answer.viewers)


async def shift(made: World, answer: Tracked, milliseconds: int) -> None:
    """Move the stored times: for Redis the same as if its clock had jumped the other way."""
    async with made.redis.pipeline(transaction=True) as pipe:
        pipe.hincrby(answer.generation_key, "lease", milliseconds)
        pipe.zincrby("generations:due", milliseconds, f"{answer.chat_id} {answer.message_id}")
        await pipe.execute()


async def test_f30_redis_clock_jumps_forward(split: World) -> None:
    """Leases seem to have run out an hour ago: somebody may take over, and it is safe."""
    answer = await running(split, "n=400 rate=50 seed=224")
    answer.terms.excuse("interrupted", calls=1)
    await shift(split, answer, -3_600_000)
    await split.check()


async def test_f30_redis_clock_jumps_back(empty: World) -> None:
    """The last fence is an hour ahead of the clock, and ids still rise."""
    await empty.web("web", inline=False)
    answer = await empty.ask("n=40 rate=50 seed=225")
    ahead = int((await empty.generation(answer))["fence"]) + 3_600_000
    # At once: an answer without a log is another matter.
    async with empty.redis.pipeline(transaction=True) as pipe:
        pipe.hset(answer.generation_key, "fence", ahead)
        pipe.delete(answer.log_key)
        pipe.xadd(answer.log_key, {"t": "o", "d": ""}, id=f"{ahead}-0")
        await pipe.execute()
    await empty.worker("one")
    await empty.check()
    assert int((await empty.generation(answer))["fence"]) == ahead + 1


async def test_f30_worker_dies_after_the_clock_jumped_back(split: World) -> None:
    answer = await running(split, "n=2000 rate=50 seed=226")
    answer.terms.excuse("interrupted")
    owner = split.owner(answer)
    assert owner is not None
    owner.kill()
    await shift(split, answer, 3_600_000)
    await split.check(within=2 * LEASE + 10)


async def test_f31_host_clock_jumps(empty: World) -> None:
    for name in ("web", "one"):
        add = empty.web if name == "web" else empty.worker
        options = {"inline": False} if name == "web" else {}
        await add(name, module=HOOKS, env={"CHAOS_TRAP": "clock"}, **options)
    await empty.worker("two")
    answer = await running(empty, "n=4000 rate=50 seed=227")
    fence = (await empty.generation(answer))["fence"]
    for _ in range(3):
        for name in ("web", "one"):
            empty[name].process.signal(SIGUSR1)
        await asyncio.sleep(1)
    empty.provider.hurry()
    await empty.check()
    assert (await empty.generation(answer))["fence"] == fence
    assert len(empty.oracle.calls(answer)) == 1


async def test_f68_disk_full(split: World) -> None:
    answer = await running(split, "n=6000 rate=60 seed=228")
    pid = split.storage.pid
    _, size = split.storage.mark()
    # As good as a full disk: no file may grow any more.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    deadline = time.monotonic() + 10
    while (
        await split.request("POST", "/api/chats", json={"prompt": f"n=1 {split.word}"})
    ).status_code != 503:
        assert time.monotonic() < deadline, "Redis writes on"
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    split.provider.hurry()
    await split.check()
    assert len(split.oracle.calls(answer)) == 1
    assert split.storage.mark()[1] > size
