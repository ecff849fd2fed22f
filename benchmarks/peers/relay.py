"""The limit: a relay that passes tokens from the provider's socket to the viewer's, and keeps nothing.

No framework, no Redis, no resuming: `POST /chat {"prompt"}` answers with the stream itself. What a chat
server costs beyond this is the price of its guarantees and of its parts.
"""

import asyncio
import json
import os
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_END = b"event: end\ndata: {}\n\n"


class Delta(msgspec.Struct):
    """A choice's new text."""

    content: str | None = None


class Choice(msgspec.Struct):
    """What the one completion asked for has got."""

    delta: Delta


class Chunk(msgspec.Struct):
    """One event of the provider."""

    choices: list[Choice]


class Text(msgspec.Struct):
    """One event for the viewer."""

    text: str


_decode = msgspec.json.Decoder(Chunk).decode
_encode = msgspec.json.Encoder().encode


class Upstream(asyncio.Protocol):
    """The provider's side of one answer."""

    transport: asyncio.Transport

    def __init__(self, request: bytes, viewer: asyncio.Transport) -> None:
        self._request = request
        self._viewer = viewer
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        events: list[bytes] = []
        # Lines of the chunked encoding and of the head do not begin so.
        for line in lines:
            if not line.startswith(b"data: "):
                continue
            if line == b"data: [DONE]":
                self._send(b"".join(events) + _END, last=True)
                self.transport.close()
                return
            for choice in _decode(line[6:]).choices:
                if choice.delta.content:
                    events.append(b"data: %b\n\n" % _encode(Text(choice.delta.content)))
        if events:
            self._send(b"".join(events))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # as asyncio calls it
        self._viewer.close()

    def _send(self, data: bytes, *, last: bool = False) -> None:
        self._viewer.write(b"%x\r\n%b\r\n%b" % (len(data), data, b"0\r\n\r\n" if last else b""))


class Viewer(asyncio.Protocol):
    """The viewer's side of one answer."""

    transport: asyncio.Transport

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._request = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._request += data
        body = self._request.partition(b"\r\n\r\n")[2]
        if body.endswith(b"}") and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._relay(json.loads(body)["prompt"]))

    async def _relay(self, prompt: str) -> None:
        messages = [{"role": "user", "content": prompt}]
        body = json.dumps({"model": "bench", "messages": messages, "stream": True}).encode()
        host, port = self._address
        request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (host.encode(), len(body), body)
        )
        self.transport.write(_HEAD)
        await asyncio.get_running_loop().create_connection(
            lambda: Upstream(request, self.transport), host, port
        )


async def _serve() -> None:
    provider = urlsplit(os.environ["OPENAI_BASE_URL"])
    server = await asyncio.get_running_loop().create_server(
        lambda: Viewer(provider.hostname or "", provider.port or 80),
        "127.0.0.1",
        int(os.environ["PORT"]),
        backlog=2048,
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
