"""F01–F11: the processes that generate die, sleep, or are deployed."""

from __future__ import annotations

import asyncio
import time
from signal import SIGUSR1

import pytest

from tests.chaos.node import Node
from tests.chaos.oracle import LEASE
from tests.chaos.tracked import Tracked
from tests.chaos.world import World

HOOKS = "tests.chaos.hooks"


async def owned(world: World, script: str, characters: int = 200) -> tuple[Tracked, Node]:
    """An answer that has got on so far, and who writes it."""
    answer = await world.ask(script)
    await world.called(answer)
    await world.grown(answer, characters)
    owner = world.owner(answer)
    assert owner is not None
    return answer, owner


async def test_f01_worker_dies_mid_answer(split: World) -> None:
    answer, owner = await owned(split, "n=4000 rate=50 seed=101", 600)
    neighbours = [await split.ask(f"n=60 rate=20 seed={seed}") for seed in (102, 103)]
    for neighbour in neighbours:
        await split.called(neighbour)
    died = time.monotonic()
    shown = answer.grown
    for hit in (answer, *(n for n in neighbours if split.owner(n) is owner)):
        hit.terms.excuse("interrupted", calls=1)
    owner.kill()
    await split.check(answer, within=LEASE + 3)
    assert time.monotonic() - died < LEASE + 3
    assert len(answer.viewers[0].text) >= shown, "text that was seen is gone"
    await split.check(*neighbours)


async def test_f01_worker_dies_before_the_first_word(split: World) -> None:
    """Nothing shown yet: it is simply asked again."""
    answer = await split.ask("n=40 rate=100 seed=104 fault=hold")
    await split.called(answer)
    answer.terms.excuse(calls=1)
    owner = split.owner(answer)
    assert owner is not None
    owner.kill()
    split.provider.release()
    await split.check(within=LEASE + 6)
    assert len(split.oracle.calls(answer)) == 2


async def test_f02_the_only_process_dies(single: World) -> None:
    answer, web = await owned(single, "n=400 rate=50 seed=105")
    shown = answer.grown
    answer.terms.excuse("interrupted")
    web.kill()
    await asyncio.sleep(3)
    await web.restart()
    await single.check(within=LEASE + 3)
    assert all(len(viewer.text) >= shown for viewer in answer.viewers)


async def test_f03_web_dies_and_workers_do_not_notice(split: World) -> None:
    answer, _ = await owned(split, "n=300 rate=60 seed=106 fault=stall@290")
    web = split["web"]
    web.kill()
    at_death = answer.grown
    await web.restart()
    split.provider.release()
    await split.check()
    assert at_death < len(answer.text)
    assert len(split.oracle.calls(answer)) == 1
    assert all(viewer.connections >= 2 for viewer in answer.viewers)


@pytest.mark.timeout(90)
async def test_f04_zombie_worker(split: World) -> None:
    answer, zombie = await owned(split, "n=2000 rate=50 seed=107")
    answer.terms.excuse("interrupted")
    zombie.freeze()
    saved = await split.oracle.ended(answer, within=LEASE + 3)
    entries = len(saved.log)
    await asyncio.sleep(3)
    [call] = split.oracle.calls(answer)
    assert not call.client_gone.is_set(), "frozen, it cannot have hung up"
    zombie.thaw()
    await asyncio.wait_for(call.client_gone.wait(), 2)
    await split.check()
    assert len((await split.oracle.read(answer)).log) == entries, "the zombie has written"


async def test_f05_a_pause_shorter_than_the_lease(split: World) -> None:
    answer, owner = await owned(split, "n=300 rate=60 seed=108")
    fence = (await split.generation(answer))["fence"]
    owner.freeze()
    await asyncio.sleep(6)
    owner.thaw()
    await split.check()
    assert (await split.generation(answer))["fence"] == fence
    assert (await split.oracle.read(answer)).claims == 1


