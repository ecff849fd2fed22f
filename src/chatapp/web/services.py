"""The parts of the application that route handlers get by the names of their arguments."""
# ruff: noqa: ARG001  # an argument may say no more than what a part waits for: see `dependencies`

from collections.abc import Callable
from typing import Any

from litestar import Request
from litestar.di import Provide
from msgspec import Struct

from chatapp.answers.hub import Hub
from chatapp.chats.feed import Feed
from chatapp.chats.listing import Listing
from chatapp.chats.removal import Removal
from chatapp.chats.service import Chats
from chatapp.chats.sharing import Sharing
from chatapp.storage.connections import Connections
from chatapp.web.replies import Replies
from chatapp.web.seats import Seats
from chatapp.web.security import owner_of
from chatapp.web.setup import Setup
from chatapp.web.views import Pages

__all__ = ("Services", "dependencies")

_Request = Request[Any, Any, Any]


class Services(Struct):
    """The application's parts; `draining` turns true when the process has been told to end."""

    connections: Connections
    hub: Hub
    chats: Chats
    listing: Listing
    removal: Removal
    sharing: Sharing
    feed: Feed
    pages: Pages
    setup: Setup
    seats: Seats
    draining: bool = False


def dependencies() -> dict[str, Provide]:
    """Return the names that route handlers may ask for.

    What is asked for together stands in a row, each waiting for the one before it. For two that do not wait
    for each other the framework begins a group of tasks, at ten times the cost of calling them.
    """
    providers: dict[str, Callable[..., Any]] = {
        "services": _services,
        "owner": owner_of,
        "feed": _feed,
        "chats": _chats,
        "hub": _hub,
        "pages": _pages,
        "replies": _replies,
        "sharing": _sharing,
        "setup": _setup,
        "listing": _listing,
        "removal": _removal,
    }
    return {name: Provide(provider, sync_to_thread=False) for name, provider in providers.items()}


def _services(request: _Request) -> Services:
    services = request.app.state["services"]
    assert isinstance(services, Services)
    return services


def _feed(request: _Request, owner: Any) -> Any:
    return _services(request).feed


def _chats(request: _Request, owner: Any) -> Any:
    return _services(request).chats


def _hub(request: _Request, chats: Any) -> Any:
    return _services(request).hub


def _pages(request: _Request, hub: Any) -> Any:
    return _services(request).pages


def _replies(request: _Request, chats: Chats, pages: Pages, owner: str) -> Replies:
    return Replies(request, chats, pages, owner)


def _sharing(request: _Request, pages: Any) -> Any:
    return _services(request).sharing


def _setup(request: _Request, pages: Any) -> Any:
    return _services(request).setup


def _listing(request: _Request, pages: Any) -> Any:
    return _services(request).listing


def _removal(request: _Request, listing: Any) -> Any:
    return _services(request).removal
