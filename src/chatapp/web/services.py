"""The parts of the application that route handlers get by the names of their arguments."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from litestar import Request

__all__ = ("Services", "dependencies")


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

    None asks for another: for those that wait for others each request would begin a second group of tasks.
    """
    parts = ("chats", "listing", "removal", "sharing", "feed", "hub", "pages", "setup")
    providers: dict[str, Callable[..., Any]] = {name: _part(name) for name in parts}
    providers |= {"services": _services, "owner": owner_of, "replies": _replies}
    return {name: Provide(provider, sync_to_thread=False) for name, provider in providers.items()}


def _part(name: str) -> Callable[..., Any]:
    def provide(request: "Request[Any, Any, Any]") -> Any:
        return getattr(_services(request), name)

    return provide


def _services(request: "Request[Any, Any, Any]") -> Services:
    services = request.app.state["services"]
    assert isinstance(services, Services)
    return services


def _replies(request: "Request[Any, Any, Any]") -> Replies:
    services = _services(request)
    return Replies(request, services.chats, services.pages, owner_of(request))
