"""F16–F22, F26, F29: Redis dies, forgets, slows down, or loses replies."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
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


async def unsynced_copy(world: World) -> Path:
    """Copy the data; Redis syncs nothing from then on, so that no confirmed write is among what gets lost."""
    await world.redis.config_set("appendfsync", "no")
    return world.storage.copy()


async def test_f16_redis_restarts(split: World) -> None:
    answer = await running(split, "n=4000 rate=50 seed=201")
    split.storage.kill()
    await asyncio.sleep(3)
    await asyncio.to_thread(split.storage.start)
    await split.grown(answer, answer.grown + 500)
    split.provider.hurry()
    await split.check()
    assert len(split.oracle.calls(answer)) == 1
    assert (await split.oracle.read(answer)).claims == 1


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_f21_away_for_longer_than_the_lease(split: World, how: str) -> None:
    """Nobody could renew a lease meanwhile, so who lives goes on: nothing is asked twice or interrupted."""
    answers = [await running(split, f"n=4000 rate=40 seed={seed}") for seed in (234, 235, 236)]
    if how == "killed":
        split.storage.kill()
    else:
        split.storage.pause()
    await asyncio.sleep(LEASE + 3)
    if how == "killed":
        await asyncio.to_thread(split.storage.start)
    else:
        split.storage.resume()
    # The other worker has looked at them, more than once.
    await asyncio.sleep(6)
    split.provider.hurry()
    await split.check(within=40)
    for answer in answers:
        assert len(split.oracle.calls(answer)) == 1
        assert (await split.oracle.read(answer)).claims == 1


async def test_f17_redis_loses_the_tail(split: World) -> None:
    answer = await running(split, "n=4000 rate=60 seed=202", viewers=3)
    copy = split.storage.copy()
    kept = len((await split.oracle.read(answer)).log)
    # How many tokens one entry has is the worker's affair.
    while len((saved := await split.oracle.read(answer)).log) < kept + 50:
        await asyncio.sleep(0.05)
    await split.grown(answer, saved.logged)
    await asyncio.to_thread(split.storage.lose_tail, copy)
    split.view(answer)
    split.provider.hurry()
    await split.check()
    assert len(split.oracle.calls(answer)) == 1


async def test_f17_many_times(split: World) -> None:
    answer = await running(split, "n=6000 rate=60 seed=203", viewers=3)
    for _ in range(6):
        copy = split.storage.copy()
        await split.grown(answer, len(answer.viewers[0].text) + 250)
        await asyncio.to_thread(split.storage.lose_tail, copy)
    split.provider.hurry()
    await split.check()
    assert len(split.oracle.calls(answer)) == 1


async def test_f17_the_end_is_in_the_lost_tail(split: World) -> None:
    """The worker lives, so what it has written is not lost: also the last second before the end."""
    answer = await running(split, "n=100 rate=50 seed=204 fault=stall@50")
    copy = await unsynced_copy(split)
    split.provider.release()
    await split.oracle.ended(answer)
    await asyncio.wait([viewer.task for viewer in answer.viewers])
    await asyncio.to_thread(split.storage.lose_tail, copy)
    late = split.view(answer)
    await split.check(within=LEASE + 5)
    assert late.text == answer.text


async def test_f17_an_end_is_lost_before_it_is_struck_off(empty: World) -> None:
    await empty.web("web", inline=False)
    worker = await empty.worker("one")
    assert worker.storage is not None
    answer = await running(empty, "n=100 rate=30 seed=231 fault=stall@50")
    answer.terms.excuse("interrupted")
    answer.terms.may_reopen = True
    copy = await unsynced_copy(empty)
    worker.storage.delay(1.0)
    empty.provider.release()
    # The worker hears of the end a second later, when Redis does not know it any more.
    await empty.oracle.ended(answer)
    await asyncio.to_thread(empty.storage.lose_tail, copy)
    await asyncio.sleep(2)
    worker.storage.heal()
    await empty.check(within=LEASE + 5)


async def test_f17_the_beginning_is_in_the_lost_tail(split: World) -> None:
    """The web process lives, and begins again what Redis has forgotten; the same ids, another call."""
    first = await split.ask("n=3 seed=205")
    await split.check(first)
    copy = await unsynced_copy(split)
    answer = await running(split, "n=200 rate=50 seed=206 fault=stall@190")
    answer.terms.excuse(resets=1, calls=1)
    await asyncio.to_thread(split.storage.lose_tail, copy)
    split.provider.release()
    await split.check(answer, within=LEASE + 15)
    assert len(split.oracle.calls(answer)) == 2
    await split.check(await split.ask("n=10 seed=207"))


async def test_f18_tail_lost_and_worker_dead(split: World) -> None:
    answer = await running(split, "n=2000 rate=50 seed=208", viewers=3)
    answer.terms.excuse("interrupted", resets=1)
    copy = split.storage.copy()
    # Viewers may be behind what was copied.
    await split.grown(answer, (await split.oracle.read(answer)).logged + 300)
    owner = split.owner(answer)
    assert owner is not None
    owner.kill()
    await asyncio.to_thread(split.storage.lose_tail, copy)
    await split.check(within=LEASE + 5)
    assert all(viewer.resets == 1 for viewer in answer.viewers), "they had seen more than is left"


@pytest.mark.timeout(90)
@pytest.mark.parametrize("zombie", [False, True], ids=["owner_dead", "owner_wakes_up"])
async def test_f19_claim_lost_by_rollback(split: World, zombie: bool) -> None:
    answer = await split.ask("n=300 rate=50 seed=209 fault=hold")
    answer.terms.excuse(calls=2, resets=2)
    await split.called(answer)
    first = split.owner(answer)
    assert first is not None
    first.freeze()
    copy = split.storage.copy()
    await split.called(answer, 2, within=LEASE + 5)
    split.provider.release()
    await split.grown(answer, 300)
    if not zombie:
        first.kill()
    await asyncio.to_thread(split.storage.lose_tail, copy)
    if zombie:
        first.thaw()
    await split.check(within=LEASE + 15)


async def test_f20_redis_empty_after_restart(split: World) -> None:
    done = await split.ask("n=5 seed=210")
    await split.check(done)
    answer = await running(split, "n=2000 rate=50 seed=211")
    answer.terms.excuse("interrupted", resets=1)
    answer.terms.may_vanish = True
    # Until then the web process would begin it again: twice the 2.5 s of a server without WAITAOF.
    await asyncio.sleep(6)
    await asyncio.to_thread(split.storage.empty)
    await split.check(answer)
    for path in ("/", "/ready", "/api/chats/" + answer.chat_id, answer.path, f"/chats/{done.chat_id}"):
        assert (await split.persist("GET", path)).status_code in (200, 404), path
    again = await split.ask("n=20 seed=212")
    await split.check(again)


@pytest.mark.timeout(240)
async def test_f21_redis_down_for_a_minute(split: World) -> None:
    # So quick that the sockets between it and the worker are full within half a minute.
    answer = await running(split, "n=150000 rate=3000 seed=213")
    answer.terms.excuse("interrupted", calls=1)
    owner = split.owner(answer)
    assert owner is not None
    [call] = split.oracle.calls(answer)
    split.storage.kill()
    down = time.monotonic()
    await asyncio.sleep(3)
    memory = owner.memory
    for method, path in (("POST", "/api/chats"), ("GET", "/"), ("GET", answer.path), ("GET", "/ready")):
        response = await split.request(method, path, json={"prompt": f"n=1 {split.word}"})
        assert response.status_code == 503, path
        if path != "/ready":
            assert response.headers["Retry-After"], path
    # A megabyte that Redis has not confirmed, or ten seconds without it, and the provider is left waiting,
    # as soon as everything between them is full.
    sent = -1
    while call.sent != sent or time.monotonic() - down < 15:
        assert time.monotonic() - down < 45, "the provider is read on and on"
        sent = call.sent
        await asyncio.sleep(3)
    await asyncio.sleep(60 - (time.monotonic() - down))
    assert not call.finished, "the provider was not held back"
    assert call.sent == sent, "the provider is read on and on"
    assert owner.memory - memory < 64 << 20
    await asyncio.to_thread(split.storage.start)
    split.provider.hurry()
    # A megabyte in pieces of a few bytes takes its time on a busy machine.
    await split.check(within=120)
    await split.check(await split.ask("n=20 seed=214"))


@pytest.mark.parametrize("command", ["DEBUG SLEEP 3", "CLIENT PAUSE 3000"])
async def test_f22_redis_is_slow(command: str) -> None:
    async with world(["--enable-debug-command", "local"]) as made:
        await made.web("web", inline=False)
        await made.worker("one")
        await made.worker("two")
        answer = await running(made, "n=3000 rate=60 seed=215")
        fence = (await made.generation(answer))["fence"]
        for _ in range(2):
            await made.redis.execute_command(*command.split())
            await asyncio.sleep(1)
        made.provider.hurry()
        await made.check()
        assert (await made.generation(answer))["fence"] == fence
        assert len(made.oracle.calls(answer)) == 1


@pytest.mark.timeout(100)
async def test_f26_reply_lost_after_append(split: World) -> None:
    answer = await running(split, "n=6000 rate=60 seed=220", 50)
    owner = split.owner(answer)
    assert owner is not None
    assert owner.storage is not None
    owner.storage.swallow = 100
    deadline = time.monotonic() + 45
    while owner.storage.swallow:
        assert time.monotonic() < deadline, owner.storage.swallowed
        await asyncio.sleep(0.05)
    assert (await split.oracle.read(answer)).outcome is None, "the answer ended too early for this test"
    split.provider.hurry()
    await split.check(within=50)
    assert owner.storage.swallowed == 100
    assert len(split.oracle.calls(answer)) == 1


async def test_f26_reply_lost_after_begin(empty: World) -> None:
    """The question is saved and its hint is lost: only the due list tells of it."""
    web = await empty.web("web", inline=False)
    await empty.persist("GET", "/")
    assert web.storage is not None
    web.storage.handshake = 0
    for number in range(20):
        # The pool's connections stand; the next reply is the one to what begins the turn.
        await empty.persist("GET", "/ready")
        hints = await empty.redis.xlen("generations:wake")
        web.storage.swallow = 1
        answer = await empty.ask(f"n=10 seed={230 + number}", viewers=0)
        web.storage.swallow = 0
        if await empty.redis.xlen("generations:wake") == hints + 2:
            break
    else:
        raise AssertionError("the lost reply was never that of the question")
    empty.view(answer)
    await empty.redis.delete("generations:wake")
    await empty.worker("one")
    await empty.check(answer, within=15)


async def test_f16_redis_restarts_just_after_a_claim(empty: World) -> None:
    await empty.web("web", inline=False)
    worker = await empty.worker("one")
    assert worker.storage is not None
    worker.storage.delay(0.3)
    answer = await empty.ask("n=40 rate=40 seed=229")
    answer.terms.excuse(calls=1)
    while not (await empty.oracle.read(answer)).claims:
        await asyncio.sleep(0.005)
    empty.storage.kill()
    worker.storage.heal()
    await asyncio.sleep(3)
    await asyncio.to_thread(empty.storage.start)
    await empty.check(within=LEASE + 5)


async def test_f29_script_cache_flushed(split: World) -> None:
    answer = await running(split, "n=300 rate=60 seed=223")
    while answer.viewers[0].end is None:
        await split.redis.script_flush()
        await asyncio.sleep(0.1)
    await split.check()
    assert len(split.oracle.calls(answer)) == 1
