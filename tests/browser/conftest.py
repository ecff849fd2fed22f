"""One Chromium for the run, fresh contexts for every test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.conftest import Stage, environment
from tests.support.page import ChatPage
from tests.support.processes import ServerProcess
from tests.support.provider import ScriptedProvider
from tests.support.proxy import FaultProxy

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Open = Callable[..., Awaitable[ChatPage]]

# As long as `poll` waits: on a busy machine a page that is right may come later than in Playwright's 5 s.
expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        await browser.close()


@pytest.fixture
async def stage(stage: Stage) -> AsyncIterator[Stage]:
    """The shared server; its chats keep the first words as their titles, by which the tests find them."""
    title, stage.provider.title = stage.provider.title, None
    yield stage
    stage.provider.title = title


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[Open]:
    """Open a tab in a context (and so a session) of its own: `await open_page(base, path, **context)`."""
    async with AsyncExitStack() as stack:

        async def open_page(base: str, path: str = "/", **options: Any) -> ChatPage:
            context = await browser.new_context(**{"viewport": {"width": 1000, "height": 700}, **options})
            stack.push_async_callback(context.close)
            return await ChatPage.open(context, base, path)

        yield open_page


@pytest.fixture
async def chat(stage: Stage, open_page: Open) -> ChatPage:
    """A tab on the shared server."""
    return await open_page(stage.url)


@pytest.fixture
async def proxy(stage: Stage) -> AsyncIterator[FaultProxy]:
    """A failing network in front of the shared server."""
    async with FaultProxy("127.0.0.1", stage.server.port) as proxy:
        yield proxy


@pytest.fixture
async def far(proxy: FaultProxy, open_page: Open) -> ChatPage:
    """A tab on the shared server, behind the failing network."""
    return await open_page(proxy.url)


@pytest.fixture
async def server(redis_url: str, provider: ScriptedProvider) -> AsyncIterator[ServerProcess]:
    """A server that the test may kill."""
    async with ServerProcess(env=environment(redis_url, provider.base_url)) as server:
        await server.wait_ready()
        yield server
