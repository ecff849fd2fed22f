"""Wire everything together: the only place that does."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from litestar import Litestar, asgi
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from chatapp import __version__
from chatapp.answers.checkup import Endpoint
from chatapp.answers.hub import Hub
from chatapp.answers.provider import OpenAIProvider
from chatapp.answers.resume import Resume
from chatapp.answers.runner import Runner
from chatapp.answers.titles import Titles
from chatapp.chats.catalogue import Catalogue
from chatapp.chats.feed import Feed
from chatapp.chats.indexing import Indexing
from chatapp.chats.limits import Limits
from chatapp.chats.listing import Listing
from chatapp.chats.removal import Purge, Removal
from chatapp.chats.service import Chats
from chatapp.chats.sharing import Sharing
from chatapp.demo.server import demo_server
from chatapp.errors import SettingsError
from chatapp.lifecycle import on_termination
from chatapp.memory import give_back, settle
from chatapp.settings import Settings, load_settings
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from chatapp.storage.promise import read_promise
from chatapp.storage.tail import Tail
from chatapp.tasks import background
from chatapp.telemetry import configure_logging, watch_loop
from chatapp.web import errors
from chatapp.web.assets import Assets
from chatapp.web.compression import Compression
from chatapp.web.described import SECURITY, SECURITY_SCHEMES
from chatapp.web.events import api_events, page_events
from chatapp.web.operations import OperationsController
from chatapp.web.outlet import Application
from chatapp.web.pages_share import shared_page
from chatapp.web.routes import Api, HtmlPages
from chatapp.web.seats import Seats
from chatapp.web.security import Guard, Sessions, add_headers
from chatapp.web.services import Services, dependencies
from chatapp.web.setup import Setup, SetupController
from chatapp.web.views import Pages

__all__ = ("create_app", "run_worker")

logger = logging.getLogger(__name__)

#: Bytes of a request's body: a question has at most 32,000 characters.
_BODY_LIMIT = 64 << 10
#: Streams that one person may hold open in a process, for every answer that may run at once.
_STREAMS = 10
_DEMO_MODELS = ("demo",)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def create_app(settings: Settings | None = None) -> Litestar:
    """Build the web application; without settings they are read from the environment."""
    configure_logging()
    settings = settings or load_settings()
    if settings.redis_url is None or settings.secret_key is None:
        raise SettingsError(
            "REDIS_URL", "not set; the `chatapp` command brings a Redis of its own, uvicorn does not"
        )
    redis_url, secret_key = settings.redis_url, settings.secret_key
    assets = Assets(_folder("static"))
    pages = Pages(_folder("templates"), assets, demo=settings.demo)
    return Application(
        route_handlers=[
            HtmlPages,
            SetupController,
            Api,
            api_events,
            page_events,
            shared_page,
            OperationsController,
            asgi("/static", is_mount=True, copy_scope=True)(assets),
        ],
        dependencies=dependencies(),
        lifespan=[_lifespan(settings, redis_url, secret_key, assets, pages)],
        middleware=[
            Compression,
            DefineMiddleware(
                Guard,
                sessions=Sessions(secret_key),
                hosts=settings.allowed_hosts,
                local_only=settings.host in _LOOPBACK,
            ),
        ],
        before_send=[add_headers],
        exception_handlers=errors.handlers(pages),
        request_max_body_size=_BODY_LIMIT,
        openapi_config=OpenAPIConfig(
            title="chatapp",
            version=__version__,
            path="/schema",
            render_plugins=[JsonRenderPlugin()],
            components=SECURITY_SCHEMES,
            security=SECURITY,
        ),
        logging_config=None,
    )


def _lifespan(
    settings: Settings, redis_url: str, secret_key: str, assets: Assets, pages: Pages
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """Return what starts the parts of the application, and ends them in the opposite order."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(_connected(redis_url))
            await assets.share(connections.commands)
            provider = await stack.enter_async_context(_provider(settings))
            durability = Durability(connections.disk)
            services = await _services(stack, settings, connections, durability, provider, secret_key, pages)
            app.state["services"] = services
            runner = None
            if settings.workers == "inline":
                runner = _runner(settings, connections, durability, provider, services.hub)
                await stack.enter_async_context(_running(runner))

            async def drain() -> None:
                services.draining = True
                services.hub.close()
                services.feed.close()
                if runner is not None:
                    await runner.drain()

            def hurry() -> None:
                if runner is not None:
                    runner.hurry()

            for work in (watch_loop(), give_back()):
                await stack.enter_async_context(background(work))
            await stack.enter_async_context(on_termination(drain, hurry))
            settle()
            _share_interpreter()
            yield

    return lifespan


