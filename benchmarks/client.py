"""A small HTTP/1.1 client at little cost of its own: one protocol object a request, no tasks, no queues."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import cast

__all__ = ("Exchange", "Response", "fetch")


@dataclass
class Response:
    """An answer that has been read to its end; `first_byte` is when its body began.

    All such times are those of time.monotonic: uvloop's clock stands still during a callback.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_byte: float


@dataclass
class Exchange(asyncio.Protocol):
    """One request on one connection; the body is handed on as it arrives."""

    request: bytes
    on_body: Callable[[bytes], None]
    on_end: Callable[[], None]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    _buffer: bytes = b""
    _left: int = -1
    _chunked: bool = False
    _ended: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if not self.status:
            data = self._buffer + data
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            self._buffer = b""
            self._read_head(head.decode("latin-1"))
        if self._chunked:
            data = self._dechunk(data)
            if data:
                self.on_body(data)
            return
        if data:
            self._left -= len(data)
            self.on_body(data)
        if self._left == 0:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as asyncio calls it
        self._end()

    def cut(self) -> None:
        """Break the connection without a word to either side."""
        self._ended = True
        self.transport.abort()

    def _read_head(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        self.status = int(first.split(" ", 2)[1])
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self._chunked = self.headers.get("transfer-encoding") == "chunked"
        self._left = int(self.headers.get("content-length", 0 if self.status == 204 else -1))

    def _dechunk(self, data: bytes) -> bytes:
        if self._buffer:
            data = self._buffer + data
        position, pieces = 0, []
        while (line_end := data.find(b"\r\n", position)) >= 0:
            size = int(data[position:line_end], 16)
            end = line_end + 4 + size
            if len(data) < end:
                break
            if size == 0:
                self._loop_soon(self._end)
            pieces.append(data[line_end + 2 : end - 2])
            position = end
        self._buffer = data[position:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _loop_soon(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self.transport.close()
            self.on_end()


def request_bytes(
    method: str, path: str, headers: Mapping[str, str], body: bytes, *, host: str = "127.0.0.1"
) -> bytes:
    """Write a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in headers.items())]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def fetch(
    port: int,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    timeout: float = 30,
) -> Response:
    """Send one request on a new connection and read the whole answer."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    pieces: list[bytes] = []
    first_byte = 0.0

    def on_body(data: bytes) -> None:
        nonlocal first_byte
        first_byte = first_byte or monotonic()
        pieces.append(data)

    def on_end() -> None:
        if not ended.done():
            ended.set_result(None)

    request = request_bytes(method, path, {"Connection": "close", **(headers or {})}, body)
    _, exchange = await loop.create_connection(lambda: Exchange(request, on_body, on_end), "127.0.0.1", port)
    async with asyncio.timeout(timeout):
        await ended
    return Response(exchange.status, exchange.headers, b"".join(pieces), first_byte)
