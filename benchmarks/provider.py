"""A fast OpenAI-compatible server that streams scripted answers: `python -m benchmarks.provider PORT`.

One timer drives all streams, and a token costs one formatting and one write, so that at 400 streams of 50
tokens/s the provider leaves the processors to the system that is measured.
"""

import asyncio
import heapq
import json
import sys
from functools import lru_cache
from itertools import count
from math import inf
from time import monotonic
from typing import cast

import uvloop

from benchmarks.wire import Script, encode, now

__all__ = ("Provider",)

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","created":0,"owned_by":"bench"}]}'
#: As long as OpenAI's own chunks are.
_COMMON = (
    '"id":"chatcmpl-Bq2vJ8wXkT0nYc5RzLh3sPfUe7aGd","object":"chat.completion.chunk","created":1763600000,'
    '"model":"bench","service_tier":"default","system_fingerprint":"fp_50cad350e4"'
)
#: Irrational, so that no two streams beat together.
_GOLDEN = 0.6180339887498949
_BURST = 200
_DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def _chunk(event: str) -> bytes:
    data = f"data: {event}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _delta(delta: str, reason: str = "null") -> bytes:
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}'
    return _chunk(f'{{{_COMMON},"choices":[{choice}],"usage":null}}')


_OPENING = _delta('{"role":"assistant","content":"","refusal":null}')


@lru_cache
def _around(size: int) -> list[bytes]:
    """Return what is sent before and after a piece of text of so many bytes of JSON."""
    piece = "." * size
    return _delta(f'{{"content":"{piece}"}}').split(piece.encode())


_STOP = _delta("{}", '"stop"')


def _usage(n: int) -> bytes:
    usage = f'{{"prompt_tokens":9,"completion_tokens":{n},"total_tokens":{n + 9}}}'
    return _chunk(f'{{{_COMMON},"choices":[],"usage":{usage}}}')


@lru_cache
def _pieces(number: int, size: int) -> list[bytes]:
    """Return a text of markdown in pieces of JSON, without the quotes."""
    from benchmarks.rendering import numbered

    whole = numbered(number)
    return [json.dumps(whole[at : at + size])[1:-1].encode() for at in range(0, len(whole), size)]


class Provider:
    """All running streams, ordered by when each has to send next."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[float, int, Connection]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = inf

    def phase(self) -> float:
        """Return where in its period the next stream sends, from 0 to 1."""
        return next(self._order) * _GOLDEN % 1.0

    def schedule(self, due: float, connection: "Connection") -> None:
        """Let a stream send at `due`."""
        heapq.heappush(self._due, (due, next(self._order), connection))
        if due < self._wakes:
            self._sleep()

    def _tick(self) -> None:
        due, time = self._due, monotonic() + 0.0005
        while due and due[0][0] <= time:
            planned, _, connection = heapq.heappop(due)
            if (after := connection.send_due(planned)) is not None:
                heapq.heappush(due, (after, next(self._order), connection))
        self._wakes = inf
        if due:
            self._sleep()

    def _sleep(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = self._due[0][0]
        # No finer than the loop's own clock: who is due within the same millisecond shares a wake-up.
        self._timer = self._loop.call_later(max(0.001, self._wakes - monotonic()), self._tick)


class Connection(asyncio.Protocol):
    """One connection of a client, on which streams follow one another."""

    transport: asyncio.Transport

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._received = b""
        self._script: Script | None = None
        self._with_usage = False
        self._sent = 0
        self._open = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self._open = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as asyncio calls it
        self._open = False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(body) < length:
            return
        self._received = body[length:]
        if head.startswith(b"GET"):
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(_MODELS), _MODELS)
            )
            return
        request = body[:length].decode()
        self._begin(Script.parse(request), '"include_usage":true' in request.replace(" ", ""))

    def _begin(self, script: Script, with_usage: bool) -> None:
        self._script, self._with_usage, self._sent = script, with_usage, 1
        self.transport.write(_HEAD + _OPENING)
        self._token(0)
        if script.n == 1:
            self._end(script)
        elif script.head > 1:
            self._provider.schedule(monotonic(), self)
        else:
            self._provider.schedule(monotonic() + (0.5 + self._provider.phase()) / script.rate, self)

    def send_due(self, planned: float) -> float | None:
        """Send what is due and return when to come back, or None at the end."""
        script = self._script
        if not self._open or script is None:
            return None
        if self._paused:
            return planned + 0.001
        time = monotonic()
        last = min(self._sent + _BURST, script.n)
        while self._sent < last and (self._sent < script.head or planned <= time):
            self._token(self._sent)
            self._sent += 1
            planned = planned + 1 / script.rate if self._sent > script.head else time
        if self._sent < script.n:
            return planned
        self._end(script)
        return None

    def _token(self, index: int) -> None:
        script = self._script
        assert script is not None
        if script.text is None:
            piece = encode(index, now()).encode()
        else:
            piece = _pieces(script.text, script.size)[index]
        before, after = _around(len(piece))
        self.transport.write(b"%b%b%b" % (before, piece, after))

    def _end(self, script: Script) -> None:
        self._script = None
        self.transport.write(_STOP + (_usage(script.n) if self._with_usage else b"") + _DONE)


async def _serve(port: int) -> None:
    provider = Provider()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(provider), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
