"""Stream what happens to a person's chats, the same to pages and to programs.

Nothing in it is HTML: a page that hears of a change fetches the part of it that it shows.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

from litestar import get
from litestar.params import Parameter
from litestar.types import Receive, Send

from chatapp.answers.viewer import Pause
from chatapp.chats.feed import Feed, Reader
from chatapp.models import Cursor
from chatapp.tasks import background
from chatapp.web import sse
from chatapp.web.described import EVENTS, problems
from chatapp.web.streams import (
    HEARTBEAT,
    Events,
    StreamResponse,
    come_back,
    cursor_from,
    leave,
    send_piece,
)

__all__ = ("api_events", "page_events")

_LastEventId = Annotated[str | None, Parameter(header="Last-Event-ID")]


class ChatEventStream(StreamResponse):
    """The response to a reader of a person's events."""

    def __init__(self, feed: Feed, owner: str, after: Cursor | None) -> None:
        super().__init__()
        self._feed = feed
        self._owner = owner
        self._after = after

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        """Ask Redis, and give what sends what happens after the reader's cursor."""
        async with self._feed.follow(self._owner, self._after) as reader:
            yield partial(_send_events, reader)


async def _send_events(reader: Reader, send: Send, receive: Receive) -> None:
    async with background(leave(reader.leave, receive)):
        while True:
            if new := reader.take():
                events = (sse.event(e.data.decode(), name=e.name, event_id=e.cursor) for e in new)
                await send_piece(send, b"".join(events))
            elif (pause := await reader.wait()) is Pause.SILENCE:
                await send_piece(send, HEARTBEAT)
            elif pause is Pause.COME_BACK:
                await send_piece(send, come_back())
                return


@get("/events", include_in_schema=False)
async def page_events(
    feed: Feed, owner: str, last_event_id: _LastEventId = None, after: str | None = None
) -> ChatEventStream:
    """Stream what happens to this person's chats, for the page."""
    return ChatEventStream(feed, owner, cursor_from(last_event_id, after))


@get(
    "/api/events",
    tags=["chats"],
    summary="Stream what happens to the chats: new, running, finished, renamed, deleted, restored, changed",
    responses=EVENTS | problems(403, 429),
)
async def api_events(
    feed: Feed, owner: str, last_event_id: _LastEventId = None, after: str | None = None
) -> ChatEventStream:
    """Stream what happens to the caller's chats."""
    return ChatEventStream(feed, owner, cursor_from(last_event_id, after))
