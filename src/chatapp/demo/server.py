"""Serve the demo model inside the running event loop, for this process alone."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from chatapp.demo.app import create_demo_app

__all__ = ("DemoEndpoint", "demo_server")

#: What a stream gets to send its last event before its connection is cut.
_FAREWELL_SECONDS = 0.5


class DemoEndpoint(msgspec.Struct, frozen=True):
    """Say where the demo model listens and which key opens it."""

    base_url: str
    api_key: str


class _QuietProtocol(H11Protocol):
    """Leave the access log, whose logger the app's own uvicorn shares, without the demo's requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False


@contextlib.asynccontextmanager
async def demo_server(*, pace: float = 40.0) -> AsyncIterator[DemoEndpoint]:
    """Run the demo model on a free port of 127.0.0.1 while the context is open."""
    api_key = secrets.token_urlsafe(32)
    app = create_demo_app(api_key, pace=pace)
    # uvicorn's protocol without its Server: that one logs "Uvicorn running on …" to the logger it
    # shares with the app's own server, and would tell people a second address.
    config = uvicorn.Config(app, log_config=None, log_level=None, lifespan="off", ws="none")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _QuietProtocol(config=config, server_state=state, app_state={}), host="127.0.0.1", port=0
    )
    try:
        port = server.sockets[0].getsockname()[1]
        yield DemoEndpoint(base_url=f"http://127.0.0.1:{port}/v1", api_key=api_key)
    finally:
        server.close()
        app.state.stop()
        await _close(state)


async def _close(state: ServerState) -> None:
    """Let answers say goodbye, then cut what is left, so that nobody's full buffer holds up the end."""
    for connection in list(state.connections):
        connection.shutdown()
    if state.tasks:
        await asyncio.wait(list(state.tasks), timeout=_FAREWELL_SECONDS)
    for connection in list(state.connections):
        connection.transport.abort()
    if state.tasks:
        await asyncio.wait(list(state.tasks), timeout=_FAREWELL_SECONDS)
