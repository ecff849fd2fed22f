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
from typing import TypeVar, cast

from chatapp.rendering.blocks import Blocks
from chatapp.rendering.parts import Body, Op, body_html, patch, patch_again
from chatapp.rendering.source import Source
from chatapp.rendering.step import Budget, Step

__all__ = ("Document", "Op", "render")

T = TypeVar("T")

#: Seconds of steps that are counted together: a look at the budget takes as long as most of them.
_NOTHING = 0.0002
#: States kept for viewers who are not at the end, and how many characters their unfinished pieces may have.
_KEPT = 64
_KEPT_SIZE = 64_000


class Document:
    """One answer as HTML, shared by all who watch it. Positions are characters of its text."""

    def __init__(self, name: str = "", budget: Budget | None = None) -> None:
        """`name` begins the ids of the body's parts; `budget` is shared by all documents of an event loop."""
        self._name = name
        self._budget = budget or Budget()
        self._source = Source()
        self._blocks = Blocks()
        self._marks = [self._blocks.mark()]
        #: By position: the body, and the size of what was unfinished.
        self._states: OrderedDict[int, tuple[Body, int]] = OrderedDict()
        self._size = 0
        self._final: Body | None = None
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
        return patch(self._state(start), self._state(end, final=final), self._name)

    def last_ops(self, end: int) -> list[Op]:
        """Return what the end changes after `end` characters, so that doing it twice does no harm."""
        return patch_again(self._state(end), self._state(end, final=True), self._name)

    def html(self, end: int, *, final: bool = False) -> str:
        """Return the body after `end` characters."""
        return body_html(self._state(end, final=final), self._name)

    async def _run(self) -> None:
        await self._budget.wait()
        begun = perf_counter()
        for step in self._steps:
            if not step and perf_counter() - begun < _NOTHING:
                continue
            self._budget.spend(perf_counter() - begun)
            if step:
                await asyncio.to_thread(step)
            else:
                await self._budget.wait()
            begun = perf_counter()
        self._budget.spend(perf_counter() - begun)

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
            self._keep(len(whole), (yield from self._blocks.state(whole)), len(whole) - self._blocks.start)

    def _state(self, raw: int, *, final: bool = False) -> Body:
        if final:
            if self._final is None:
                raise LookupError("the text is not complete yet")
            return self._final
        end = self._source.position(raw)
        kept = self._states.get(end)
        if kept is not None:
            self._states.move_to_end(end)
            return kept[0]
        blocks, state = _at_once(self._past(self._source.text[:end]))
        self._keep(end, state, end - blocks.start)
        return state

    def _past(self, text: str) -> Generator[Step, None, tuple[Blocks, Body]]:
        """Return the body for a text that was there before."""
        mark = self._marks[bisect_right(self._marks, len(text), key=lambda mark: mark.read) - 1]
        behind = text.rfind("\n") + 1 > mark.read
        blocks = self._blocks.at(mark, grows=behind)
        yield from blocks.advance(text)
        return blocks, (yield from blocks.state(text))

    def _keep(self, end: int, state: Body, size: int) -> None:
        self._states[end] = state, size
        self._size += size
        while len(self._states) > 2 and (len(self._states) > _KEPT or self._size > _KEPT_SIZE):
            _, (_, dropped) = self._states.popitem(last=False)
            self._size -= dropped


def render(text: str, name: str = "") -> str:
    """Return a whole text as HTML; `name` begins the ids of its parts."""
    source = Source()
    source.extend(text, final=True)
    return body_html(_at_once(_whole(Blocks(), source.text)), name)


def _whole(blocks: Blocks, text: str) -> Generator[Step, None, Body]:
    """Finish a text; do it again when a definition may come after its use."""
    yield from blocks.advance(text, final=True)
    if blocks.context.links or blocks.context.notes:
        again = Blocks(blocks.context)
        yield from again.advance(text, final=True)
        body = again.body()
        if body_html(body, "") != body_html(blocks.body(), ""):
            return body
    return blocks.body()


def _at_once(steps: Generator[Step, None, T]) -> T:
    try:
        while True:
            if step := next(steps):
                step()
    except StopIteration as done:
        return cast("T", done.value)
