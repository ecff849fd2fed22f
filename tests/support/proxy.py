"""A TCP proxy that fails on demand, between a client and the app or between the app and its servers."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from tests.support.ports import free_port, give_back

__all__ = ("FaultProxy", "Listener", "ProxiedRequest", "drop", "flushed", "send", "taken")

Direction = Literal["down", "up"]
HEAD_LIMIT = 1 << 20


def drop(writer: asyncio.StreamWriter, *, reset: bool = False) -> None:
    """Close a connection, with a TCP reset when asked."""
    if reset and not writer.transport.is_closing():
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write and drain; unlike uvloop's own write, a closed connection is an OSError."""
    if writer.is_closing():
        raise ConnectionResetError("the connection is closed")
    writer.write(data)
    await writer.drain()


async def flushed(writer: asyncio.StreamWriter) -> None:
    """Wait until the peer's kernel has every byte: a reset throws away what has not arrived yet."""
    if writer.is_closing():
        return
    writer.transport.set_write_buffer_limits(high=0)
    await writer.drain()
    fileno = writer.get_extra_info("socket").fileno()
    with contextlib.suppress(OSError, ValueError):  # gone, or too slow
        async with asyncio.timeout(5):
            # The kernel offers no event for this, so it is polled.
            while struct.unpack("i", fcntl.ioctl(fileno, termios.TIOCOUTQ, b"\0" * 4))[0]:
                await asyncio.sleep(0.001)


async def taken(writer: asyncio.StreamWriter) -> None:
    """Wait until the peer, on this machine, has read every byte out of its kernel."""
    ours, theirs = (_kernel_name(*writer.get_extra_info(end)) for end in ("sockname", "peername"))
    with contextlib.suppress(OSError, TimeoutError):  # no such table, or too slow
        async with asyncio.timeout(5):
            while _unread(theirs, ours):
                await asyncio.sleep(0.001)


def _kernel_name(host: str, port: int) -> str:
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


