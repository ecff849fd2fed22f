"""F32–F43: what proxies and links do between the viewer, the server, and its Redis."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import cast

import pytest

from tests.chaos.world import World
from tests.support.proxy import FaultProxy
from tests.support.sse import SSEClient


async def test_f34_buffering_proxy(single: World) -> None:
    """Pieces held for seconds: only late, never wrong."""
    web = single["web"]
    assert web.front is not None
    web.front.delay(1.5)
    base = single.files()
    answer = await single.ask("n=200 rate=60 seed=301 kind=emoji")
    await single.check()
    response = await single.request("GET", f"{answer.path}/events")
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    await single.idle(base)


@pytest.mark.parametrize("status", [502, 503])
async def test_f35_gateway_errors_for_20_seconds(single: World, status: int) -> None:
    web = single["web"]
    assert web.front is not None
    answer = await single.ask("n=600 rate=25 seed=302", viewers=3)
    await single.grown(answer, 50)
    web.front.answer(status, path_contains="/events")
    web.front.cut_all()
    await asyncio.sleep(20)
    web.front.heal()
    single.provider.hurry()
    await single.check()
    assert all(status in viewer.refusals for viewer in answer.viewers)


async def test_f37_half_open_connections_are_freed(single: World) -> None:
    """The server side: what was written to a link that swallows everything is given up."""
    web = single["web"]
    assert web.front is not None
    base = single.files()
    answer = await single.ask("n=200 rate=50 seed=303 fault=stall@190", viewers=0)
    viewers = [single.view(answer, silence=3) for _ in range(10)]
    await single.grown(answer, 50)
    web.front.blackhole()
    # Until everybody has given up the connection that is dead, and waits for another one.
    async with asyncio.timeout(20):
        while len(web.front.requests) < 20:
            await asyncio.sleep(0.01)
    web.front.heal()
    single.provider.release()
    await single.check()
    assert all(viewer.connections >= 2 for viewer in viewers)
    await single.idle(base)


@pytest.mark.timeout(120)
async def test_f38_idle_proxy_and_silent_model(split: World) -> None:
    """A proxy that closes what is silent for 15 s, and a model that thinks for 45 s."""
    web = split["web"]
    assert web.front is not None
    answer = await split.ask("n=40 rate=40 seed=304 first=45", viewers=0)
    viewers = [split.view(answer, silence=15) for _ in range(2)]
    await split.check(within=60)
    assert [viewer.connections for viewer in viewers] == [1, 1]
    assert all(viewer.heartbeats >= 3 for viewer in viewers)
    assert (await split.oracle.read(answer)).claims == 1
    assert len(split.oracle.calls(answer)) == 1


async def test_f39_router_with_a_hard_limit(single: World) -> None:
    web = single["web"]
    assert web.front is not None
    answer = await single.ask("n=5000 rate=40 seed=305", viewers=3)
    for cuts in range(1, 7):
        await asyncio.sleep(2)
        # Whoever is not back yet is not cut off.
        await single.connected(answer, cuts)
        web.front.cut_all(reset=cuts % 2 == 0)
    single.provider.hurry()
    await single.check()
    assert all(viewer.connections == 7 for viewer in answer.viewers)


async def test_f41_an_id_from_the_future(single: World) -> None:
    answer = await single.ask("n=300 rate=50 seed=306", viewers=1)
    await single.grown(answer, 50)
    fence, _, seq = answer.viewers[0].last_id.partition("-")
    for wrong in (f"{fence}-{int(seq) + 10_000}", f"{int(fence) + 5}-{seq}", "1-1"):
        url = f"{single['web'].process.url}{answer.path}/events"
        async with SSEClient.open(url, {"Last-Event-ID": wrong}, single.cookies) as stream:
            async for event in stream:
                assert event.event == "reset", wrong
                break
    await single.check()


async def holds(world: World, peer: int) -> bool:
    """Whether the web process still has the connection that comes from this port."""
    here, there = (f"0100007F:{port:04X}" for port in (world["web"].process.port, peer))
    lines = (await asyncio.to_thread(Path("/proc/net/tcp").read_text)).splitlines()
    # One that nobody holds any more has no inode.
    return any(words[1:3] == [here, there] and words[9] != "0" for words in map(str.split, lines[1:]))


async def slow(world: World, rate: int, readers: int) -> None:
    """Read an answer slowly beside quick viewers; neither those nor the memory may suffer."""
    answer = await world.ask("n=30000 rate=3000 seed=307", viewers=2)
    await world.grown(answer, 100)
    host = world["web"].process
    memory = world["web"].memory
    cookie = "; ".join(f"{name}={value}" for name, value in world.cookies.items())
    writers = []
    tasks = []

    async def crawl(reader: asyncio.StreamReader) -> None:
        while await reader.read(max(rate // 10, 1)):
            await asyncio.sleep(0.1)

    for _ in range(readers):
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port, limit=1024)
        head = f"GET {answer.path}/events HTTP/1.1\r\nHost: 127.0.0.1:{host.port}\r\nCookie: {cookie}\r\n\r\n"
        writer.write(head.encode())
        writers.append(writer)
        if rate:
            tasks.append(asyncio.create_task(crawl(reader)))
        else:
            cast(asyncio.Transport, writer.transport).pause_reading()
    # Ten seconds of text, and more on a busy machine.
    await world.check(within=60)
    assert world["web"].memory - memory < 100 << 20
    listed = await world.redis.client_list()
    assert all(int(client["omem"]) < 1 << 20 for client in listed)
    for writer in writers:
        writer.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_f42_slow_readers(empty: World) -> None:
    await empty.web("web", front=False, direct=True)
    base = empty.files()
    await slow(empty, rate=100, readers=20)
    await empty.idle(base)


async def test_f43_readers_that_never_read_do_no_harm(empty: World) -> None:
    await empty.web("web", front=False, direct=True)
    base = empty.files()
    await slow(empty, rate=0, readers=20)
    await empty.idle(base)


@pytest.mark.timeout(180)
async def test_f43_a_reader_that_never_reads_is_let_go(empty: World) -> None:
    web = await empty.web("web", front=False, direct=True)
    running = await empty.ask("n=60000 rate=3000 seed=309 kind=markdown", viewers=1)
    cookie = "; ".join(f"{name}={value}" for name, value in empty.cookies.items())
    host = f"127.0.0.1:{web.process.port}"
    head = f"GET {running.path}/events HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", web.process.port, limit=1024)
    writer.write(head.encode())
    cast(asyncio.Transport, writer.transport).pause_reading()
    peer = writer.get_extra_info("sockname")[1]
    try:
        async with asyncio.timeout(20):
            while not await holds(empty, peer):
                await asyncio.sleep(0.01)
        # Twenty seconds of text, and more on a busy machine.
        await empty.check(running, within=90)
        deadline = time.monotonic() + 60
        while await holds(empty, peer):
            assert time.monotonic() < deadline, "its connection is still open after 60 s"
            await asyncio.sleep(0.5)
    finally:
        writer.close()


async def test_a_blind_process_takes_no_text_away(empty: World) -> None:
    """A viewer comes from a process that has read further to one that hears nothing from Redis."""
    for name in ("web1", "web2"):
        await empty.web(name, inline=False)
    await empty.worker("one")
    answer = await empty.ask("n=400 rate=40 seed=310", viewers=0)
    # Both processes watch it.
    empty.view(answer, node=empty["web1"])
    keeper = empty.view(answer, node=empty["web2"])
    await empty.grown(answer, 50)
    blind = empty["web2"].storage
    assert isinstance(blind, FaultProxy)
    blind.blackhole()
    await empty.grown(answer, 50)
    wanderer = empty.view(answer)
    await asyncio.sleep(1.5)
    for _ in range(4):
        wanderer.hang_up()
        await asyncio.sleep(1)
    blind.heal()
    await empty.check()
    assert wanderer.resets == keeper.resets == 0
