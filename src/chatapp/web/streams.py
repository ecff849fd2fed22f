"""The two streams of an answer: events of JSON for programs, events of HTML for the page."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import msgspec
from litestar.response import Stream
from msgspec import Struct

from chatapp.answers.hub import Hub, Watched
from chatapp.answers.live import Update
from chatapp.answers.viewer import End, Pause, view
from chatapp.models import Chat, Cursor, Failure, FinishReason, Message, Status, Usage
from chatapp.rendering.text import render_text
from chatapp.web import sse
from chatapp.web.views import Pages

__all__ = ("EndEvent", "cursor_from", "html_stream", "json_stream")

#: The first bytes, at once: they open proxies' buffers, and set how soon a browser comes back.
_OPENING = b"retry: 1000\n\n"
_HEARTBEAT = sse.event("{}", name="heartbeat")


class TextEvent(Struct, frozen=True):
    """The data of `delta` and `reset`."""

    text: str


class EndEvent(Struct, frozen=True):
    """The data of `end`."""

    status: Status
    finish_reason: FinishReason | None
    usage: Usage | None
    error: Failure | None


Encoder = Callable[[Update | End], bytes]


def cursor_from(last_event_id: str | None, after: str | None) -> Cursor | None:
    """Return where a reader stands: the header of a reconnecting browser wins over the address."""
    return Cursor.parse(last_event_id) or Cursor.parse(after)


def json_stream(hub: Hub, chat_id: str, message_id: str, after: Cursor | None) -> Stream:
    """Stream an answer as JSON events."""
    return _response(_stream(hub, chat_id, message_id, after, "json", encode_json))


def html_stream(hub: Hub, pages: Pages, chat: Chat, message: Message, after: Cursor | None) -> Stream:
    """Stream an answer as the partials that htmx swaps into the page."""

    def encode(item: Update | End) -> bytes:
        return encode_html(pages, chat, message, item)

    return _response(_stream(hub, chat.id, message.id, after, "html", encode))


def encode_json(item: Update | End) -> bytes:
    """Encode what a program gets; empty when it is nothing to a program."""
    if isinstance(item, End):
        outcome = item.outcome
        end = EndEvent(outcome.status, outcome.finish_reason, outcome.usage, outcome.error)
        return sse.event(_json(end), name="end", event_id=item.cursor)
    if not item.text and not item.reset:
        return b""
    name = "reset" if item.reset else "delta"
    return sse.event(_json(TextEvent(item.text)), name=name, event_id=item.cursor)


def encode_html(pages: Pages, chat: Chat, message: Message, item: Update | End) -> bytes:
    """Encode what the page gets: text to append or to put in place, and at last the end."""
    if isinstance(item, End):
        ended = pages.end(chat, message, item.outcome)
        done = sse.event(item.outcome.status, name="done", event_id=item.cursor)
        return sse.event(ended) + done
    body = f"#body-{message.id}"
    html = render_text(item.text)
    # Whoever starts from nothing gets the whole in place of what it may have.
    swap = "innerHTML" if item.start == 0 else "beforeend"
    partials = f'<hx-partial hx-target="{body}" hx-swap="{swap}">{html}</hx-partial>'
    if item.start <= 1 < item.position:
        # The claim is among these entries: the answer does not wait any more.
        partials = pages.shell(message, Status.RUNNING) + partials
    elif not html:
        return b""
    return sse.event(partials, event_id=item.cursor)


async def _stream(
    hub: Hub, chat_id: str, message_id: str, after: Cursor | None, form: str, encode: Encoder
) -> AsyncIterator[bytes]:
    yield _OPENING
    last = after
    async with (
        hub.follow(chat_id, message_id, after) as watched,
        aclosing(view(hub, watched, after)) as items,
    ):
        async for item in items:
            if isinstance(item, Pause):
                yield _HEARTBEAT if item is Pause.SILENCE else _come_back()
                continue
            if isinstance(item, End) and item.cursor == last:
                # A saved answer's text has the id of its end already; ids rise.
                item = End(None, item.outcome)
            if data := _once(watched, form, item, encode):
                yield data
                last = item.cursor


def _once(watched: Watched, form: str, item: Update | End, encode: Encoder) -> bytes:
    """Encode an item, or take what was encoded for another viewer at the same position."""
    key = (form, item.start, item.position, item.reset) if isinstance(item, Update) else (form, item.cursor)
    data = watched.encoded.get(key)
    if data is None:
        data = watched.encoded[key] = encode(item)
    return data


def _come_back() -> bytes:
    # Spread: after a deploy everybody comes back at once.
    retry_ms = random.randint(200, 1500)  # noqa: S311
    return sse.event("{}", name="heartbeat", retry_ms=retry_ms)


def _response(stream: AsyncIterator[bytes]) -> Stream:
    return Stream(stream, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)


def _json(data: Struct) -> str:
    return msgspec.json.encode(data).decode()
