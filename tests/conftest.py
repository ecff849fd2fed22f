"""Fixtures that every test may use: the event loop, a scripted provider, a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import Redis

from tests.support.client import Person, person
from tests.support.processes import RedisProcess, ServerProcess
from tests.support.provider import ScriptedProvider


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run async tests as the app runs: asyncio on uvloop."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    """An OpenAI-compatible server that does what the prompt says."""
    async with ScriptedProvider() as provider:
        yield provider


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisProcess]:
    """One Redis for the whole run; a test that kills or pauses Redis makes its own."""
    with RedisProcess() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisProcess) -> str:
    """The URL of an empty Redis."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


class Stage:
    """A server with its scripted provider and its Redis, shared by the tests that break none of them."""

    def __init__(self, server: ServerProcess, provider: ScriptedProvider, redis: RedisProcess) -> None:
        self.server = server
        self.provider = provider
        self.redis = redis
        self.url = server.url

    async def sent(self, prompt: str, chunks: int) -> None:
        """Wait until just so many chunks were sent of an answer to this prompt."""
        calls = self.provider.calls
        await self.provider.until(
            lambda: [c for c in calls if c.sent == chunks and c.messages[-1]["content"] == prompt]
        )

    def step(self) -> None:
        """Let what is held or stalled go on, to where it waits next."""
        self.provider.release()
        self.provider.hold()


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Start such a server."""
    with RedisProcess() as redis:
        async with ScriptedProvider() as provider:
            env = environment(redis.url, provider.base_url)
            async with ServerProcess(env=env) as server:
                await server.wait_ready()
                yield Stage(server, provider, redis)
                # What still waits would keep the server from its end.
                provider.release()
                provider.hurry()


@pytest.fixture(scope="session")
async def _stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


@pytest.fixture
async def stage(_stage: Stage) -> Stage:
    """The shared server; its provider holds again what an earlier test released, and knows only new calls."""
    _stage.provider.hold()
    _stage.provider.calls.clear()
    return _stage


@pytest.fixture
async def ann(stage: Stage) -> AsyncIterator[Person]:
    """Somebody with a session on the shared server."""
    async with person(stage.url) as ann:
        yield ann


class Report:
    """Figures that a run should show, printed after its tests."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        self.lines.append(line)


_REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_REPORT] = Report()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[_REPORT].lines:
        terminalreporter.write_line(line)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Where a test puts the figures that the run should show."""
    return request.config.stash[_REPORT]


def environment(redis_url: str, base_url: str) -> dict[str, str]:
    """The environment of a server with an outer Redis and a scripted provider."""
    return {
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a secret of the tests",
        "OPENAI_API_KEY": "sk-test-0123456789abcdef",
        "OPENAI_BASE_URL": base_url,
        "OPENAI_MODEL": "scripted",
    }
