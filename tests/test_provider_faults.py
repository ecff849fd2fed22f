"""Whatever the provider does, the answer comes to its one right end, and its neighbours do not notice."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Stage
from tests.support.client import Person
from tests.support.script import Script


def calls_for(stage: Stage, prompt: str) -> list[Any]:
    return [call for call in stage.provider.calls if call.script.prompt == Script.parse(prompt).prompt]


@pytest.mark.parametrize(
    ("prompt", "status", "reason", "code"),
    [
        pytest.param("n=9 seed=1 finish=length", "completed", "length", None, id="length"),
        pytest.param("n=9 seed=1 finish=content_filter", "completed", "content_filter", None, id="filtered"),
        pytest.param("n=9 seed=1 fault=rst@4", "interrupted", None, "upstream_reset", id="reset"),
        pytest.param("n=9 seed=1 fault=eof@4", "interrupted", None, "upstream_eof", id="clean-end-too-early"),
        pytest.param("n=9 seed=1 fault=nofinish", "interrupted", None, "upstream_eof", id="no-finish-reason"),
        pytest.param("n=9 seed=1 fault=error@4", "interrupted", None, "upstream_error", id="error-in-stream"),
        pytest.param("n=9 seed=1 fault=badjson@4", "interrupted", None, "protocol", id="garbage-in-stream"),
        pytest.param("n=9 seed=1 fault=rst@0", "failed", None, "upstream_reset", id="reset-before-text"),
        pytest.param("n=9 seed=1 fault=error@0", "failed", None, "upstream_error", id="error-before-text"),
        pytest.param(
            "n=9 kind=surrogate fault=error@0",
            "failed",
            None,
            "upstream_error",
            id="error-with-half-a-character",
        ),
        pytest.param("n=9 seed=1 fault=html", "failed", None, "protocol", id="html"),
        pytest.param("n=9 seed=1 fault=empty", "failed", "stop", "empty_answer", id="empty"),
        pytest.param("n=9 seed=1 status=401", "failed", None, "auth", id="401"),
        pytest.param("n=9 seed=1 status=400", "failed", None, "bad_request", id="400"),
        pytest.param("n=9 seed=1 status=404", "failed", None, "not_found", id="404"),
        pytest.param("n=9 seed=1 status=429 retry_after=0.1", "failed", None, "rate_limit", id="429"),
        pytest.param("n=9 seed=1 status=500 retry_after=0.1", "failed", None, "upstream_error", id="500"),
        pytest.param(
            "n=9 seed=1 status=500 retry_after=0.1 times=2", "completed", "stop", None, id="500-then-well"
        ),
        pytest.param("n=9 seed=1 fault=crlf", "completed", "stop", None, id="crlf"),
        pytest.param("n=9 seed=1 fault=comments", "completed", "stop", None, id="comments"),
        pytest.param("n=9 seed=1 fault=nospace", "completed", "stop", None, id="no-space-after-data"),
        pytest.param("n=9 seed=1 fault=pings", "completed", "stop", None, id="events-without-data"),
        pytest.param(
            "n=9 seed=1 fault=slowbytes kind=emoji", "completed", "stop", None, id="one-byte-writes"
        ),
        pytest.param("n=9 seed=1 fault=gzip kind=emoji", "completed", "stop", None, id="gzip"),
        pytest.param("n=9 seed=1 fault=gzip,slowbytes", "completed", "stop", None, id="gzip-byte-by-byte"),
        pytest.param("n=9 seed=1 fault=gzip,rst@4", "interrupted", None, "upstream_reset", id="gzip-reset"),
        pytest.param("n=9 seed=1 fault=big", "completed", "stop", None, id="a-delta-of-1-MB"),
        pytest.param("n=9 seed=1 fault=reasoning@3", "completed", "stop", None, id="reasoning-first"),
    ],
)
async def test_each_fault_has_its_end(
    stage: Stage, ann: Person, prompt: str, status: str, reason: str | None, code: str | None
) -> None:
    script = Script.parse(prompt)
    expected = script.text
    for fault in ("rst", "eof", "error", "badjson"):
        if (after := script.fault(fault)) is not None:
            expected = "".join(script.chunks()[:after])
    if status == "failed":
        expected = ""
    begun = await ann.begin(prompt)
    answer = await ann.follow(begun)
    message = await ann.message(begun)
    assert (message["status"], message["finish_reason"]) == (status, reason)
    assert message["text"] == answer.text == expected
    assert answer.end is not None
    assert {key: message[key] for key in answer.end} == answer.end
    assert (message["error"] or {}).get("code") == code
    if status == "completed":
        assert message["usage"]["total_tokens"] > 0


async def test_refused_requests_are_not_repeated_and_errors_of_the_server_are(
    stage: Stage, ann: Person
) -> None:
    for prompt, calls in (("n=3 seed=77 status=401", 1), ("n=3 seed=78 status=503 retry_after=0.1", 3)):
        await ann.follow(await ann.begin(prompt))
        assert len(calls_for(stage, prompt)) == calls


async def test_a_key_in_the_providers_words_is_masked(ann: Person) -> None:
    begun = await ann.begin("n=3 seed=5 status=401")
    await ann.follow(begun)
    error = (await ann.message(begun))["error"]
    assert "sk-test-0123456789abcdef" not in str(error)
    assert "refused the key" in error["message"]


async def test_one_that_fails_does_not_touch_its_neighbours(ann: Person) -> None:
    """A task group cancels its siblings on an uncaught error: none may get out."""
    faults = ("rst@5", "badjson@5", "error@5", "html", "eof@5", "status=401")
    well = [Script(n=60, rate=100, seed=seed) for seed in range(8)]
    begun = [await ann.begin(script.prompt) for script in well]
    broken = [await ann.begin(f"n=40 rate=100 seed=1 fault={fault}") for fault in faults]
    broken.append(await ann.begin("n=40 rate=100 kind=surrogate fault=error@5"))
    answers = await asyncio.gather(*(ann.follow(one) for one in begun))
    ends = await asyncio.gather(*(ann.follow(one) for one in broken))
    assert [answer.text for answer in answers] == [script.text for script in well]
    assert all(answer.end and answer.end["status"] == "completed" for answer in answers)
    assert all(end.end and end.end["status"] in ("interrupted", "failed") for end in ends)
    # And the runner still works.
    script = Script(n=5, seed=99)
    assert (await ann.follow(await ann.begin(script.prompt))).text == script.text


async def test_the_chat_goes_on_after_a_failure(ann: Person) -> None:
    first = await ann.begin("n=9 seed=1 fault=rst@4")
    await ann.follow(first)
    script = Script(n=5, seed=3)
    second = await ann.begin(script.prompt, chat_id=first.chat_id)
    assert (await ann.follow(second)).text == script.text


async def test_a_viewer_that_leaves_does_not_stop_the_answer(stage: Stage, ann: Person) -> None:
    script = Script(n=60, rate=100, seed=404)
    begun = await ann.begin(script.prompt)
    async with ann.stream(begun.events, cut_after_bytes=200) as stream:
        async for _ in stream:
            pass
    await stage.provider.until(lambda: calls_for(stage, script.prompt)[-1].finished)
    assert (await ann.follow(begun)).text == script.text
    assert len(calls_for(stage, script.prompt)) == 1


async def test_a_provider_that_ignores_our_hanging_up_costs_no_socket(stage: Stage, ann: Person) -> None:
    def sockets() -> int:
        """Count the server's own connections to the provider."""
        found = set()
        for link in Path(f"/proc/{stage.server.pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(link.readlink()))
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        port = f":{stage.provider.port:04X}"
        return sum(row[2].endswith(port) and f"socket:[{row[9]}]" in found for row in rows)

    prompt = "n=100000 rate=500 seed=67 fault=ignoreclose"
    stage.provider.release()
    async with asyncio.timeout(10):
        # What other tests have left there.
        while sockets():
            await asyncio.sleep(0.05)
    begun = [await ann.begin(prompt) for _ in range(5)]
    await stage.provider.until(lambda: len(calls_for(stage, prompt)) == 5)
    assert sockets() >= 5
    for one in begun:
        await ann.stop(one)
    async with asyncio.timeout(5):
        while sockets():
            await asyncio.sleep(0.1)
    # The provider may hear of it a moment later than our kernel.
    await stage.provider.until(lambda: all(call.client_gone.is_set() for call in calls_for(stage, prompt)))
