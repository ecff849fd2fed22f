"""Whatever goes wrong at the provider has a code, words for people, and as many calls as make sense."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import openai
import pytest

from chatapp.answers import writer
from chatapp.answers.failures import failure, stream_failure
from chatapp.models import Failure, Status
from chatapp.storage.connections import Connections
from tests.answers.conftest import Asked, asked, working
from tests.support.processes import free_port
from tests.support.provider import ScriptedProvider
from tests.support.script import Script


def refused(status: int, error: dict[str, Any] | None = None, **headers: str) -> openai.APIStatusError:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=names, request=httpx2.Request("POST", "http://host/v1"))
    return openai.APIStatusError("refused", response=response, body=error)


def test_half_a_character_is_no_word_that_can_be_written() -> None:
    error = {"message": "too \ud83d much", "code": "\ud83d"}
    for found in (stream_failure(error, None), failure(refused(400, error), None)):
        assert found.message.encode().endswith(b": too ? much")


@pytest.mark.parametrize(
    ("status", "error", "code", "again"),
    [
        (400, {"message": "bad"}, "bad_request", False),
        (400, {"message": "This model's maximum context length is 8192 tokens"}, "context_length", False),
        (400, {"code": "context_length_exceeded"}, "context_length", False),
        (400, {"message": "the request exceeds the available context size"}, "context_length", False),
        (401, {"message": "no"}, "auth", False),
        (402, None, "quota", False),
        (403, None, "auth", False),
        (404, {"code": "model_not_found"}, "not_found", False),
        (408, None, "upstream_error", True),
        (422, None, "bad_request", False),
        (429, {"type": "tokens"}, "rate_limit", True),
        (429, {"code": "insufficient_quota"}, "quota", False),
        (500, None, "upstream_error", True),
        (529, {"type": "overloaded_error"}, "upstream_error", True),
    ],
)
def test_statuses(status: int, error: dict[str, Any] | None, code: str, again: bool) -> None:
    named = failure(refused(status, error), None)
    assert (named.code, named.retryable) == (code, again)
    assert named.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 429, "message": "slow down"}, "rate_limit"),
        ({"code": "429"}, "rate_limit"),
        ({"type": "rate_limit_error"}, "rate_limit"),
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, "quota"),
        ({"code": "invalid_api_key", "type": "invalid_request_error"}, "auth"),
        ({"code": "context_length_exceeded"}, "context_length"),
        ({"code": 502}, "upstream_error"),
        ({"type": "overloaded_error"}, "upstream_error"),
        ({"code": "²"}, "upstream_error"),
        ({"code": ["odd"]}, "upstream_error"),
        ("only words", "upstream_error"),
    ],
)
def test_error_objects_in_a_stream(error: Any, code: str) -> None:
    assert stream_failure(error, None).code == code


def test_retry_after() -> None:
    assert failure(refused(429, None, retry_after="7"), None).retry_after == 7
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)
    wait = failure(refused(503, None, retry_after=soon), None).retry_after
    assert wait is not None
    assert 8 < wait <= 10
    assert failure(refused(503, None, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), None).retry_after == 0
    assert failure(refused(429, None, retry_after="nonsense"), None).retry_after is None
    assert failure(refused(429, None, retry_after="20"), None).retryable
    assert not failure(refused(429, None, retry_after="20.5"), None).retryable
    late = failure(refused(429, None, retry_after="3600"), None)
    assert not late.retryable
    assert "60 minutes" in late.message


def test_no_key_is_ever_shown() -> None:
    secret = "topsecret-value"
    words = f"wrong {secret}, sk-live-abcdef123456, Bearer abc.def"
    for named in (
        failure(refused(401, {"message": words}), secret),
        stream_failure({"message": words}, secret),
    ):
        assert not any(key in named.message for key in (secret, "sk-live", "abc.def"))


async def end_of(answer: Asked) -> tuple[Status, Failure]:
    outcome = (await answer.ended()).outcome
    assert outcome is not None
    assert outcome.error is not None
    return outcome.status, outcome.error


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:{closed}/v1", "refused the connection"),
        ("http://no-such-host.invalid/v1", "host name is not known"),
        ("https://127.0.0.1:{plain}/v1", "TLS"),
    ],
)
async def test_a_provider_that_cannot_be_reached(connections: Connections, address: str, words: str) -> None:
    async def speak_no_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak_no_tls, "127.0.0.1")
    url = address.format(closed=free_port(), plain=server.sockets[0].getsockname()[1])
    async with server, working(connections, url):
        status, error = await end_of(await asked(connections, "n=3"))
    assert (status, error.code) == (Status.FAILED, "connection")
    assert words in error.message


@pytest.mark.parametrize(
    ("prompt", "calls", "code"),
    [
        ("status=429 retry_after=0.1", 3, "rate_limit"),
        ("status=529", 3, "upstream_error"),
        ("status=429 retry_after=3600", 1, "rate_limit"),
        ("status=402", 1, "quota"),
        ("status=403", 1, "auth"),
        ("fault=rst@0", 3, "upstream_reset"),
        ("fault=error@0", 3, "upstream_error"),
        ("fault=html", 1, "protocol"),
    ],
)
async def test_calls(
    connections: Connections, provider: ScriptedProvider, prompt: str, calls: int, code: str
) -> None:
    async with working(connections, provider):
        status, error = await end_of(await asked(connections, prompt))
    assert (status, error.code) == (Status.FAILED, code)
    assert len(provider.calls) == calls


async def test_while_it_waits_it_holds_no_lease_and_can_be_stopped(
    connections: Connections, provider: ScriptedProvider
) -> None:
    async with working(connections, provider):
        answer = await asked(connections, "status=429 retry_after=10")
        await provider.until(lambda: provider.calls)
        async with asyncio.timeout(3):
            while (await answer.generation())["state"] != "queued":
                await asyncio.sleep(0.02)
        await answer.stop()
        outcome = (await answer.ended()).outcome
        assert outcome is not None
        assert outcome.status is Status.STOPPED
    assert len(provider.calls) == 1


@pytest.mark.parametrize(
    ("prompt", "status"), [("n=9 fault=stall@0", Status.FAILED), ("n=9 fault=stall@3", Status.INTERRUPTED)]
)
async def test_silence(
    connections: Connections, provider: ScriptedProvider, prompt: str, status: Status
) -> None:
    async with working(connections, provider, idle_timeout=0.4):
        found, error = await end_of(await asked(connections, prompt))
    assert (found, error.code) == (status, "timeout")
    assert len(provider.calls) == 1
    await asyncio.wait_for(provider.calls[0].client_gone.wait(), 2)


async def test_silence_beside_an_answer_that_goes_on(
    connections: Connections, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rounds as with many answers: in each of them the other one has something.
    monkeypatch.setattr(writer, "_FEW", -100)
    async with working(connections, provider, idle_timeout=0.4):
        busy = await asked(connections, "n=2000 rate=200")
        silent = await asked(connections, "n=9 fault=stall@3")
        found, error = await end_of(silent)
        assert (found, error.code) == (Status.INTERRUPTED, "timeout")
        assert await busy.text()
        await busy.stop()
        outcome = (await busy.ended()).outcome
        # It did not end before.
        assert outcome is not None
        assert outcome.status is Status.STOPPED


@pytest.mark.parametrize(
    ("prompt", "status", "reason", "code"),
    [
        ("n=3 finish=tool_calls", Status.COMPLETED, "stop", None),
        ("n=3 finish=eos_token", Status.COMPLETED, "stop", None),
        ("finish=tool_calls fault=empty", Status.FAILED, "stop", "tool_calls"),
        ("finish=content_filter fault=empty", Status.FAILED, "content_filter", "content_filter"),
        ("finish=odd fault=empty", Status.FAILED, "stop", "empty_answer"),
    ],
)
async def test_how_it_finishes(
    connections: Connections,
    provider: ScriptedProvider,
    prompt: str,
    status: Status,
    reason: str,
    code: str | None,
) -> None:
    async with working(connections, provider):
        outcome = (await (await asked(connections, prompt)).ended()).outcome
    assert outcome is not None
    assert (outcome.status, outcome.finish_reason) == (status, reason)
    assert (outcome.error.code if outcome.error else None) == code


async def test_many_tiny_deltas_become_few_entries(
    connections: Connections, provider: ScriptedProvider
) -> None:
    script = Script(n=20_000, seed=1)
    async with working(connections, provider):
        answer = await asked(connections, script.prompt)
        assert (await answer.ended()).text == script.text
    assert len(await answer.log()) < script.n / 2