async def _services(
    stack: AsyncExitStack,
    settings: Settings,
    connections: Connections,
    durability: Durability,
    provider: OpenAIProvider,
    secret_key: str,
    pages: Pages,
) -> Services:
    """Make what the routes use, and start what works beside them."""
    commands = connections.commands
    tail = Tail(commands, connections.hub)
    hub, feed = Hub(commands, tail), Feed(commands, tail)
    models = _DEMO_MODELS if settings.demo else settings.models
    catalogue = Catalogue(provider, models, fixed=settings.demo or bool(settings.openai_models))
    stack.push_async_callback(catalogue.aclose)
    indexing = Indexing(commands)
    stack.push_async_callback(indexing.aclose)
    limits = Limits(commands, settings.running_limit)
    chats = Chats(commands, hub, catalogue, limits, secret_key, durability)
    stack.push_async_callback(chats.aclose)
    for loop in (hub.run(), tail.run(), Purge(commands).run()):
        await stack.enter_async_context(background(loop))
    return Services(
        connections,
        hub,
        chats,
        Listing(commands, indexing),
        Removal(commands),
        Sharing(commands, chats),
        feed,
        pages,
        Setup(_endpoint(settings)),
        Seats(_STREAMS * settings.running_limit),
    )


async def run_worker(settings: Settings) -> None:
    """Run generations until SIGTERM or SIGINT, without a web side."""
    configure_logging()
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL", "not set; a worker needs the Redis of the web process")
    ending = asyncio.Event()
    async with _connected(settings.redis_url) as connections, _provider(settings) as provider:
        runner = _runner(settings, connections, Durability(connections.disk), provider)

        async def drain() -> None:
            await runner.drain()
            ending.set()

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(on_termination(drain, runner.hurry))
            for work in (watch_loop(), give_back(), Purge(connections.commands).run()):
                await stack.enter_async_context(background(work))
            await stack.enter_async_context(_running(runner))
            settle()
            _share_interpreter()
            logger.info("worker waits for answers to generate")
            await ending.wait()


def _share_interpreter() -> None:
    """Let the event loop wait for a thread that runs Python no longer than 0.5 ms at a time, not Python's 5.

    It waits anew for each of its callbacks: several in a row were 20 ms.
    """
    sys.setswitchinterval(0.0005)


def _runner(
    settings: Settings,
    connections: Connections,
    durability: Durability,
    provider: OpenAIProvider,
    hub: Hub | None = None,
) -> Runner:
    titles = Titles(connections.commands, provider) if settings.titles == "model" else None
    return Runner(connections, provider, Resume(settings.resume, provider), durability, titles, hub)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connections]:
    async with Connections(url) as connections:
        await connections.check()
        (await read_promise(connections.commands)).log()
        yield connections


@asynccontextmanager
async def _provider(settings: Settings) -> AsyncIterator[OpenAIProvider]:
    """Yield the provider of the settings, or the demo model behind its own endpoint."""
    async with AsyncExitStack() as stack:
        if not settings.demo:
            provider = OpenAIProvider(
                settings.openai_base_url,
                settings.openai_api_key,
                settings.models,
                api=settings.api,
                idle_timeout=settings.idle_timeout,
            )
        elif settings.workers == "external":
            # Only workers call the model. Here it needs a name, and an address where nothing listens will do.
            provider = OpenAIProvider("http://127.0.0.1:9/v1", None, _DEMO_MODELS)
        else:
            endpoint = await stack.enter_async_context(demo_server())
            provider = OpenAIProvider(endpoint.base_url, endpoint.api_key, _DEMO_MODELS)
        stack.push_async_callback(provider.aclose)
        yield provider


def _endpoint(settings: Settings) -> Endpoint | None:
    """Return what the setup page examines; None where the demo model answers."""
    if settings.demo:
        return None
    return Endpoint(settings.openai_base_url, settings.openai_api_key, settings.models)


@asynccontextmanager
async def _running(runner: Runner) -> AsyncIterator[None]:
    async with background(runner.run()):
        try:
            yield
        finally:
            await runner.drain()


def _folder(name: str) -> Path:
    """Find templates or static files: beside the source, or inside an installed wheel."""
    package = Path(__file__).parent
    for folder in (package.parents[1] / name, package / "_assets" / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the folder {name} is neither beside the source nor in the package")
