"""The page of the first run names what is wrong: the address, the key, or the model."""

import re
from collections.abc import AsyncIterator
from html import unescape

import httpx2
import pytest

from tests.conftest import environment
from tests.support.client import person
from tests.support.processes import ServerProcess, free_port
from tests.support.provider import ScriptedProvider
from tests.support.proxy import FaultProxy

KEY = "sk-test-0123456789abcdef"


async def outcome_of(env: dict[str, str]) -> tuple[str, dict[str, tuple[str, str]]]:
    """Start with these settings and press the button; return the page, and verdict and words of each part."""
    async with ServerProcess(env=env) as server:
        await server.wait_ready()
        async with person(server.url) as ann:
            before = await ann.http.get("/setup")
            assert before.status_code == 200
            assert "data-verdict" not in before.text
            return await pressed(ann.http)


async def pressed(http: httpx2.AsyncClient) -> tuple[str, dict[str, tuple[str, str]]]:
    page = (await http.post("/setup/test", data={})).text
    rows = re.findall(
        r'<div(?: data-verdict="(\w+)")?>\n<dt>(\w+)</dt>\n<dd>.*?(?:<p>. (.*?)</p>)?</dd>', page, re.DOTALL
    )
    return page, {name: (verdict, unescape(words)) for verdict, name, words in rows}


@pytest.fixture
async def refusing(provider: ScriptedProvider) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", provider.port) as proxy:
        yield proxy


async def test_all_is_well(redis_url: str, provider: ScriptedProvider) -> None:
    page, found = await outcome_of(environment(redis_url, provider.base_url))
    assert found["Address"] == ("ok", "offers 1 models")
    assert found["Key"] == ("ok", "accepted")
    assert found["Model"][0] == "ok"
    assert KEY not in page
    assert "…cdef" in page


async def test_the_address_is_wrong(redis_url: str) -> None:
    page, found = await outcome_of(environment(redis_url, f"http://127.0.0.1:{free_port()}/v1"))
    assert found["Address"][0] == "broken"
    assert "refused the connection" in found["Address"][1]
    assert found["Key"] == found["Model"] == ("", "not reached by the test")
    assert KEY not in page


async def test_the_path_is_wrong(redis_url: str, provider: ScriptedProvider) -> None:
    _, found = await outcome_of(environment(redis_url, provider.base_url.removesuffix("v1")))
    assert found["Address"][0] == "broken"
    assert "no such route" in found["Address"][1]


async def test_the_key_is_wrong(redis_url: str, provider: ScriptedProvider, refusing: FaultProxy) -> None:
    refusing.answer(401)
    page, found = await outcome_of(environment(redis_url, f"{refusing.url}/v1"))
    assert found["Key"][0] == "broken"
    assert "refused the key" in found["Key"][1]
    assert KEY not in page
    assert not provider.calls


async def test_the_model_is_wrong(redis_url: str, provider: ScriptedProvider, refusing: FaultProxy) -> None:
    refusing.answer(404, path_contains="/completions")
    _, found = await outcome_of(environment(redis_url, f"{refusing.url}/v1"))
    assert found["Address"][0] == "ok"
    assert found["Model"][0] == "broken"


async def test_who_presses_again_and_again_asks_once(redis_url: str, provider: ScriptedProvider) -> None:
    async with ServerProcess(env=environment(redis_url, provider.base_url)) as server:
        await server.wait_ready()
        async with person(server.url) as ann:
            assert await pressed(ann.http) == await pressed(ann.http)
    assert len(provider.calls) == 1


async def test_the_demo_says_what_to_set(redis_url: str) -> None:
    env = environment(redis_url, "")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        del env[name]
    async with ServerProcess(env=env) as server:
        await server.wait_ready()
        async with person(server.url) as ann:
            page = (await ann.http.get("/setup")).text
            assert "OPENAI_API_KEY" in page
            assert "/setup/test" not in page
            assert (await ann.http.post("/setup/test", data={})).status_code == 200
