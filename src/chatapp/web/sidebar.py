"""Read the list of chats for the sender of a request."""

from datetime import datetime
from typing import Any

from litestar import Request

from chatapp.web.list_view import ListView, list_view, reader_zone
from chatapp.web.security import owner_of

__all__ = ("chat_list", "now_of")

#: Where the page's script notes the reader's clock; see `reader_zone`.
_ZONE = "tz"


async def chat_list(
    request: Request[Any, Any, Any],
    *,
    q: str = "",
    cursor: str | None = None,
    group: str = "",
    limit: int = 40,
) -> ListView:
    """Return the newest chats, those after a cursor, or those that have the words of `q`."""
    services, owner = request.app.state["services"], owner_of(request)
    if q or cursor:
        # First: what happens while the list is read is then told as well.
        position = await services.feed.position(owner)
        page = await services.listing.page(owner, q=q, cursor=cursor, limit=limit)
    else:
        page, position = await services.listing.newest(owner, limit=limit)
    return list_view(page, now_of(request), q=q, group=group, position=str(position))


def now_of(request: Request[Any, Any, Any]) -> datetime:
    """Return the time on the reader's clock."""
    return datetime.now(reader_zone(request.cookies.get(_ZONE)))
