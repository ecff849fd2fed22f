"""Processes that end: in order, at once, and in the middle of answers."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.conftest import environment
from tests.support.client import Begun, Person, person
from tests.support.processes import ServerProcess
from tests.support.provider import ScriptedProvider
from tests.support.script import Script
from tests.support.sse import SSEClient


@pytest.fixture
async def env(redis_url: str, provider: ScriptedProvider) -> dict[str, str]:
    return environment(redis_url, provider.base_url)


@pytest.fixture
async def server(env: dict[str, str]) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(env=env) as server:
        await server.wait_ready()
        yield server


async def ready(server: ServerProcess) -> str:
    await server.wait_ready()
    return server.url


async def read_to_the_end(stream: SSEClient) -> list[str | None]:
    return [event.event async for event in stream]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
async def test_a_signal_ends_a_server_with_open_streams(
    env: dict[str, str], provider: ScriptedProvider, number: signal.Signals, times: int
) -> None:
    # An answer that goes on elsewhere keeps nobody waiting.
    async with (
        ServerProcess(env=env | {"CHATAPP_RESUME": "prefill"}) as server,
        person(await ready(server)) as ann,
    ):
        begun = await ann.begin("n=10 fault=stall@3")
        async with ann.stream(begun.events) as one, ann.stream(begun.html) as two:
            readers = [asyncio.create_task(read_to_the_end(stream)) for stream in (one, two)]
            await provider.until(lambda: provider.calls and provider.calls[-1].sent == 3)
            started = time.monotonic()
            for _ in range(times):
                server.signal(number)
            code = await server.exited(10)
            events, _ = await asyncio.gather(*readers)
        assert time.monotonic() - started < 5
        assert code == 0
        # Sent away in order, not cut off: with a word on when to come back, and no end.
        assert one.complete
        assert two.complete
        assert "end" not in events
        assert one.parser.retry is not None
    assert "Traceback" not in server.log
    await asyncio.wait_for(provider.calls[-1].client_gone.wait(), 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("args", [["web"], ["worker"], []], ids=["web", "worker", "everything"])
async def test_a_signal_that_comes_again_until_the_last_moment(
    env: dict[str, str], args: list[str], number: signal.Signals
) -> None:
    async with ServerProcess(args, env if args else {}) as process:
        if args == ["worker"]:
            async with asyncio.timeout(30):
                while "waits for answers" not in process.log:
                    await asyncio.sleep(0.05)
        else:
            await process.wait_ready()
        async with asyncio.timeout(20):
            while not process.ended:
                process.signal(number)
                await asyncio.sleep(0.01)
        assert await process.exited() == 0
        assert "Traceback" not in process.log


async def test_a_busy_answer_keeps_nobody(env: dict[str, str], provider: ScriptedProvider) -> None:
    """Of one that others write there is always some more, faster than a page is told."""
    async with (
        ServerProcess(env=env | {"CHATAPP_WORKERS": "external"}) as web,
        ServerProcess(["worker"], env=env),
        person(await ready(web)) as ann,
    ):
        begun = await ann.begin("n=3000 rate=200 seed=7")
        await provider.until(lambda: provider.calls and provider.calls[-1].sent > 20, 20)
        async with ann.stream(begun.events) as one, ann.stream(begun.html) as two:
            readers = [asyncio.create_task(read_to_the_end(stream)) for stream in (one, two)]
            await asyncio.sleep(0.5)
            web.signal(signal.SIGTERM)
            await asyncio.wait_for(asyncio.gather(*readers), 5)
        assert await web.exited(10) == 0
        assert one.complete
        assert two.complete
        assert two.parser.retry != 1000, "cut off, and not sent away"
    assert "Traceback" not in web.log


async def test_an_answer_that_nobody_can_continue_may_finish(
    server: ServerProcess, provider: ScriptedProvider, env: dict[str, str]
) -> None:
    script = Script(n=60, rate=10, seed=1)
    async with person(server.url) as ann:
        begun = await ann.begin(script.prompt)
        await provider.until(lambda: provider.calls and provider.calls[-1].sent == 5)
        assert await server.terminate(20) == 0
        server.start()
        await server.wait_ready()
        message = await ann.message(begun)
    assert (message["status"], message["text"]) == ("completed", script.text)
    assert len(provider.calls) == 1


async def test_an_answer_without_text_is_taken_over_at_once(
    server: ServerProcess, provider: ScriptedProvider, env: dict[str, str]
) -> None:
    async with person(server.url) as ann:
        begun = await ann.begin("n=10 seed=6 fault=hold")
        await provider.until(lambda: len(provider.calls) == 1)
        # Only now, so that it was not this one that claimed it.
        async with ServerProcess(env=env) as other:
            await other.wait_ready()
            begun.events = begun.events.replace(server.url, other.url)
            reading = asyncio.create_task(ann.follow(begun))
            await server.terminate(10)
            await asyncio.wait_for(provider.calls[0].client_gone.wait(), 2)
            handed_over = time.monotonic()
            provider.release()
            answer = await reading
            assert time.monotonic() - handed_over < 2
    assert len(provider.calls) == 2
    assert answer.text == Script(n=10, seed=6).text
    assert answer.end is not None
    assert answer.end["status"] == "completed"


@pytest.mark.timeout(90)
@pytest.mark.parametrize("how", ["terminated", "killed"])
async def test_a_half_answer_keeps_its_text_and_gets_its_end(
    server: ServerProcess, provider: ScriptedProvider, how: str
) -> None:
    script = Script(n=40, seed=8, kind="markdown")
    async with person(server.url) as ann:
        begun = await ann.begin(f"{script.prompt} fault=stall@20")
        seen = ""
        async with ann.stream(begun.events) as stream:
            async for event in stream:
                seen += json.loads(event.data).get("text", "")
                if seen == "".join(script.chunks()[:20]):
                    break
            last_id = stream.parser.last_id
        if how == "killed":
            server.kill()
        else:
            started = time.monotonic()
            assert await server.terminate(28) == 0
            # Nobody can go on with it, so it had its time to finish.
            assert 15 < time.monotonic() - started < 25
        provider.release()
        server.start()
        await server.wait_ready()
        async with ann.stream(f"{begun.events}?after={last_id}") as stream:
            events = [event async for event in stream]
        message = await ann.message(begun)
    assert [event.event for event in events if event.event != "heartbeat"] == ["end"]
    assert (message["status"], message["text"]) == ("interrupted", seen)
    assert len(provider.calls) == 1


RESUMING = [
    pytest.param({"CHATAPP_RESUME": "prefill"}, id="prefill"),
    pytest.param({"CHATAPP_API": "responses"}, id="server"),
]


@pytest.mark.timeout(90)
@pytest.mark.parametrize("how", ["terminated", "killed"])
@pytest.mark.parametrize("strategy", RESUMING)
async def test_a_half_answer_is_taken_over_and_goes_on(
    provider: ScriptedProvider, env: dict[str, str], strategy: dict[str, str], how: str
) -> None:
    script = Script(n=40, seed=8, kind="markdown")
    prompt = f"{script.prompt} fault=stall@20 times=1"
    async with half_an_answer(provider, env | strategy, prompt) as (ann, begun, owner):
        reading = asyncio.create_task(ann.follow(begun))
        started = time.monotonic()
        if how == "killed":
            owner.kill()
            provider.release()
        else:
            owner.signal(signal.SIGTERM)
            await provider.until(lambda: len(provider.calls) + len(provider.reopened) == 2, 10)
            provider.release()
        answer = await reading
        # The lease, and 3 s; a handover does not wait for it.
        assert time.monotonic() - started < (13 if how == "killed" else 5)
        message = await ann.message(begun)
    assert (message["status"], message["text"], answer.text) == ("completed", script.text, script.text)
    if "CHATAPP_API" in strategy:
        assert len(provider.calls) == 1
        assert [after for _, after in provider.reopened] == [21]
    else:
        assert [call.prefix for call in provider.calls] == ["", "".join(script.chunks()[:20])]


@pytest.mark.timeout(90)
async def test_a_frozen_worker_is_replaced_and_hangs_up_when_it_wakes(
    provider: ScriptedProvider, env: dict[str, str]
) -> None:
    script = Script(n=40, seed=9, kind="markdown")
    env |= {"CHATAPP_RESUME": "prefill"}
    prompt = f"{script.prompt} fault=stall@20 times=1"
    async with half_an_answer(provider, env, prompt) as (ann, begun, owner):
        frozen = time.monotonic()
        owner.signal(signal.SIGSTOP)
        answer = await ann.follow(begun)
        assert time.monotonic() - frozen < 13
        assert (answer.text, answer.end and answer.end["status"]) == (script.text, "completed")
        assert not provider.calls[0].client_gone.is_set()
        # Its provider is silent, or talks on: it makes no difference.
        owner.signal(signal.SIGCONT)
        await asyncio.wait_for(provider.calls[0].client_gone.wait(), 2)
        assert (await ann.message(begun))["text"] == script.text
        assert len(provider.calls) == 2


@asynccontextmanager
async def half_an_answer(
    provider: ScriptedProvider, env: dict[str, str], prompt: str
) -> AsyncIterator[tuple[Person, Begun, ServerProcess]]:
    """Somebody who waits for an answer, the worker that has written half of it, and another that is idle."""
    async with (
        ServerProcess(env=env | {"CHATAPP_WORKERS": "external"}) as web,
        ServerProcess(["worker"], env=env) as owner,
        ServerProcess(["worker"], env=env) as other,
        person(await ready(web)) as ann,
    ):
        other.signal(signal.SIGSTOP)
        begun = await ann.begin(prompt)
        await provider.until(lambda: provider.calls and provider.calls[0].sent == 20, 30)
        other.signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            while "waits for answers" not in other.log:
                await asyncio.sleep(0.05)
        sent = "".join(Script.parse(prompt).chunks()[:20])
        async with asyncio.timeout(20):
            while (await ann.message(begun))["text"] != sent:
                await asyncio.sleep(0.05)
        yield ann, begun, owner


async def test_chats_are_still_there_after_a_restart_with_the_embedded_redis(
    provider: ScriptedProvider,
) -> None:
    env = {"OPENAI_BASE_URL": provider.base_url, "OPENAI_MODEL": "scripted"}
    script = Script(n=10, seed=2)
    async with ServerProcess(env=env) as server:
        await server.wait_ready()
        async with person(server.url) as ann:
            begun = await ann.begin(script.prompt)
            assert (await ann.follow(begun)).text == script.text
            assert await server.terminate(10) == 0
            server.start()
            await server.wait_ready()
            assert (await ann.message(begun))["text"] == script.text
            assert (await ann.http.get("/")).text.count(begun.chat_id) >= 1


async def test_the_demo_model_answers_without_any_setting() -> None:
    async with ServerProcess() as server:
        await server.wait_ready()
        async with person(server.url) as ann:
            page = (await ann.http.get("/")).text
            assert "Demo" in page
            answer = await ann.follow(await ann.begin("Hi"))
    assert answer.end is not None
    assert answer.end["status"] == "completed"
    assert "demo" in answer.text