def _unread(local: str, remote: str) -> int:
    """Return how many bytes wait in a connection's receive queue, as the kernel's table of sockets says."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == [local, remote]:
            return int(fields[4].partition(":")[2], 16)
    return 0


class Listener:
    """A server on a free port of 127.0.0.1 that outlives any failure of its connections."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        # Held also while it is deaf.
        self.port = self.port or free_port()
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._deafen()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        give_back(self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection; it is closed afterwards."""
        raise NotImplementedError

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._connected, "127.0.0.1", self.port, limit=HEAD_LIMIT, backlog=1024
            )

    def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.serve(reader, writer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # a broken connection or request is the peer's business, never the server's
        finally:
            self._tasks.discard(task)
            writer.close()


@dataclass(slots=True)
class ProxiedRequest:
    """What passed through one connection; without HTTP only `bytes_down` is filled."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    bytes_down: int = 0


@dataclass(slots=True)
class _Rule:
    times: int | None
    path_contains: str | None
    status: int = 0
    cut_at: int = 0
    direction: Direction = "down"
    reset: bool = False


_Send = Callable[["_Link", bytes], Awaitable[None]]


@dataclass(slots=True, eq=False)
class _Link:
    request: ProxiedRequest
    client: asyncio.StreamWriter
    upstream: asyncio.StreamWriter
    cut: _Rule | None
    bytes_up: int = 0


class FaultProxy(Listener):
    """Forward to a target, one HTTP request (or one raw TCP flow with `http=False`) per connection."""

    def __init__(self, target_host: str, target_port: int, *, http: bool = True, port: int = 0) -> None:
        super().__init__(port)
        self.target = (target_host, target_port)
        self.requests: list[ProxiedRequest] = []
        self._http = http
        self._links: set[_Link] = set()
        self._stripped: set[str] = set()
        self._flowing = asyncio.Event()
        self.heal()

    @property
    def url(self) -> str:
        """Where clients reach the target through this proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> list[ProxiedRequest]:
        """The requests whose connections are open at this moment, on both sides."""
        return [link.request for link in self._links]

    def heal(self) -> None:
        """End every fault but `refuse` and `strip`; what a black hole kept goes on."""
        self._answers: list[_Rule] = []
        self._cuts: list[_Rule] = []
        self._split = 0
        self._delay = 0.0
        self._flowing.set()

    def blackhole(self) -> None:
        """Forward nothing any more, on new and on established connections, and keep them open."""
        self._flowing.clear()

    def refuse(self) -> None:
        """Refuse new connections; established ones go on."""
        self._deafen()

    async def accept(self) -> None:
        """Listen again, on the same port."""
        await self._listen()

    def cut_all(self, *, reset: bool = False) -> None:
        """Close every open connection now."""
        for link in self._links:
            _cut(link, reset=reset)

    def cut_after(
        self,
        n: int,
        direction: Direction = "down",
        *,
        reset: bool = False,
        times: int | None = 1,
        path_contains: str | None = None,
    ) -> None:
        """Close the next connections after n bytes, HTTP head included; several calls queue up."""
        self._cuts.append(_Rule(times, path_contains, cut_at=n, direction=direction, reset=reset))

    def answer(self, status: int, times: int | None = None, path_contains: str | None = None) -> None:
        """Answer matching requests with a status and an HTML page instead of forwarding them."""
        self._answers.append(_Rule(times, path_contains, status=status))

    def split(self, n: int) -> None:
        """Write responses n bytes at a time; 0 for as they come."""
        self._split = n

    def delay(self, seconds: float) -> None:
        """Hold every piece of a response for so long."""
        self._delay = seconds

    def strip(self, header_name: str) -> None:
        """Remove a header from every request."""
        self._stripped.add(header_name.lower())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, or connect to the target and copy both ways."""
        request, head = ProxiedRequest(), b""
        if self._http:
            raw = await reader.readuntil(b"\r\n\r\n")
            request, head = _rewrite(raw.decode("latin-1"), self._stripped)
        self.requests.append(request)
        answer = _take(self._answers, request)
        cut = None if answer else _take(self._cuts, request)
        await self._flowing.wait()
        if answer is not None:
            await _answer(answer.status, reader, writer)
            return
        up_reader, up_writer = await asyncio.open_connection(*self.target)
        link = _Link(request, writer, up_writer, cut)
        self._links.add(link)
        upward: asyncio.Task[None] | None = None
        try:
            if head:
                await self._send_up(link, head)
            upward = asyncio.create_task(self._copy(reader, link, self._send_up))
            await self._copy(up_reader, link, self._send_down)
        finally:
            self._links.discard(link)
            up_writer.close()
            if upward is not None:
                upward.cancel()
                await asyncio.gather(upward, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, link: _Link, forward: _Send) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                await forward(link, data)
            await self._flowing.wait()
            if forward == self._send_up and not link.upstream.is_closing():
                link.upstream.write_eof()
        except OSError:
            link.upstream.transport.abort()
            drop(link.client, reset=True)

    async def _send_up(self, link: _Link, data: bytes) -> None:
        data, complete = _allowed(link.cut, "up", link.bytes_up, data)
        link.bytes_up += len(data)
        await send(link.upstream, data)
        if complete and link.cut is not None:
            await flushed(link.upstream)
            _cut(link, reset=link.cut.reset)

    async def _send_down(self, link: _Link, data: bytes) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        data, complete = _allowed(link.cut, "down", link.request.bytes_down, data)
        size = self._split or len(data) or 1
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await send(link.client, piece)
            link.request.bytes_down += len(piece)
            await asyncio.sleep(0)  # lets a reader in this loop see the pieces one by one
        if complete and link.cut is not None:
            await flushed(link.client)
            _cut(link, reset=link.cut.reset)


def _cut(link: _Link, *, reset: bool) -> None:
    drop(link.client, reset=reset)
    link.upstream.transport.abort()


def _allowed(cut: _Rule | None, direction: Direction, passed: int, data: bytes) -> tuple[bytes, bool]:
    if cut is None or cut.direction != direction or passed + len(data) < cut.cut_at:
        return data, False
    return data[: max(0, cut.cut_at - passed)], True


def _take(rules: list[_Rule], request: ProxiedRequest) -> _Rule | None:
    for rule in rules:
        if rule.times != 0 and (rule.path_contains is None or rule.path_contains in request.path):
            if rule.times is not None:
                rule.times -= 1
            return rule
    return None


def _rewrite(head: str, stripped: set[str]) -> tuple[ProxiedRequest, bytes]:
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    dropped = set(stripped)
    if "upgrade" not in headers:
        dropped |= {"connection", "keep-alive"}
        first += "\r\nConnection: close"
    kept = [line for line in lines if line.partition(":")[0].strip().lower() not in dropped]
    return ProxiedRequest(method, path, headers), ("\r\n".join([first, *kept]) + "\r\n\r\n").encode("latin-1")


async def _answer(status: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = f'<html><body><h1>Bad gateway</h1><p id="proxy-page">The proxy answers {status}.</p></body></html>'
    head = (
        f"HTTP/1.1 {status} Proxy\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    await send(writer, (head + body).encode())
    writer.write_eof()
    # Closing over an unread request body would reset the connection and lose the answer.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            while await reader.read(65536):
                pass