async def blocked(world: World) -> Node:
    await world.web("web", inline=False)
    await world.worker("one", module=HOOKS, env={"CHAOS_TRAP": "block"})
    answer, owner = await owned(world, "n=2000 rate=50 seed=109")
    await world.worker("two")
    answer.terms.excuse("interrupted")
    # Until it wakes up it cannot hang up.
    world.oracle.frozen.add(owner.key)
    owner.process.signal(SIGUSR1)
    await world.oracle.ended(answer, within=LEASE + 5)
    while "the trap lets go" not in owner.process.log:
        await asyncio.sleep(0.05)
    world.oracle.frozen.discard(owner.key)
    await world.check(within=LEASE + 5)
    return owner


@pytest.mark.timeout(90)
async def test_f06_event_loop_blocked(empty: World) -> None:
    owner = await blocked(empty)
    again = await empty.ask("n=20 seed=110")
    await empty.check(again)
    assert owner.process.log.count("Traceback") == 0


@pytest.mark.timeout(90)
async def test_f06_a_blocked_loop_is_logged(empty: World) -> None:
    owner = await blocked(empty)
    deadline = time.monotonic() + 6
    while "loop" not in owner.process.log:
        assert time.monotonic() < deadline, f"no word of the blocked loop:\n{owner.process.log}"
        await asyncio.sleep(0.1)


async def test_f07_deploy_with_a_short_answer(split: World) -> None:
    answer, owner = await owned(split, "n=100 rate=50 seed=111 fault=stall@95", 500)
    owner.term()
    # Longer than it waits for answers that go on elsewhere unharmed.
    await asyncio.sleep(3)
    split.provider.release()
    assert await owner.process.exited(20) == 0
    await split.check()
    assert (await split.oracle.read(answer)).claims == 1


@pytest.mark.parametrize("twice", [False, True], ids=["f08", "f09_twice"])
async def test_f08_deploy_with_a_long_answer(split: World, twice: bool) -> None:
    answer, owner = await owned(split, "n=9000 rate=50 seed=112", 300)
    shown = answer.grown
    answer.terms.excuse("interrupted")
    began = time.monotonic()
    owner.term()
    if twice:
        await asyncio.sleep(0.3)
        owner.term()
    code = await owner.process.exited(30)
    assert code == 0
    gone = time.monotonic()
    assert gone - began < 30
    await split.oracle.ended(answer, within=5)
    assert time.monotonic() - gone < 2, "the next worker has waited for the lease"
    await split.check()
    assert len(answer.viewers[0].text) >= shown
    assert "Traceback" not in owner.process.log


async def test_f08_an_answer_without_text_is_handed_over_at_once(split: World) -> None:
    answer = await split.ask("n=30 rate=100 seed=113 fault=hold")
    await split.called(answer)
    answer.terms.excuse(calls=1)
    owner = split.owner(answer)
    assert owner is not None
    assert await owner.terminate() == 0
    gone = time.monotonic()
    await split.called(answer, 2, within=2)
    assert time.monotonic() - gone < 2
    split.provider.release()
    await split.check()


async def test_f10_sigterm_with_idle_viewers(split: World) -> None:
    """Of an answer that somebody else writes: nothing keeps this process."""
    answer = await split.ask("n=10 seed=114 fault=stall@5", viewers=50)
    await split.grown(answer)
    web = split["web"]
    began = time.monotonic()
    assert await web.terminate() == 0
    assert time.monotonic() - began < 5
    await web.restart()
    split.provider.release()
    await split.check()
    assert "Traceback" not in web.process.log


async def test_f11_deploys_do_not_use_up_the_attempts(single: World) -> None:
    """A model that thinks for a minute meets more than three deploys before its first word."""
    answer = await single.ask("n=30 rate=100 seed=115 fault=hold")
    web = single["web"]
    for number in range(1, 6):
        await single.called(answer, number)
        assert await web.terminate() == 0
        answer.terms.excuse(calls=1)
        await web.restart()
    await single.called(answer, 6)
    single.provider.release()
    await single.check()
