"""Render the texts of messages: block by block while an answer grows, and cached once it has ended.

The body after the first n characters of a text is a function of these alone (see docs/rendering.md), so a
page that was loaded, one that grew, and one that came back are the same.
"""

from collections.abc import Sequence
from functools import partial
from weakref import WeakKeyDictionary

from chatapp.answers.live import LiveAnswer, SavedAnswer
from chatapp.models import Message
from chatapp.rendering.document import Document, Op
from chatapp.rendering.step import Budget
from chatapp.rendering.text import render_text
from chatapp.web.lru import LruCache

__all__ = ("Answer", "Bodies", "LiveBody", "part_name")

#: Characters of ended answers, as HTML and as text, that are kept.
_KEPT = 8 << 20

Answer = LiveAnswer | SavedAnswer


class LiveBody:
    """The HTML of one answer that is watched, for all viewers in this process."""

    def __init__(self, document: Document, floor: int, budget: Budget) -> None:
        self.floor = floor
        self._document = document
        self._budget = budget

    async def ops(self, before: str, text: str) -> Sequence[Op]:
        """Return what turns the body of `before` into that of `text`."""
        await self._document.extend(text)
        return await self._budget.do(partial(self._document.ops, len(before), len(text)))

    async def html(self, text: str) -> str:
        """Return the whole body."""
        await self._document.extend(text)
        return await self._budget.do(partial(self._document.html, len(text)))

    async def last_ops(self, text: str) -> Sequence[Op]:
        """Return what the end changes, safe to repeat: a viewer may be cut off before it has the end's id."""
        await self._document.extend(text, final=True)
        return await self._budget.do(partial(self._document.last_ops, len(text)))


class Bodies:
    """All bodies of a process."""

    def __init__(self) -> None:
        self._live: WeakKeyDictionary[Answer, LiveBody] = WeakKeyDictionary()
        #: Name and text → HTML.
        self._ended: LruCache[tuple[str, str], str] = LruCache(_KEPT)
        #: How long rendering may hold up a round of the event loop, for all answers together.
        self.budget = Budget()

    def live(self, message_id: str, answer: Answer) -> LiveBody:
        """Return the body of an answer that somebody watches."""
        body = self._live.get(answer)
        if body is None or body.floor != answer.floor:
            # New, or begun anew.
            document = Document(part_name(message_id), self.budget)
            body = self._live[answer] = LiveBody(document, answer.floor, self.budget)
        return body

    async def html(self, message: Message) -> str:
        """Return the HTML of a message as it is now."""
        if message.role == "user":
            return render_text(message.text)
        key = part_name(message.id), message.text
        if not message.status.active and (kept := self._ended.get(key)) is not None:
            return kept
        document = Document(key[0], self.budget)
        await document.extend(message.text, final=not message.status.active)
        html = document.html(len(message.text), final=not message.status.active)
        if not message.status.active:
            self._ended.put(key, html, len(html) + len(message.text))
        return html


def part_name(message_id: str) -> str:
    """Return what the ids of the parts of a message's body begin with: short, because each event says it."""
    return f"p{message_id[:8]}"
