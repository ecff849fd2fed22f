"""The stream of an answer for the page: HTML partials that htmx swaps in."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from chatapp.answers.hub import Hub
from chatapp.answers.live import Update
from chatapp.answers.viewer import End
from chatapp.models import Chat, Cursor, Message, Status
from chatapp.rendering.document import Op
from chatapp.web import sse
from chatapp.web.bodies import Answer, part_name
from chatapp.web.reasoning import reasoning_partials
from chatapp.web.streams import EventStream
from chatapp.web.views import Pages

__all__ = ("html_stream", "partials")

#: Seconds between two events of text: a reader sees no difference, and each is work for server and page.
#: With many answers at once it is so much for each, up to a limit.
_PACE = 0.1
_PACE_PER_ANSWER = 0.002
_MAX_PACE = 0.2
#: The position after which an answer does not wait any more: that of opening and claim.
_CLAIMED = 2


#: Reads chat and answer as they are when the answer has ended.
Ended = Callable[[], Awaitable[tuple[Chat, Message]]]


def html_stream(
    hub: Hub, pages: Pages, chat: Chat, message: Message, after: Cursor | None, ended: Ended
) -> EventStream:
    """Stream an answer as the partials that turn what the page shows into what there is.

    Of one that is shown whole: nothing but the end.
    """

    async def encode(answer: Answer, item: Update | End) -> bytes:
        body = pages.bodies.live(message.id, answer)
        if isinstance(item, End):
            reasoning, text = answer.reasoning(), answer.prefix(answer.position)
            now, saved = await ended()
            if message.whole:
                shown = msgspec.structs.replace(saved, status=item.outcome.status, text=text)
                ops: Sequence[Op] = [Op(None, "", "innerHTML", await pages.bodies.html(shown))]
                before = None
            else:
                ops = await body.last_ops(text)
                before = reasoning
            last = reasoning_partials(message.id, before, reasoning, was_over=False, over=True)
            last += partials(message.id, ops)
            last += await pages.bodies.budget.do(partial(pages.end, now, saved, item.outcome))
            return sse.event(last) + sse.event(item.outcome.status, name="done", event_id=item.cursor)
        claimed = item.start < _CLAIMED <= item.position
        shell = pages.shell(chat, message, Status.RUNNING) if claimed else ""
        if message.whole:
            return sse.event(shell, event_id=item.cursor) if shell else b""
        text, shown_text = answer.prefix(item.position), answer.prefix(item.start)
        if item.start:
            ops = await body.ops(shown_text, text)
        else:
            # A reader without a position gets the whole body, in place of whatever it shows.
            ops = [Op(None, "", "innerHTML", await body.html(text))] if text or item.reset else []
        thoughts = reasoning_partials(
            message.id,
            answer.reasoning(item.start) if not item.reset else None,
            answer.reasoning(item.position),
            was_over=bool(shown_text),
            over=bool(text),
        )
        data = shell + thoughts + partials(message.id, ops)
        return sse.event(data, event_id=item.cursor) if data else b""

    def pace() -> float:
        return min(_MAX_PACE, max(_PACE, _PACE_PER_ANSWER * hub.growing))

    return EventStream(hub, chat.id, message.id, after, encode, form="html", pace=pace)


def partials(message_id: str, ops: Sequence[Op]) -> str:
    """Write operations for htmx, all in one message: it looks up their targets before the first swap."""
    return "".join(_partial(message_id, op) for op in ops)


def _partial(message_id: str, op: Op) -> str:
    # Short, because the frame of most operations is longer than their content.
    place = f"body-{message_id[:8]}" if op.part is None else f"{part_name(message_id)}-{op.part}"
    path = op.selector.replace(" ", "")
    swap = op.swap if op.html or op.swap != "outerHTML" else "delete"
    return f'<hx-partial hx-target="#{place}{path}" hx-swap="{swap}">{op.html}</hx-partial>'
