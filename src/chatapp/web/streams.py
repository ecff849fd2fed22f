"""Stream an answer: what all its streams have in common, and the JSON events for programs."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import msgspec
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from chatapp.answers.hub import Hub
from chatapp.answers.live import LiveAnswer, SavedAnswer, Update
from chatapp.answers.viewer import End, Pause, Viewer
from chatapp.answers.watched import Watched
from chatapp.models import Cursor, Failure, FinishReason, Status, Usage
from chatapp.tasks import background
from chatapp.web import sse
from chatapp.web.outlet import Outlet, server_send
from chatapp.web.seats import Seats

__all__ = (
    "HEARTBEAT",
    "EndEvent",
    "EventStream",
    "Events",
    "StreamResponse",
    "come_back",
    "cursor_from",
    "json_stream",
    "leave",
    "send_piece",
)

#: The first bytes, at once: they open proxies' buffers, and set how soon a browser comes back.
_OPENING = b"retry: 1000\n\n"
HEARTBEAT = sse.event("{}", name="heartbeat")


class TextEvent(Struct, frozen=True):
    """The data of `delta` and `reset`."""

    text: str


class EndEvent(Struct, frozen=True):
    """The data of `end`."""

    status: Status
    finish_reason: FinishReason | None
    usage: Usage | None
    error: Failure | None


_to_json = msgspec.json.Encoder().encode

#: Turns what a viewer of an answer misses into bytes; empty when it is nothing to this kind of viewer.
Encoder = Callable[[LiveAnswer | SavedAnswer, Update | End], Awaitable[bytes]]

#: Sends events until their subject or the reader is at its end.
Events = Callable[[Send, Receive], Awaitable[None]]


class StreamResponse(Response[None]):
    """The response to a reader of events.

    Litestar's own `Stream` would do, at twice the cost of an event: it drives a generator in a task of its
    own. Here a reader is the one task of its request, which sleeps between events.
    """

    def __init__(self) -> None:
        super().__init__(None, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        """Return this as the ASGI application that sends the events."""
        return _Sender(self.events)

    def events(self) -> AbstractAsyncContextManager[Events]:
        """Look for what there is to send, and give what sends it.

        Nothing is sent before: what is raised until then is told as any other error of a request.
        """
        raise NotImplementedError


class EventStream(StreamResponse):
    """The response to a reader of an answer: events as long as both are there."""

    def __init__(
        self,
        hub: Hub,
        chat_id: str,
        message_id: str,
        after: Cursor | None,
        encode: Encoder,
        *,
        form: str,
        pace: Callable[[], float] | None = None,
        encode_now: Callable[[Update], bytes] | None = None,
    ) -> None:
        """`form` names the encoding; `pace` returns the seconds between two events of text, at least."""
        super().__init__()
        self._hub = hub
        self._ids = (chat_id, message_id)
        self._after = after
        self._encode = encode
        self._form = form
        self._pace = pace
        self._encode_now = encode_now

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        """Read the answer, and give what sends it from the cursor on; raises NotFound where there is none."""
        async with self._hub.follow(*self._ids, self._after, paced=self._pace is not None) as watched:
            yield partial(self._send_events, watched)

    async def _send_events(self, watched: Watched, send: Send, receive: Receive) -> None:
        viewer = Viewer(self._hub, watched, self._after)
        async with background(leave(viewer.leave, receive)):
            await viewer.start()
            # A task of its own: to wake one is to go through every call it is in, which here are a dozen.
            await asyncio.create_task(self._show(viewer, watched, send))

    async def _show(self, viewer: Viewer, watched: Watched, send: Send) -> None:
        """Send what the viewer misses until answer or viewer is at its end."""
        pusher = _Pusher(send, watched, self._encode_now) if self._encode_now else None
        while True:
            if (item := viewer.take()) is not None:
                if data := await self._encoded(watched, item):
                    await send_piece(send, data)
                if isinstance(item, End):
                    break
                if self._pace:
                    await asyncio.sleep(self._pace())
                continue
            pause = await viewer.wait(pusher)
            if pusher is not None:
                await pusher.finish()
            if pause is Pause.SILENCE:
                await send_piece(send, HEARTBEAT)
            elif pause is Pause.COME_BACK:
                await send_piece(send, come_back())
                break

    async def _encoded(self, watched: Watched, item: Update | End) -> bytes:
        """Encode an item, or take what was encoded for another viewer at the same position."""
        # The cursor and not the position: of two logs that follow one another, only cursors never mean both.
        key = (self._form, item.start, item.cursor, item.reset) if isinstance(item, Update) else self._form
        data = watched.encoded.get(key)
        if data is None:
            assert watched.answer is not None
            data = await self._encode(watched.answer, item)
            watched.keep(key, data)
        return data


class _Pusher(Outlet):
    """Encodes and sends text without waiting."""

    __slots__ = ("_encode", "_watched")

    def __init__(self, send: Send, watched: Watched, encode: Callable[[Update], bytes]) -> None:
        super().__init__(send)
        self._watched = watched
        self._encode = encode

    def push(self, update: Update) -> bool:
        """Send an update; return False where `finish` has to do the rest."""
        pushed = self._watched.pushed
        # All who wait are at the same position, and get the same update.
        if pushed is None or pushed[0] is not update:
            pushed = self._watched.pushed = (update, self._encode(update))
        return not pushed[1] or self.send_now(pushed[1])


class _Sender(ASGIResponse):
    """Open the stream, where its reader may have one more and there is something in it, and close it."""

    _should_set_content_length = False

    def __init__(self, events: Callable[[], AbstractAsyncContextManager[Events]]) -> None:
        super().__init__(headers=dict(sse.HEADERS), media_type=sse.MEDIA_TYPE)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seats: Seats = scope["litestar_app"].state["services"].seats
        # Before anything is sent: until then a refusal can be told as every error is.
        with seats.seat(scope["state"]["owner"]):
            async with self._events() as send_events:
                self._send_events = partial(send_events, server_send(scope))
                await super().__call__(scope, receive, send)

    async def send_body(self, send: Send, receive: Receive) -> None:
        await send_piece(send, _OPENING)
        await self._send_events(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def cursor_from(last_event_id: str | None, after: str | None) -> Cursor | None:
    """Return where a reader stands: the header of a reconnecting browser wins over the address."""
    return Cursor.parse(last_event_id) or Cursor.parse(after)


def json_stream(hub: Hub, chat_id: str, message_id: str, after: Cursor | None) -> EventStream:
    """Stream an answer as JSON events."""
    return EventStream(hub, chat_id, message_id, after, encode_json, form="json", encode_now=encode_text)


async def encode_json(_: LiveAnswer | SavedAnswer, item: Update | End) -> bytes:
    """Encode an item as a JSON event; empty when a program gets nothing of it."""
    if isinstance(item, End):
        outcome = item.outcome
        end = EndEvent(outcome.status, outcome.finish_reason, outcome.usage, outcome.error)
        return sse.event(_to_json(end).decode(), name="end", event_id=item.cursor)
    return encode_text(item)


def encode_text(update: Update) -> bytes:
    """Encode an update as a JSON event."""
    if not update.text and not update.reset:
        return b""
    name = b"reset" if update.reset else b"delta"
    return sse.line_event(_to_json(TextEvent(update.text)), name, update.cursor)


async def send_piece(send: Send, data: bytes) -> None:
    """Send some more of a response's body."""
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def leave(gone: Callable[[], None], receive: Receive) -> None:
    """Wait until the reader has hung up, and call `gone`."""
    while (await receive())["type"] != "http.disconnect":
        pass
    gone()


def come_back() -> bytes:
    """Return the last event of a stream that ends before its subject: when to come back."""
    # Spread: after a deploy everybody comes back at once.
    retry_ms = random.randint(200, 1500)  # noqa: S311  # no secret
    return sse.event("{}", name="heartbeat", retry_ms=retry_ms)
