"""The test bench tested by itself: a fault that does not strike would make every other test worthless."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.support.ports import give_back
from tests.support.processes import ROOT, RedisProcess, ServerProcess, clean_environment, free_port
from tests.support.provider import ScriptedProvider
from tests.support.proxy import FaultProxy, Listener
from tests.support.script import KINDS, Script, mend
from tests.support.sse import SSEClient, SSEEvent, SSEParser, read_answer


async def ask(base_url: str, prompt: str, **options: Any) -> openai.AsyncStream[Any]:
    client = openai.AsyncOpenAI(base_url=base_url, api_key="secret", max_retries=0, timeout=10)
    messages: Any = [{"role": "system", "content": "n=1"}, {"role": "user", "content": prompt}]
    stream: openai.AsyncStream[Any] = await client.chat.completions.create(
        model="scripted", messages=messages, stream=True, **options
    )
    return stream


async def go_on(base_url: str, prompt: str, begun: str) -> openai.AsyncStream[Any]:
    client = openai.AsyncOpenAI(base_url=base_url, api_key="secret", max_retries=0, timeout=10)
    messages: Any = [{"role": "user", "content": prompt}, {"role": "assistant", "content": begun}]
    stream: openai.AsyncStream[Any] = await client.chat.completions.create(
        model="scripted", messages=messages, stream=True
    )
    return stream


async def in_background(client: openai.AsyncOpenAI, prompt: str) -> Any:
    question: Any = [{"role": "user", "content": prompt}]
    return await client.responses.create(model="scripted", input=question, background=True, stream=True)


async def collect(stream: Any, events: list[Any]) -> None:
    async for event in stream:
        events.append(event)


async def read(stream: openai.AsyncStream[Any], deltas: list[str] | None = None) -> tuple[str, str | None]:
    deltas, finish = [] if deltas is None else deltas, None
    async for chunk in stream:
        for choice in chunk.choices:
            deltas.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    return mend("".join(deltas)), finish


class TestScript:
    @pytest.mark.parametrize("kind", sorted(KINDS))
    def test_is_a_pure_function_of_the_prompt(self, kind: str) -> None:
        script = Script.parse(f"please n=300 seed=7 kind={kind} thanks")
        assert script.chunks() == Script.parse(script.prompt).chunks()
        assert len(script.chunks()) == 300
        assert all(script.chunks())
        assert script.text.encode()
        shorter = Script.parse(f"n=100 seed=7 kind={kind}").chunks()
        assert script.chunks()[:99] == shorter[:99]  # the last one never is half a character

    def test_renders_itself_back(self) -> None:
        prompt = "n=7 rate=0.5 kind=emoji finish=length times=2 retry_after=1 fault=rst@3,crlf,status@429"
        assert Script.parse(prompt).prompt == prompt
        assert Script.parse("status=429 hello").prompt == "fault=status@429"
        assert Script.parse("fault=status=429") == Script.parse("status=429")

    @pytest.mark.parametrize("prompt", ["fault=typo", "kind=typo", "n=x"])
    def test_refuses_a_typo(self, prompt: str) -> None:
        with pytest.raises(ValueError, match=r"typo|'x'"):
            Script.parse(prompt)

    @given(n=st.integers(0, 60), seed=st.integers(0, 10**6))
    def test_surrogate_halves_always_join(self, n: int, seed: int) -> None:
        assert "\ufffd" not in Script(n=n, seed=seed, kind="surrogate").text

    def test_surrogate_halves_are_in_chunks_of_their_own(self) -> None:
        chunks = Script(n=100, kind="surrogate").chunks()
        assert any("\ud800" <= chunk <= "\udbff" for chunk in chunks)


class TestProvider:
    @pytest.mark.parametrize("framing", ["", "fault=crlf,nospace,comments", "fault=slowbytes", "fault=gzip"])
    @pytest.mark.parametrize("kind", sorted(KINDS))
    async def test_text_arrives_exactly(self, provider: ScriptedProvider, kind: str, framing: str) -> None:
        prompt = f"n=60 kind={kind} {framing}"
        assert await read(await ask(provider.base_url, prompt)) == (Script.parse(prompt).text, "stop")
        (call,) = provider.calls
        assert (call.sent, call.finished, call.client_gone.is_set()) == (60, True, False)
        assert (call.model, call.authorization) == ("scripted", "Bearer secret")
        assert call.messages[-1]["content"] == prompt

    async def test_usage_and_finish_reason(self, provider: ScriptedProvider) -> None:
        stream = await ask(provider.base_url, "n=3 finish=length", stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens == 3
        assert chunks[-2].choices[0].finish_reason == "length"

    async def test_without_streaming_and_models(self, provider: ScriptedProvider) -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="secret") as client:
            answer = await client.chat.completions.create(
                model="scripted", messages=[{"role": "user", "content": "n=9"}]
            )
            assert answer.choices[0].message.content == Script(n=9).text
            assert [model.id async for model in client.models.list()] == ["scripted"]

    async def test_rate(self, provider: ScriptedProvider) -> None:
        began = asyncio.get_running_loop().time()
        await read(await ask(provider.base_url, "n=11 rate=50 first=0.1"))
        assert 0.29 < asyncio.get_running_loop().time() - began < 2

    @pytest.mark.parametrize(
        ("prompt", "text", "finish"),
        [
            ("n=9 fault=eof@4", "".join(Script(n=4).chunks()), None),
            ("n=9 fault=nofinish", Script(n=9).text, None),
            ("fault=empty", "", "stop"),
            ("n=3 fault=reasoning@5", Script(n=3).text, "stop"),
            ("n=3 fault=big", Script.parse("n=3 fault=big").text, "stop"),
        ],
    )
    async def test_endings(
        self, provider: ScriptedProvider, prompt: str, text: str, finish: str | None
    ) -> None:
        assert await read(await ask(provider.base_url, prompt)) == (text, finish)

    @pytest.mark.parametrize(("fault", "error"), [("rst@30", None), ("error@30", "scripted failure")])
    async def test_failure_within_the_stream(
        self, provider: ScriptedProvider, fault: str, error: str | None
    ) -> None:
        deltas: list[str] = []
        stream = await ask(provider.base_url, f"fault={fault}")
        with pytest.raises(openai.APIError, match=error):
            await read(stream, deltas)
        assert "".join(deltas) == Script(n=30).text
        assert (provider.calls[0].sent, provider.calls[0].finished) == (30, False)

    @pytest.mark.parametrize("fault", ["badjson@2", "pings"])
    async def test_what_the_openai_client_cannot_read(self, provider: ScriptedProvider, fault: str) -> None:
        with pytest.raises(json.JSONDecodeError):
            await read(await ask(provider.base_url, f"fault={fault}"))

    async def test_html(self, provider: ScriptedProvider) -> None:
        assert await read(await ask(provider.base_url, "fault=html")) == ("", None)

    async def test_status(self, provider: ScriptedProvider) -> None:
        for _ in range(2):
            with pytest.raises(openai.RateLimitError) as caught:
                await ask(provider.base_url, "n=2 status=429 retry_after=1 times=2")
            assert caught.value.response.headers["retry-after"] == "1"
        assert await read(await ask(provider.base_url, "n=2 status=429 retry_after=1 times=2")) == (
            Script(n=2).text,
            "stop",
        )

    async def test_typo_is_a_bad_request(self, provider: ScriptedProvider) -> None:
        with pytest.raises(openai.BadRequestError, match="unknown fault"):
            await ask(provider.base_url, "fault=typo")

    @pytest.mark.parametrize("fault", ["stall@5", "hold"])
    async def test_release(self, provider: ScriptedProvider, fault: str) -> None:
        asking = asyncio.create_task(ask(provider.base_url, f"n=9 fault={fault}"))
        await provider.until(lambda: provider.calls)
        if fault == "hold":
            assert not asking.done()
        else:
            await provider.until(lambda: provider.calls[0].sent == 5)
        provider.release()
        assert await read(await asking) == (Script(n=9).text, "stop")

    async def test_hurries(self, provider: ScriptedProvider) -> None:
        reading = asyncio.create_task(read(await ask(provider.base_url, "n=9 rate=0.1")))
        await provider.until(lambda: provider.calls[0].sent)
        assert not reading.done()
        provider.hurry()
        assert await asyncio.wait_for(reading, 5) == (Script(n=9).text, "stop")

    @pytest.mark.parametrize(
        "prompt", ["n=9 fault=stall@5", "n=1000 rate=50", "n=9 fault=stall@5,ignoreclose"]
    )
    async def test_sees_the_client_hang_up(self, provider: ScriptedProvider, prompt: str) -> None:
        stream = await ask(provider.base_url, prompt)
        await provider.until(lambda: provider.calls[0].sent >= 5)
        await stream.close()
        await asyncio.wait_for(provider.calls[0].client_gone.wait(), 1)
        assert provider.calls[0].gone_at is not None
        if "ignoreclose" in prompt:
            provider.release()
            await provider.until(lambda: provider.calls[0].finished)

    async def test_lets_go(self, provider: ScriptedProvider) -> None:
        for prompt in ("n=2 fault=hold", "n=2 fault=stall@1"):
            first = asyncio.create_task(self.whole(provider, prompt))
            await provider.let_go(1)
            assert await first == (Script(n=2).text, "stop")
            second = asyncio.create_task(self.whole(provider, prompt))
            await provider.let_go(1)
            assert await second == (Script(n=2).text, "stop")

    @staticmethod
    async def whole(provider: ScriptedProvider, prompt: str) -> tuple[str, str | None]:
        return await read(await ask(provider.base_url, prompt))

    async def test_continues_a_partial_answer(self, provider: ScriptedProvider) -> None:
        whole = Script(n=9)
        for begun in ("", whole.chunks()[0], whole.text[:11], whole.text):
            assert await read(await go_on(provider.base_url, "n=9", begun)) == (
                whole.text[len(begun) :],
                "stop",
            )
            assert provider.calls[-1].prefix == begun
        assert await read(await go_on(provider.base_url, "n=9 fault=echo", begun)) == (whole.text, "stop")
        for prompt, text in (("n=9 fault=noprefill", whole.text[:5]), ("n=9", "not what it said")):
            with pytest.raises(openai.BadRequestError):
                await go_on(provider.base_url, prompt, text)

    async def test_background_answer(self, provider: ScriptedProvider) -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="k", max_retries=0) as client:
            events: list[Any] = []
            with pytest.raises(openai.APIConnectionError):
                await collect(await in_background(client, "n=9 rate=100 fault=rst@4"), events)
            # It goes on without anybody, and may be read from anywhere.
            response_id, last = events[0].response.id, events[-1].sequence_number
            await collect(
                await client.responses.retrieve(response_id, stream=True, starting_after=last), events
            )
            deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
            assert "".join(deltas) == Script(n=9).text
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert events[-1].type == "response.completed"
            assert provider.reopened == [(response_id, last)]
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve("resp_unknown", stream=True)

    async def test_a_background_answer_can_be_cancelled(self, provider: ScriptedProvider) -> None:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="k") as client:
            stream = await in_background(client, "n=9 fault=stall@4")
            response_id = (await anext(aiter(stream))).response.id
            await client.responses.cancel(response_id)
            events: list[Any] = []
            await collect(stream, events)
            assert events[-1].type == "response.cancelled"
            assert provider.responses[0].cancelled

    async def test_survives_garbage(self, provider: ScriptedProvider) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.write(b"nonsense\r\n\r\n")
        writer.close()
        assert (await read(await ask(provider.base_url, "n=2")))[1] == "stop"

    async def test_runs_by_itself(self) -> None:
        port = free_port()
        async with ServerProcess(["--port", str(port)], module="tests.support.provider", port=port) as server:
            await server.wait_ready("/v1/models")
            assert server.log == f"http://127.0.0.1:{port}/v1\n"
            server.signal(signal.SIGINT)
            assert await server.exited(5) == 0


@pytest.fixture
async def proxy(provider: ScriptedProvider) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", provider.port) as proxy:
        yield proxy


async def get(url: str, **options: Any) -> SSEClient:
    async with SSEClient.open(url, **options) as stream:
        async for _ in stream:
            pass
        return stream


class TestProxy:
    async def test_passes_through(self, provider: ScriptedProvider, proxy: FaultProxy) -> None:
        assert await read(await ask(f"{proxy.url}/v1", "n=50")) == (Script(n=50).text, "stop")
        (request,) = proxy.requests
        assert (request.method, request.path) == ("POST", "/v1/chat/completions")
        assert request.headers["authorization"] == "Bearer secret"
        assert request.bytes_down > 50 * 20

    @pytest.mark.parametrize("reset", [False, True])
    async def test_cuts_the_next_connection_after_n_bytes(self, proxy: FaultProxy, reset: bool) -> None:
        whole = await raw(proxy.port)
        for n in (1, 17, len(whole) - 1):
            proxy.cut_after(n, reset=reset)
            assert await raw(proxy.port) == whole[:n] + (b"RESET" if reset else b"")
        assert await raw(proxy.port) == whole

    async def test_cuts_requests(self, provider: ScriptedProvider, proxy: FaultProxy) -> None:
        proxy.cut_after(300, "up")
        with pytest.raises(openai.APIConnectionError):
            await ask(f"{proxy.url}/v1", "n=5 " + "x" * 1000)
        assert provider.calls == []

    async def test_cuts_all(self, provider: ScriptedProvider, proxy: FaultProxy) -> None:
        stream = await ask(f"{proxy.url}/v1", "fault=stall@5")
        await provider.until(lambda: provider.calls[0].sent == 5)
        proxy.cut_all(reset=True)
        with pytest.raises(openai.APIConnectionError):
            await read(stream)
        await asyncio.wait_for(provider.calls[0].client_gone.wait(), 1)

    async def test_answers_instead(self, proxy: FaultProxy) -> None:
        proxy.answer(502, times=2, path_contains="/models")
        for expected in (502, 502, 200):
            stream = await get(f"{proxy.url}/v1/models")
            assert stream.status == expected
            assert (b'id="proxy-page"' in stream.raw) == (expected == 502)
        proxy.answer(503)
        assert (await get(f"{proxy.url}/v1/models")).status == 503
        proxy.heal()
        assert (await get(f"{proxy.url}/v1/models")).status == 200

    async def test_answers_a_post_without_a_reset(self, proxy: FaultProxy) -> None:
        proxy.answer(503)
        with pytest.raises(openai.InternalServerError):
            await ask(f"{proxy.url}/v1", "x" * 1_000_000)

    async def test_refuses(self, proxy: FaultProxy) -> None:
        port = proxy.port
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await raw(port)
        await proxy.accept()
        assert proxy.port == port
        assert b"scripted" in await raw(port)

    async def test_black_hole(self, provider: ScriptedProvider, proxy: FaultProxy) -> None:
        stream = await ask(f"{proxy.url}/v1", "n=9 fault=stall@5")
        await provider.until(lambda: provider.calls[0].sent == 5)
        proxy.blackhole()
        provider.release()
        reading = asyncio.create_task(read(stream))
        with pytest.raises(TimeoutError):
            await get(f"{proxy.url}/v1/models", timeout=0.2)
        assert not reading.done()
        proxy.heal()
        assert await reading == (Script(n=9).text, "stop")

    async def test_splits_and_delays(self, proxy: FaultProxy) -> None:
        proxy.split(1)
        proxy.delay(0.01)
        assert await read(await ask(f"{proxy.url}/v1", "kind=emoji")) == (Script(kind="emoji").text, "stop")

    async def test_strips_a_header(self, provider: ScriptedProvider, proxy: FaultProxy) -> None:
        proxy.strip("Authorization")  # noqa: B005  # not a str
        await read(await ask(f"{proxy.url}/v1", "n=1"))
        assert provider.calls[0].authorization is None

    async def test_client_leaving_reaches_the_target(
        self, provider: ScriptedProvider, proxy: FaultProxy
    ) -> None:
        stream = await ask(f"{proxy.url}/v1", "fault=stall@5")
        await stream.close()
        await asyncio.wait_for(provider.calls[0].client_gone.wait(), 1)

    async def test_plain_tcp(self, redis_server: RedisProcess) -> None:
        def ping() -> bool:
            with Redis(port=tcp.port, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())

        async with FaultProxy("127.0.0.1", redis_server.port, http=False) as tcp:
            assert await asyncio.to_thread(ping)
            tcp.blackhole()
            with pytest.raises(RedisError):
                await asyncio.to_thread(ping)
            tcp.heal()
            tcp.cut_after(3)
            with pytest.raises(RedisError):
                await asyncio.to_thread(ping)
            assert await asyncio.to_thread(ping)


async def raw(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nHost: test\r\n\r\n")
    received = b""
    try:
        while data := await reader.read(1000):
            received += data
    except ConnectionResetError:
        received += b"RESET"
    finally:
        writer.close()
    return received


SSE_CASES = [
    pytest.param(b"data: a\n\n", [SSEEvent(None, "message", "a")], id="plain"),
    pytest.param(
        b"data:a\r\rdata:  b\r\n\r\n", [SSEEvent(None, "message", v) for v in ("a", " b")], id="ends"
    ),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n", [SSEEvent(None, "message", "a")], id="bom"),
    pytest.param(
        b": hb\n\n:\n\ndata\ndata\n\n", [SSEEvent(None, "message", "\n")], id="comments and empty data"
    ),
    pytest.param(b"event: x\nid: 1-0\ndata: a\ndata: b\n\n", [SSEEvent("1-0", "x", "a\nb")], id="all fields"),
    pytest.param(
        b"id: 1\n\nevent: x\n\ndata: a\n\n", [SSEEvent(None, "message", "a")], id="no data, no event"
    ),
    pytest.param(b"id: 1\0\nretry: 1x\ndata: a\n\n", [SSEEvent(None, "message", "a")], id="bad id and retry"),
    pytest.param(b"data: a\n\ndata: b\n", [SSEEvent(None, "message", "a")], id="partial"),
    pytest.param(
        "data: é\u2028\x85😀\n\n".encode(), [SSEEvent(None, "message", "é\u2028\x85😀")], id="utf-8"
    ),
]


class TestSSE:
    @pytest.mark.parametrize("size", [1, 2, 3, 1000])
    @pytest.mark.parametrize(("stream", "events"), SSE_CASES)
    def test_parser(self, stream: bytes, events: list[SSEEvent], size: int) -> None:
        for ending in (b"\n", b"\r", b"\r\n"):
            sent = stream if b"\r" in stream else stream.replace(b"\n", ending)
            parser = SSEParser()
            pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
            assert [event for piece in pieces for event in parser.feed(piece)] == events

    def test_ids_and_retry(self) -> None:
        parser = SSEParser()
        assert parser.feed(b"retry: 250\nid: 1-0\n\ndata: a\n\nid: 2-0\ndata: lost") == [
            SSEEvent(None, "message", "a")
        ]
        assert (parser.last_id, parser.retry) == ("1-0", 250)

    async def test_client_reads_chunked_and_cuts_exactly(self) -> None:
        async with Log() as log:
            whole = await get(log.url)
            assert whole.complete
            for n in (0, 1, 100, len(whole.raw) - 1):
                cut = await get(log.url, cut_after_bytes=n)
                assert (cut.raw, cut.complete) == (whole.raw[:n], False)

    async def test_client_notices_a_broken_body(self) -> None:
        async with Log() as log, FaultProxy("127.0.0.1", log.port) as proxy:
            proxy.cut_after(200, reset=True)
            stream = await get(proxy.url)
            assert not stream.complete
            assert 0 < len(stream.raw) < 200

    async def test_read_answer_resumes_anywhere(self) -> None:
        async with Log() as log:
            length = len((await get(log.url)).raw)
            for cut in range(0, length, 7):
                answer = await read_answer(log.url, cuts=(cut, 90, 50))
                assert answer.text == log.text
                assert answer.end == {"status": "completed"}
                assert answer.ids == sorted(set(answer.ids))

    async def test_read_answer_shows_duplicates(self) -> None:
        async with Log(forgetful=True) as log:
            with pytest.raises(AssertionError, match="did not rise"):
                await read_answer(log.url, cuts=(150,))
            answer = await read_answer(log.url, cuts=(150,), strict=False)
            assert answer.duplicates
            assert answer.text != log.text

    async def test_read_answer_reports_a_refusal(self, proxy: FaultProxy) -> None:
        proxy.answer(503)
        with pytest.raises(AssertionError, match="answered 503"):
            await read_answer(proxy.url)


class Log(Listener):
    """A ten-entry log served as docs/protocol.md says; a forgetful one ignores where the reader was."""

    text = "".join(f"entry {number}, " for number in range(10, 20))

    def __init__(self, *, forgetful: bool = False) -> None:
        super().__init__()
        self.forgetful = forgetful

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        after = parse_qs(urlsplit(first.split()[1]).query).get("after", ["0-0"])[0]
        after = "0-0" if self.forgetful else headers.get("last-event-id", after)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        events = ["event: heartbeat\ndata: {}\n\n"]
        events += [
            f'id: 7-{number}\nevent: delta\ndata: {{"text": "entry {number}, "}}\n\n'
            for number in range(10, 20)
            if number > int(after.split("-")[1])
        ]
        events.append('event: end\ndata: {"status": "completed"}\n\n')
        for event in events:
            writer.write(f"{len(event):x}\r\n{event}\r\n".encode())
        writer.write(b"0\r\n\r\n")
        await writer.drain()


class TestProcesses:
    def test_redis_keeps_its_data(self) -> None:
        with RedisProcess() as server, Redis.from_url(server.url) as client:
            for end in (server.kill, server.stop):
                client.incr("count")
                end()
                server.start()
            server.restart()
            assert client.get("count") == b"2"

    def test_redis_pauses(self) -> None:
        with (
            RedisProcess() as server,
            Redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)) as client,
        ):
            server.pause()
            with pytest.raises(RedisError):
                client.ping()
            server.resume()
            assert client.ping()

    async def test_redis_leaves_nothing(self) -> None:
        async with RedisProcess() as server:
            folder = server._folder
            server.pause()
        assert not folder.exists()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)

    def test_redis_url_is_empty_and_writable(self, redis_url: str) -> None:
        with Redis.from_url(redis_url) as client:
            assert client.dbsize() == 0
            client.set("left", "over")

    async def test_failed_start_shows_the_log(self) -> None:
        async with ServerProcess(module="tests.no_such_module") as server:
            with pytest.raises(RuntimeError, match="No module named"):
                await server.wait_ready()

    async def test_server_dies_with_its_group(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "secret")
        port = free_port()
        async with ServerProcess(["--port", str(port)], module="tests.support.provider", port=port) as server:
            await server.wait_ready("/v1/models")
            first = server.pid
            await server.restart()
            await server.wait_ready("/v1/models")
            assert server.pid != first
            assert "OPENAI_API_KEY" not in server._env
            assert await server.terminate() == -signal.SIGTERM
            await server.restart()
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 0)
            pytest.fail("the group is still there")

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be held")
    def test_a_free_port_is_nobody_elses(self) -> None:
        port = free_port()
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
                pass
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
        give_back(port)
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", port))

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells the children")
    def test_a_killed_run_leaves_no_process(self, tmp_path: Path) -> None:
        code = (
            "import os, signal; from tests.support.processes import *\n"
            "redis = RedisProcess(); redis.start()\n"
            "server = ServerProcess(['0'], module='http.server'); server.start()\n"
            "print(redis._process.pid, server.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
        )
        command = [sys.executable, "-c", code]
        env = clean_environment() | {"TMPDIR": str(tmp_path)}
        run = subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.PIPE)
        pids = run.stdout.decode().split()
        assert len(pids) == 2
        deadline = time.monotonic() + 10
        while any(_lives(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _lives(pid: str) -> bool:
    # One that nobody has waited for yet is still listed, without a command line.
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False
