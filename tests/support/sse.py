"""Server-sent events read strictly and from the raw socket, without any automatic reconnect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

__all__ = ("Answer", "SSEClient", "SSEEvent", "SSEParser", "read_answer")


@dataclass(frozen=True, slots=True)
class SSEEvent:
    """One dispatched event; `id` is its own id field, None when it had none."""

    id: str | None
    event: str
    data: str


class SSEParser:
    """The event stream grammar of the WHATWG HTML standard, fed in pieces of any size."""

    def __init__(self) -> None:
        self.last_id = ""  #: what a browser would send as `Last-Event-ID`
        self.retry: int | None = None  #: milliseconds
        self._rest = b""
        self._skip_lf = False
        self._fresh = True
        self._id_buffer = ""
        self._own_id: str | None = None
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[SSEEvent]:
        """Return the events that this chunk completes."""
        events = []
        for line in self._lines(chunk):
            if (event := self._take(line.decode(errors="replace"))) is not None:
                events.append(event)
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        # A CR ends its line at once; the LF that may follow it in the next chunk then counts for nothing.
        if self._skip_lf and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._skip_lf = False
        if chunk.endswith(b"\r"):
            self._skip_lf = True
        *lines, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if self._fresh and lines:
            self._fresh = False
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        return lines

    def _take(self, line: str) -> SSEEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id_buffer = value
                self._own_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value)
        return None

    def _dispatch(self) -> SSEEvent | None:
        self.last_id = self._id_buffer
        event = (
            SSEEvent(self._own_id, self._event or "message", "\n".join(self._data)) if self._data else None
        )
        self._own_id, self._event, self._data = None, "", []
        return event


class SSEClient:
    """One request and its event stream, up to the end, the cut or the timeout."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        timeout: float = 30,
        cut_after_bytes: int | None = None,
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}  #: names in lower case; of repeated ones the last
        self.raw = b""  #: every body byte received, chunk framing removed
        self.complete = False  #: the body ended as its framing says, neither cut nor broken off
        self.parser = SSEParser()
        self._reader = reader
        self._writer = writer
        self._timeout = timeout
        self._cut = cut_after_bytes

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        *,
        timeout: float = 30,
        cut_after_bytes: int | None = None,
    ) -> AsyncIterator[SSEClient]:
        """Send a GET and read the response's head; `timeout` is for each read, in seconds."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"only http, not {url}")
        send = {"Host": parts.netloc, "Accept": "text/event-stream", "Connection": "close"} | dict(
            headers or {}
        )
        if cookies:
            send["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in send.items())]
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            stream = cls(reader, writer, timeout=timeout, cut_after_bytes=cut_after_bytes)
            await stream._read_head()
            yield stream
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def __aiter__(self) -> AsyncIterator[SSEEvent]:
        async for piece in self.body():
            for event in self.parser.feed(piece):
                yield event

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, exactly up to the cut; a broken connection just ends it."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            async for piece in self._framed():
                if self._cut is not None and len(self.raw) + len(piece) >= self._cut:
                    piece = piece[: self._cut - len(self.raw)]
                    self.raw += piece
                    self._writer.close()
                    yield piece
                    return
                self.raw += piece
                yield piece
            self.complete = True

    async def _read_head(self) -> None:
        async with asyncio.timeout(self._timeout):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
        }

    async def _framed(self) -> AsyncIterator[bytes]:
        if self._cut == 0:
            yield b""
        elif self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await self._line()).partition(b";")[0], 16):
                async for piece in self._counted(size):
                    yield piece
                await self._line()
            await self._line()
        elif (length := self.headers.get("content-length")) is not None:
            async for piece in self._counted(int(length)):
                yield piece
        else:
            while piece := await self._some(65536):
                yield piece

    async def _counted(self, size: int) -> AsyncIterator[bytes]:
        while size:
            piece = await self._some(min(size, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(piece)
            yield piece

    async def _some(self, limit: int) -> bytes:
        async with asyncio.timeout(self._timeout):
            return await self._reader.read(limit)

    async def _line(self) -> bytes:
        async with asyncio.timeout(self._timeout):
            return await self._reader.readuntil(b"\r\n")


@dataclass(slots=True)
class Answer:
    """An answer followed to its end over any number of connections."""

    text: str = ""
    ids: list[str] = field(default_factory=list)
    events: list[SSEEvent] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)  #: ids that did not rise; their text is in `text`
    resets: int = 0
    connections: int = 0
    end: dict[str, Any] | None = None

    def apply(self, event: SSEEvent) -> None:
        """Take one JSON event of an answer's stream."""
        self.events.append(event)
        data = json.loads(event.data)
        if event.event == "reset":
            self.resets += 1
            self.text = data["text"]
        elif event.event == "delta":
            self.text += data["text"]
        elif event.event == "end":
            self.end = data
        if event.id is not None:
            if self.ids and event.event != "reset" and _order(event.id) <= _order(self.ids[-1]):
                self.duplicates.append(event.id)
            self.ids.append(event.id)


async def read_answer(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
    cuts: Sequence[int] = (),
    timeout: float = 30,
    retries: int = 20,
    strict: bool = True,
) -> Answer:
    """Follow an answer to its `end`, hanging up after each of `cuts` bytes and resuming by the last id.

    Lost connections are retried `retries` times; `strict` asserts at the end that ids rose throughout.
    """
    answer, last_id = Answer(), ""
    for number in range(len(cuts) + retries + 1):
        cut = cuts[number] if number < len(cuts) else None
        send, target = dict(headers or {}), url
        if last_id and number % 2:
            send["Last-Event-ID"] = last_id
        elif last_id:
            target += f"{'&' if '?' in url else '?'}after={last_id}"
        answer.connections += 1
        async with SSEClient.open(target, send, cookies, timeout=timeout, cut_after_bytes=cut) as stream:
            if stream.status != 200:
                body = b"".join([piece async for piece in stream.body()])
                raise AssertionError(f"{target} answered {stream.status}: {body[:500]!r}")
            async for event in stream:
                answer.apply(event)
        last_id = stream.parser.last_id or last_id
        if answer.end is not None:
            assert not (strict and answer.duplicates), f"ids did not rise: {answer.duplicates}"
            return answer
    raise AssertionError(f"no end after {answer.connections} connections, text so far {answer.text[-200:]!r}")


def _order(event_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = event_id.partition("-")
    return int(milliseconds), int(sequence)
