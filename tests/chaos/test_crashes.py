"""F12–F15, F69: crashes at one exact point, again and again, and their neighbours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.hooks import POISON
from tests.chaos.node import Node
from tests.chaos.oracle import LEASE
from tests.chaos.world import World

HOOKS = "tests.chaos.hooks"


async def restarted(node: Node, pid: int) -> None:
    """Wait until another process stands in the place of the one that had this number, and is ready."""
    async with asyncio.timeout(60):
        while node.process.pid == pid:
            await asyncio.sleep(0.02)
    await node.ready()


@asynccontextmanager
async def kept_running(*nodes: Node) -> AsyncIterator[None]:
    """Start processes again whenever they have ended, as a platform does."""

    async def keep(node: Node) -> None:
        while True:
            await node.process.exited(600)
            node.start()

    tasks = [asyncio.create_task(keep(node)) for node in nodes]
    try:
        yield
    finally:
        for task, node in zip(tasks, nodes, strict=True):
            task.cancel()
            node.kill()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.timeout(120)
async def test_f12_crash_loop_without_progress(empty: World) -> None:
    await empty.web("web", inline=False)
    worker = await empty.worker("one", module=HOOKS, env={"CHAOS_TRAP": "poison"})
    async with kept_running(worker):
        answer = await empty.ask(f"n=10 seed=116 {POISON}")
        answer.terms.excuse("interrupted", calls=2)
        answer.terms.statuses.discard("completed")
        await empty.check(within=4 * LEASE + 10)
    assert len(empty.oracle.calls(answer)) == 3
    assert answer.viewers[0].end is not None
    assert answer.viewers[0].end["error"]["code"] == "no_progress"


async def test_f13_crash_between_begin_and_hint(empty: World, tmp_path: Path) -> None:
    trap = {"CHAOS_TRAP": "begin", "CHAOS_ONCE": str(tmp_path / "once")}
    web = await empty.web("web", inline=False, module=HOOKS, env=trap)
    await empty.worker("one")
    async with kept_running(web):
        empty.cookies |= dict((await empty.request("GET", "/")).cookies)
        began, first = time.monotonic(), web.process.pid
        # Nobody asks again: the one who asked has gone with the process.
        with pytest.raises(Exception, match=r".*"):
            await empty.request("POST", "/api/chats", json={"prompt": f"n=5 seed=117 {empty.word}"})
        await empty.provider.until(lambda: len(empty.provider.calls) == 1, 15)
        assert time.monotonic() - began < 15
        await empty.provider.until(lambda: empty.provider.calls[0].finished)
        await restarted(web, first)
        response = await empty.request("GET", "/")
        assert response.text.count('href="/chats/') == 1


@pytest.mark.parametrize("trap", ["finish", "end"], ids=["f14_before_the_end", "f15_after_the_end"])
async def test_f14_crash_around_the_end(empty: World, tmp_path: Path, trap: str) -> None:
    await empty.web("web", inline=False)
    env = {"CHAOS_TRAP": trap, "CHAOS_ONCE": str(tmp_path / "once")}
    worker = await empty.worker("one", module=HOOKS, env=env)
    async with kept_running(worker):
        # What arrives together with the reason to stop may be in no log yet.
        answer = await empty.ask("n=60 rate=60 seed=118 fault=stall@60")
        await empty.grown(answer, len(answer.text))
        empty.provider.release()
        if trap == "finish":
            answer.terms.excuse("interrupted")
        await empty.check(within=LEASE + 8)
        saved = await empty.oracle.read(answer)
        assert saved.text == answer.text
        assert len(empty.oracle.calls(answer)) == 1
        message = (await empty.persist("GET", answer.path)).json()
        assert message["text"] == answer.text
        # Nothing is left to be looked for.
        deadline = time.monotonic() + LEASE + 5
        while await empty.oracle.unfinished():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
async def test_f69_a_poison_job_does_not_stop_those_that_come_later(empty: World) -> None:
    await empty.web("web", inline=False)
    worker = await empty.worker("one", module=HOOKS, env={"CHAOS_TRAP": "poison"})
    async with kept_running(worker):
        # Held, it kills when it is told to, and not while one of the others is being answered.
        poison = await empty.ask(f"n=10 seed=119 fault=hold {POISON}")
        poison.terms.statuses = {"interrupted"}
        poison.terms.excuse(calls=2)
        for number in range(1, 4):
            await empty.called(poison, number, within=2 * LEASE + 10)
            pid = worker.process.pid
            await empty.provider.let_go(1)
            await restarted(worker, pid)
            await empty.check(await empty.ask(f"n=20 rate=20 seed={119 + number}"), within=LEASE - 3)
        await empty.check(poison, within=2 * LEASE)


@pytest.mark.timeout(120)
async def test_f69_a_poison_job_does_not_take_its_neighbours_with_it(empty: World) -> None:
    await empty.web("web", inline=False)
    worker = await empty.worker("one", module=HOOKS, env={"CHAOS_TRAP": "poison"})
    async with kept_running(worker):
        poison = await empty.ask(f"n=10 seed=129 fault=hold {POISON}")
        poison.terms.statuses = {"interrupted"}
        poison.terms.excuse(calls=2)
        script = "n=20 rate=20 first=0.1 fault=hold"
        neighbours = [await empty.ask(f"{script} seed={seed}") for seed in range(130, 134)]
        for neighbour in neighbours:
            neighbour.terms.excuse("interrupted", calls=3)
        # Twice it takes them all with it before they have said anything.
        for number in (1, 2):
            for answer in (poison, *neighbours):
                await empty.called(answer, number, within=2 * LEASE + 10)
            pid = worker.process.pid
            await empty.provider.let_go(1 + len(neighbours))
            if number == 2:
                empty.provider.release()
            await restarted(worker, pid)
        await empty.check(poison, *neighbours, within=5 * LEASE)
        for neighbour in neighbours:
            assert neighbour.grown, f"given up: {neighbour.viewers[0].end}"
