"""B30: too many answers, questions or streams of one person are refused in words; others notice nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from tests.conftest import environment
from tests.support.client import Begun, Person, person
from tests.support.processes import RedisProcess, ServerProcess
from tests.support.provider import ScriptedProvider

LONG = "n=9 fault=stall@4"


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    """A server that allows two answers, 12 questions a minute and 20 streams."""
    with RedisProcess() as redis:
        async with ScriptedProvider() as provider:
            env = environment(redis.url, provider.base_url) | {"CHATAPP_RUNNING_LIMIT": "2"}
            async with ServerProcess(env=env) as server:
                await server.wait_ready()
                yield server.url
                # What still waits would keep the server from its end.
                provider.release()


@pytest.fixture
async def ann(url: str) -> AsyncIterator[Person]:
    async with person(url) as ann:
        yield ann


async def test_programs_get_a_problem(url: str, ann: Person) -> None:
    begun = [await ann.begin(LONG) for _ in range(2)]
    refused = await ann.http.post("/api/chats", json={"prompt": LONG})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "5"
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert (problem["status"], problem["code"], problem["title"]) == (
        429,
        "limit_reached",
        "Too Many Requests",
    )
    assert "Stop one" in problem["detail"]
    async with person(url) as bob:
        assert (await bob.follow(await bob.begin("n=1"))).end is not None
    await ann.stop(begun[0])
    await ann.begin(LONG)


async def test_pages_say_it_and_keep_the_text(ann: Person) -> None:
    for _ in range(2):
        assert (await ann.http.post("/chats", data={"prompt": LONG})).status_code == 303
    htmx = await ann.http.post("/chats", data={"prompt": "the third"}, headers={"HX-Request": "true"})
    plain = await ann.http.post("/chats", data={"prompt": "the third"})
    for refused in (htmx, plain):
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        assert "No more than 2 of your answers" in refused.text
    # Where the page stays, its composer does too.
    assert "<textarea" not in htmx.text
    assert "the third</textarea>" in plain.text


async def test_questions_a_minute(url: str, ann: Person) -> None:
    began, asked = monotonic(), 0
    while (response := await ann.http.post("/api/chats", json={"prompt": "n=1"})).status_code == 201:
        asked += 1
        await ann.follow(Begun(url, response.json()))
    # On a slow machine some come free meanwhile, one in five seconds.
    assert 12 <= asked <= 12 + (monotonic() - began) / 5
    refused = response
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 5
    assert "Too many questions" in refused.json()["detail"]
    # Nothing else is held up.
    assert (await ann.http.get("/api/chats")).status_code == 200
    async with person(url) as bob:
        await bob.begin("n=1")


async def test_open_streams(url: str, ann: Person) -> None:
    begun = await ann.begin(LONG)
    paths = [begun.events, f"{url}/api/events", begun.html, f"{url}/events"]
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(ann.stream(paths[n % 4])) for n in range(20)]
        for stream in streams:
            assert stream.status == 200
            await anext(aiter(stream))
        for path in paths:
            refused = await ann.http.get(path)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
            assert "20 streams" in refused.text
        async with person(url) as bob:
            theirs = await bob.begin(LONG)
            async with bob.stream(theirs.events) as stream:
                assert (await anext(aiter(stream))).event == "delta"
    # Whoever has gone has left the place.
    async with asyncio.timeout(10):
        while True:
            async with ann.stream(begun.events) as stream:
                if stream.status == 200:
                    break
                assert stream.status == 429
    assert (await ann.stop(begun))["status"] == "stopped"
    assert (await ann.follow(begun)).end is not None
