"""F55–F67: what the provider does beyond tests/test_provider_faults.py: time, size, and rude connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.world import World
from tests.support.processes import free_port
from tests.support.proxy import drop


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
async def test_f55_refused_then_well(single: World, status: int) -> None:
    answer = await single.ask(f"n=20 seed=501 status={status} times=2 retry_after=0.2")
    answer.terms.excuse(calls=2)
    await single.check()
    assert len(single.oracle.calls(answer)) == 3


async def test_f55_retry_after_is_honoured(single: World) -> None:
    asked = time.monotonic()
    answer = await single.ask("n=20 seed=502 status=429 times=1 retry_after=3")
    answer.terms.excuse(calls=1)
    await single.check()
    assert time.monotonic() - asked > 3


async def test_f55_refused_for_ever(single: World) -> None:
    answer = await single.ask("n=20 seed=503 status=503 retry_after=0.1")
    answer.terms.statuses = {"failed"}
    answer.terms.excuse(calls=2)
    await single.check()
    assert answer.viewers[0].end is not None
    assert answer.viewers[0].end["error"]["message"]


async def test_f58_no_connection(empty: World) -> None:
    nowhere = {"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}
    await empty.web("web", env=nowhere)
    answer = await empty.ask("n=20 seed=504")
    answer.terms.statuses = {"failed"}
    await empty.check()
    assert answer.viewers[0].end is not None
    assert answer.viewers[0].end["error"]["code"] == "connection"


async def test_f58_no_such_host(empty: World) -> None:
    await empty.web("web", env={"OPENAI_BASE_URL": "http://no-such-host.invalid/v1"})
    answer = await empty.ask("n=20 seed=505")
    answer.terms.statuses = {"failed"}
    await empty.check()
    assert answer.viewers[0].end is not None
    assert answer.viewers[0].end["error"]["code"] in ("connection", "dns")


@pytest.mark.timeout(90)
async def test_f58_no_tls(empty: World) -> None:
    """A server that waits for a request while we wait for its handshake: three times ten seconds."""
    await empty.web("web", env={"OPENAI_BASE_URL": f"https://127.0.0.1:{empty.provider.port}/v1"})
    answer = await empty.ask("n=20 seed=506")
    answer.terms.statuses = {"failed"}
    await empty.check(within=60)
    assert answer.viewers[0].end is not None
    assert answer.viewers[0].end["error"]["code"] in ("connection", "timeout", "tls")


async def test_f59_silent_provider(empty: World) -> None:
    await empty.web("web", env={"CHATAPP_IDLE_TIMEOUT": "3"})
    for script in ("n=20 seed=507 fault=stall@10", "n=20 seed=508 fault=stall@0"):
        answer = await empty.ask(script)
        answer.terms.statuses = {"interrupted", "failed"}
        answer.terms.excuse(calls=2)
        await empty.check(answer, within=30)


async def test_f60_reset_mid_stream(split: World) -> None:
    answer = await split.ask("n=400 rate=100 seed=509 fault=stall@120,rst@120")
    answer.terms.statuses = {"interrupted"}
    # A reset overtakes what the worker has not read yet.
    begun = "".join(answer.script.chunks()[:120])
    await split.grown(answer, len(begun))
    split.provider.release()
    await split.check()
    saved = await split.oracle.read(answer)
    assert saved.text == begun


async def test_f60_the_way_to_the_provider_is_cut(split: World) -> None:
    answer = await split.ask("n=400 rate=100 seed=510 fault=stall@300")
    await split.grown(answer, 300)
    answer.terms.statuses = {"interrupted"}
    owner = split.owner(answer)
    assert owner is not None
    assert owner.model is not None
    shown = answer.grown
    owner.model.cut_all(reset=True)
    await split.check()
    assert answer.grown >= shown


async def test_f62_garbage_does_not_touch_the_neighbours(single: World) -> None:
    base = single.files()
    neighbours = [await single.ask(f"n=100 rate=40 seed={seed}") for seed in (511, 512)]
    for number, fault in enumerate(("badjson@5", "html", "error@5", "eof@5", "nofinish", "rst@5")):
        answer = await single.ask(f"n=20 seed={520 + number} fault={fault}")
        answer.terms.statuses = {"interrupted", "failed"}
        answer.terms.excuse(calls=2)
        await single.check(answer)
    await single.check(*neighbours)
    assert "Traceback" not in single["web"].process.log
    await single.idle(base)


@pytest.mark.timeout(200)
async def test_f64_a_flood_of_tiny_chunks(empty: World) -> None:
    await empty.web("web", front=False, direct=True)
    answer = await empty.ask("n=200000 rate=0 seed=513", viewers=2)
    # How long it takes is not what this holds.
    await empty.check(within=150)
    entries = await empty.oracle.read(answer)
    assert len(entries.log) < 20_000, "not joined"


@asynccontextmanager
async def endless(chunk: str) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A provider that never stops, and says when it was hung up on."""
    hung_up = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            event = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % chunk.encode()
            while not writer.is_closing():
                writer.write(event)
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            hung_up.set()
            drop(writer, reset=True)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], hung_up
    finally:
        server.close()


async def test_f62_no_http_at_all(empty: World) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        web = await empty.web("web", env={"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"})
        answer = await empty.ask("n=1 seed=520")
        answer.terms.statuses = {"failed"}
        await empty.check()
    assert answer.viewers[0].end is not None
    assert answer.viewers[0].end["error"]["code"] == "protocol"
    assert "Traceback" not in web.process.log


async def test_f65_never_ending_stream(empty: World) -> None:
    async with endless("and so on " * 100) as (port, hung_up):
        await empty.web("web", env={"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"})
        answer = await empty.ask("n=1 seed=514", viewers=0)
        try:
            deadline = time.monotonic() + 30
            while (saved := (await empty.request("GET", answer.path)).json())["status"] == "running":
                assert time.monotonic() < deadline, f"{len(saved['text'])} characters and no end"
                await asyncio.sleep(0.5)
            assert saved["finish_reason"] == "length"
            await asyncio.wait_for(hung_up.wait(), 2)
        finally:
            empty.answers.remove(answer)


async def test_f67_provider_ignores_the_close(single: World) -> None:
    base = single.files()
    for seed in range(515, 519):
        answer = await single.ask(f"n=400 rate=50 seed={seed} fault=ignoreclose")
        await single.grown(answer, 50)
        answer.terms.statuses = {"stopped"}
        await single.stop(answer)
        await single.check(answer)
    await single.idle(base)
