"""What an answer's body shows: the states of the beginnings of its text, and the partials between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import unescape

from chatapp.rendering.document import Document, Op, render
from tests.rendering.dom import Body
from tests.support.script import mend
from tests.support.sse import SSEEvent

__all__ = ("States", "apply_events", "live_html", "ops_of", "shown_live", "shown_whole", "text_of")

_TAG = re.compile(r"<[^>]*>")
_STEP = re.compile(r" ?> ?")
_HALF = re.compile("[\ud800-\udbff]\\Z")


def text_of(html: str) -> str:
    """Return the `textContent` of HTML that the server made: no attribute of it has a `>`."""
    return unescape(_TAG.sub("", html))


async def live_html(text: str) -> str:
    """Return the body of an answer that has got as far as this and goes on."""
    document = Document()
    await document.extend(text)
    return document.html(len(text))


async def shown_live(text: str) -> str:
    """Return the text content of `live_html`."""
    return text_of(await live_html(text))


def shown_whole(text: str) -> str:
    """Return the text content of an ended answer's body."""
    return text_of(render(text))


class States:
    """Every text that a page may show of an answer, and after how many characters of it."""

    def __init__(self) -> None:
        self._positions: dict[str, list[int]] = {}

    @classmethod
    async def of(cls, chunks: Sequence[str], ended: str) -> States:
        """Take all beginnings that end with a chunk, up to the text with which the answer ended."""
        self = cls()
        document, begun = Document(), ""
        self._add("", 0)
        for chunk in chunks:
            begun += chunk
            if _HALF.search(begun):
                continue
            text = mend(begun)
            if len(text) > len(ended):
                break
            await document.extend(text)
            self._add(text_of(document.html(len(text))), len(text))
        self._add(shown_whole(ended), len(ended))
        return self

    def _add(self, text: str, position: int) -> None:
        self._positions.setdefault(text, []).append(position)

    def check(self, texts: Iterable[str]) -> None:
        """Check that each of the texts is such a state, none of less of the answer than the one before."""
        reached = 0
        for text in texts:
            positions = self._positions.get(text)
            assert positions, f"…{text[-300:]!r} is what no beginning of the answer looks like"
            later = [position for position in positions if position >= reached]
            assert later, f"…{text[-300:]!r} is of {positions} characters, after one of {reached}"
            reached = later[0]


def ops_of(data: str, message_id: str) -> list[Op]:
    """Return the operations on an answer's body that an event of the page's stream holds."""
    name = message_id[:8]
    partial = re.compile(
        rf'<hx-partial hx-target="#(?:body-{name}|p{name}-(\d+))([ >][^"]*)?" hx-swap="(\w+)">'
        r"(.*?)</hx-partial>",
        re.DOTALL,
    )
    return [
        Op(
            int(part) if part else None,
            _STEP.sub("> ", selector).replace(">", " >").strip().replace("  ", " "),
            "outerHTML" if swap == "delete" else swap,
            html,
        )
        for part, selector, swap, html in partial.findall(data)
    ]


def apply_events(body: Body, events: Iterable[SSEEvent], message_id: str) -> Body:
    """Do to a body what htmx would with these events."""
    for event in events:
        body.apply(ops_of(event.data, message_id))
    return body
