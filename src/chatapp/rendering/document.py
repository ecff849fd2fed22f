"""Markdown rendered on the server while it arrives: `Document` for a live answer, `render` for a whole text.

`state(n)`, the HTML of an answer's body after the first n characters, is a function of these characters
alone. So a viewer may join, leave and come back anywhere:

    document = Document()
    await document.extend(text)              # whenever the text has grown; awaits where work is heavy
    document.html(len(text))                 # the whole state, for a page loaded in mid-answer
    document.ops(seen, len(text))            # what turns state(seen) into state(len(text))
    await document.extend(text, final=True)  # the text is complete
    document.ops(seen, len(text), final=True)

After the last operations the body is what `render(text)` gives.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Generator, Iterator
from time import perf_counter
from typing import cast

from chatapp.rendering.blocks import Blocks
from chatapp.rendering.source import Source
from chatapp.rendering.step import Step
from chatapp.rendering.tree import Element, Op, patch, patch_again, safe_html

__all__ = ("Document", "render")

#: Other work gets its turn after so many seconds.
_SLICE = 0.002
#: States kept for viewers who are not at the end.
_KEPT = 64


class Document:
    """One answer as HTML, shared by all who watch it. Positions are characters of its text."""

    def __init__(self) -> None:
        self._source = Source()
        self._blocks = Blocks()
        self._marks = [self._blocks.mark()]
        self._states: OrderedDict[int, Element] = OrderedDict()
        self._final: Element | None = None
        self._lock = asyncio.Lock()
        self._steps: Iterator[Step] = iter(())

    async def extend(self, text: str, *, final: bool = False) -> None:
        """Take in the text so far; with `final`, all of it."""
        async with self._lock:
            # Somebody may have been cancelled in the middle of it.
            await self._run()
            self._steps = self._extend(text, final)
            await self._run()

    def ops(self, start: int, end: int, *, final: bool = False) -> list[Op]:
        """Return what turns the body after `start` characters into that after `end`, both taken in before."""
        return patch(self._state(start), self._state(end, final=final))

    def last_ops(self, end: int) -> list[Op]:
        """Return what the end changes after `end` characters, so that doing it twice does no harm."""
        return patch_again(self._state(end), self._state(end, final=True))

    def html(self, end: int, *, final: bool = False) -> str:
        """Return the body after `end` characters."""
        return safe_html(self._state(end, final=final).all())

    async def _run(self) -> None:
        begun = perf_counter()
        for step in self._steps:
            if step:
                await asyncio.to_thread(step)
            elif perf_counter() - begun < _SLICE:
                continue
            else:
                await asyncio.sleep(0)
            begun = perf_counter()

    def _extend(self, text: str, final: bool) -> Iterator[Step]:
        if self._final is not None:
            return
        self._source.extend(text, final=final)
        whole = self._source.text
        if final:
            self._final = yield from _whole(self._blocks, whole)
            return
        read = self._blocks.read
        yield from self._blocks.advance(whole)
        if self._blocks.read > read:
            self._marks.append(self._blocks.mark())
        if len(whole) not in self._states:
            self._keep(len(whole), (yield from self._blocks.state(whole)))

    def _state(self, raw: int, *, final: bool = False) -> Element:
        if final:
            if self._final is None:
                raise LookupError("the text is not complete yet")
            return self._final
        end = self._source.position(raw)
        state = self._states.get(end)
        if state is None:
            state = _at_once(self._past(self._source.text[:end]))
        self._keep(end, state)
        return state

    def _past(self, text: str) -> Generator[Step, None, Element]:
        """Return the body for a text that was there before."""
        mark = self._marks[bisect_right(self._marks, len(text), key=lambda mark: mark.read) - 1]
        behind = text.rfind("\n") + 1 > mark.read
        blocks = self._blocks.at(mark, grows=behind)
        yield from blocks.advance(text)
        return (yield from blocks.state(text))

    def _keep(self, end: int, state: Element) -> None:
        self._states[end] = state
        self._states.move_to_end(end)
        while len(self._states) > _KEPT:
            self._states.popitem(last=False)


def render(text: str) -> str:
    """Return a whole text as HTML."""
    source = Source()
    source.extend(text, final=True)
    return safe_html(_at_once(_whole(Blocks(), source.text)).all())


def _whole(blocks: Blocks, text: str) -> Generator[Step, None, Element]:
    """Finish a text; do it again when a definition may come after its use."""
    yield from blocks.advance(text, final=True)
    if blocks.context.links or blocks.context.notes:
        again = Blocks(blocks.context)
        yield from again.advance(text, final=True)
        body = again.body()
        if safe_html(body.all()) != safe_html(blocks.body().all()):
            return body
    return blocks.body()


def _at_once(steps: Generator[Step, None, Element]) -> Element:
    try:
        while True:
            if step := next(steps):
                step()
    except StopIteration as done:
        return cast("Element", done.value)
