"""What the routes use, made once by the application and handed to them by name."""

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
    """Return the names that route handlers may ask for."""
    return {
        "services": Provide(_services, sync_to_thread=False),
        "chats": Provide(_chats, sync_to_thread=False),
        "listing": Provide(_listing, sync_to_thread=False),
        "sharing": Provide(_sharing, sync_to_thread=False),
        "removal": Provide(_removal, sync_to_thread=False),
        "feed": Provide(_feed, sync_to_thread=False),
        "hub": Provide(_hub, sync_to_thread=False),
        "pages": Provide(_pages, sync_to_thread=False),
        "setup": Provide(_setup, sync_to_thread=False),
        "owner": Provide(_owner, sync_to_thread=False),
        "replies": Provide(_replies, sync_to_thread=False),
    }


def _services(request: "Request[Any, Any, Any]") -> Services:
    services = request.app.state["services"]
    assert isinstance(services, Services)
    return services


def _chats(services: Services) -> Chats:
    return services.chats


def _listing(services: Services) -> Listing:
    return services.listing


def _removal(services: Services) -> Removal:
    return services.removal


def _sharing(services: Services) -> Sharing:
    return services.sharing


def _feed(services: Services) -> Feed:
    return services.feed


def _hub(services: Services) -> Hub:
    return services.hub


def _pages(services: Services) -> Pages:
    return services.pages


def _setup(services: Services) -> Setup:
    return services.setup


def _replies(request: "Request[Any, Any, Any]", services: Services, owner: str) -> Replies:
    return Replies(request, services.chats, services.pages, owner)


def _owner(request: "Request[Any, Any, Any]") -> str:
    return owner_of(request)
