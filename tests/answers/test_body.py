"""A body is read in the quick way where that is possible, and in the client's own everywhere else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest

from chatapp.answers.body import Body
from chatapp.answers.wire import CompletionStream
from tests.support.provider import ScriptedProvider
from tests.support.script import Script

CLIENTS: dict[str, Any] = {"httpx": httpx2.AsyncClient, "aiohttp": openai.DefaultAioHttpClient}


@asynccontextmanager
async def answered(
    provider: ScriptedProvider, client: str, script: Script, timeout: float = 10
) -> AsyncIterator[httpx2.Response]:
    """The response to a question, its body not read yet."""
    question = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": script.prompt}]}
    async with (
        CLIENTS[client](timeout=timeout) as http,
        http.stream("POST", f"{provider.base_url}/chat/completions", json=question) as response,
    ):
        assert response.status_code == 200
        yield response


async def read_all(read: Callable[[], Awaitable[bytes]]) -> None:
    while await read():
        pass


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("faults", ["", "fault=gzip", "fault=slowbytes,gzip"])
async def test_the_whole_body(provider: ScriptedProvider, client: str, faults: str) -> None:
    script = Script.parse(f"n=200 kind=emoji {faults}")
    async with answered(provider, client, script) as response:
        compressed = "gzip" in faults
        assert (response.headers.get("content-encoding") == "gzip") is compressed
        # Only what comes from aiohttp as it is can be taken from there.
        assert (Body(response).content is not None) is (client == "aiohttp" and not compressed)
        read, wire, text = Body(response).read, CompletionStream(), ""
        while data := await read():
            text += wire.feed(data)
        assert text + wire.flush() == script.text
        assert wire.reason == "stop"
        # Also for who asks again.
        assert await read() == b""


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_is_compressed_comes_as_it_is_sent(provider: ScriptedProvider, client: str) -> None:
    script = Script.parse("n=9 fault=stall@5,gzip")
    async with answered(provider, client, script) as response:
        read, wire, text = Body(response).read, CompletionStream(), ""
        while text != "".join(script.chunks()[:5]):
            text += wire.feed(await read())


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("encoding", ["", ",gzip"])
async def test_a_connection_that_breaks(provider: ScriptedProvider, client: str, encoding: str) -> None:
    async with answered(provider, client, Script.parse(f"n=9 fault=rst@4{encoding}")) as response:
        read = Body(response).read
        with pytest.raises(httpx2.HTTPError):
            await read_all(read)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("encoding", ["", ",gzip"])
async def test_silence(provider: ScriptedProvider, client: str, encoding: str) -> None:
    script = Script.parse(f"n=9 fault=stall@4{encoding}")
    async with answered(provider, client, script, timeout=0.4) as response:
        read = Body(response).read
        with pytest.raises(httpx2.ReadTimeout):
            await read_all(read)


@pytest.mark.parametrize("waits", [True, False])
async def test_a_connection_that_stopped_because_nobody_read(
    provider: ScriptedProvider, *, waits: bool
) -> None:
    script = Script.parse("n=12000")
    async with answered(provider, "aiohttp", script) as response:
        body = Body(response)
        assert body.content is not None
        wire, text, stopped = CompletionStream(), "", 0
        async with asyncio.timeout(30):
            while wire.reason is None:
                while not (body.content._protocol._reading_paused or body.content.is_eof()):
                    await asyncio.sleep(0.01)
                stopped += body.content._protocol._reading_paused
                text += wire.feed(await body.read() if waits else body.arrived() or b"")
        assert stopped > 1
        assert text + wire.flush() == script.text


async def test_what_came_before_the_connection_broke(provider: ScriptedProvider) -> None:
    script = Script.parse("n=9 fault=rst@5")
    async with answered(provider, "aiohttp", script) as response:
        body = Body(response)
        content = body.content
        assert content is not None
        async with asyncio.timeout(10):
            while content.exception() is None:
                await asyncio.sleep(0.01)
        read, wire, texts = body.read, CompletionStream(), list[str]()

        async def read_on() -> None:
            while True:
                texts.append(wire.feed(await read()))

        with pytest.raises(httpx2.ReadError):
            await read_on()
        assert "".join(texts) == "".join(script.chunks()[:5])
