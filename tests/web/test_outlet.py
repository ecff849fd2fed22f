"""What is sent without a task: all of it, in order, once, however the server and the reader behave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from litestar.types import Receive, Scope, Send

from chatapp.web.outlet import Outlet
from tests.support.processes import free_port


class Server:
    """A server's `send`, which waits as long as `writable` is not set."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.writable = asyncio.Event()
        self.writable.set()
        self.error: Exception | None = None
        self.waiting = 0

    async def send(self, message: Any) -> None:
        self.waiting += 1
        try:
            await self.writable.wait()
            # Some servers wait more than once.
            if message["body"] == b"twice":
                await asyncio.sleep(0)
        finally:
            self.waiting -= 1
        if self.error is not None:
            raise self.error
        self.sent.append(message["body"])


async def test_at_once_where_the_server_does_not_wait() -> None:
    server = Server()
    outlet = Outlet(server.send)
    assert outlet.send_now(b"one")
    assert outlet.send_now(b"two")
    await outlet.finish()
    assert server.sent == [b"one", b"two"]


@pytest.mark.parametrize("piece", [b"one", b"twice"])
async def test_the_rest_where_it_waits(piece: bytes) -> None:
    server = Server()
    outlet = Outlet(server.send)
    server.writable.clear()
    assert not outlet.send_now(piece)
    finishing = asyncio.create_task(outlet.finish())
    await asyncio.sleep(0.01)
    assert not finishing.done()
    assert server.sent == []
    server.writable.set()
    await finishing
    await outlet.finish()
    assert server.sent == [piece]


async def test_the_rest_when_the_wait_is_over_already() -> None:
    server = Server()
    outlet = Outlet(server.send)
    server.writable.clear()
    assert not outlet.send_now(b"one")
    server.writable.set()
    await asyncio.sleep(0.01)
    await outlet.finish()
    assert server.sent == [b"one"]


async def test_a_task_that_is_cancelled_ends_the_sending() -> None:
    server = Server()
    outlet = Outlet(server.send)
    server.writable.clear()
    assert not outlet.send_now(b"one")
    finishing = asyncio.create_task(outlet.finish())
    await asyncio.sleep(0.01)
    assert server.waiting
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert not server.waiting
    assert server.sent == []


@pytest.mark.parametrize("waits", [False, True])
async def test_an_error_of_the_server(waits: bool) -> None:
    server = Server()
    server.error = OSError("gone")
    outlet = Outlet(server.send)
    if waits:
        server.writable.clear()
        assert not outlet.send_now(b"one")
        server.writable.set()
        with pytest.raises(OSError, match="gone"):
            await outlet.finish()
    else:
        with pytest.raises(OSError, match="gone"):
            outlet.send_now(b"one")


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[int]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="error", lifespan="off"))
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        yield port
    finally:
        server.should_exit = True
        await task


async def test_a_reader_that_takes_nothing_for_a_while() -> None:
    pieces = [f"{number:07} ".encode() * 2000 for number in range(2000)]
    whole = b"".join(pieces)
    headers = [(b"content-length", str(len(whole)).encode())]
    waited = asyncio.Event()
    waits = 0

    async def application(_: Scope, __: Receive, send: Send) -> None:
        nonlocal waits
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        outlet = Outlet(send)
        for piece in pieces:
            if not outlet.send_now(piece):
                waits += 1
                waited.set()
                await outlet.finish()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with serving(application) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            # What fills the buffers between here and there is 32 MB at most.
            await waited.wait()
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert b"200" in head
    assert waits
    assert body == whole
