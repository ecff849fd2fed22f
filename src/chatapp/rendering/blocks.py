"""The blocks of a text that grows: what is finished, and what its end looks like now.

A top-level block is finished when a later one has begun, judged on whole lines only: `para\\n#` is a
heading until `hash` arrives. So what is finished is a function of the text, not of how it came.
"""

from collections.abc import Generator, Iterator
from itertools import zip_longest

from msgspec import Struct

from chatapp.rendering.code import code_frame, colour, language_of
from chatapp.rendering.containers import Container, Fence, Items, Rows, rows_of
from chatapp.rendering.finished import Finished
from chatapp.rendering.highlight import highlight
from chatapp.rendering.mend import mend
from chatapp.rendering.parse import Block, Context, Parsed, parse
from chatapp.rendering.parts import Body
from chatapp.rendering.step import Step
from chatapp.rendering.text import render_text as escape
from chatapp.rendering.tree import Element, Node

__all__ = ("Blocks", "Mark")

#: Whole lines taken in at once, in characters: about a millisecond.
_WINDOW = 4_000
#: An unfinished piece longer than this is shown as plain text until it is finished.
_LIVE_LIMIT = 16_000


class Mark(Struct, frozen=True, gc=False):
    """A moment in the growth of `Blocks`."""

    read: int
    start: int
    nodes: int
    container: Container | None
    count: int
    loose: bool
    context: Context


class Blocks:
    """What is finished of a text, and where the rest begins."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or Context()
        self._finished = Finished()
        self.container: Container | None = None
        #: Everything before is finished.
        self.start = 0
        #: Whole lines up to here are taken in.
        self.read = 0
        self._growing = True

    def mark(self) -> "Mark":
        """Return what `at` needs to come back to here."""
        container = self.container
        count = len(container.nodes) if container else 0
        loose = isinstance(container, Items) and container.loose
        return Mark(self.read, self.start, self._finished.count, container, count, loose, self.context)

    def at(self, mark: "Mark", *, grows: bool) -> "Blocks":
        """Return the blocks as they were; if they are to grow, by themselves."""
        other = Blocks(mark.context)
        other._finished = self._finished.fork(mark.nodes)
        if mark.container:
            other.container = mark.container.at(mark.count, grows=grows)
            if isinstance(other.container, Items):
                other.container.loose = mark.loose
        other.start, other.read = mark.start, mark.read
        return other

    def advance(self, text: str, *, final: bool = False) -> Iterator[Step]:
        """Take in the whole lines of `text`, or all of it when nothing follows."""
        lines = len(text) if final else text.rfind("\n") + 1
        while self.read < lines:
            # Longer for a long unfinished piece, which is parsed again each time.
            window = self.read + max(_WINDOW, self.read - self.start)
            end = lines if window >= lines else text.find("\n", window, lines) + 1 or lines
            self._growing = not final or end < lines
            yield from self._take(text, end)
            self.read = end
            yield None
        if final:
            # What was taken for a beginning, because the text went on, may be something else now.
            self._growing = False
            yield from self._take(text, lines)
            yield from self._finish(text)

    def _take(self, text: str, end: int) -> Iterator[Step]:
        """Finish what the lines up to `end` allow."""
        parsed: Parsed | None = None
        while self.start < end:
            container = self.container
            if isinstance(container, Fence):
                yield from self._lines(container, text, end)
                if self.container:
                    return
                parsed = None
                continue
            before = self.start, container
            if parsed is None:
                parsed = yield from self._parse(text[self.start : end])
            if isinstance(container, Items) and parsed.begins("List"):
                done = yield from self._items(container, parsed, text)
            elif isinstance(container, Rows) and parsed.begins("Table"):
                done = yield from self._rows(container, parsed)
            else:
                yield from self._close_container()
                done = yield from self._some(parsed, text, end)
                container = None
            # What is left was looked at: it would be parsed again to the same end.
            if (container and not done) or before == (self.start, self.container):
                return
            parsed = parsed.rest(self.start - before[0], done) if parsed.alone else None

    def _parse(self, source: str) -> Generator[Step, None, Parsed]:
        if isinstance(self.container, Rows):
            return (yield from self.container.parse(source, self.context, growing=self._growing))
        return (yield from parse(source, self.context, growing=self._growing))

    def _some(self, parsed: Parsed, text: str, end: int) -> Generator[Step, None, int]:
        """Finish all blocks but the last, which becomes a container if it is of that kind.

        Return how many are finished.
        """
        origin = self.start
        done, rest = parsed.finished()
        for block in done:
            yield from self._add(block, rest)
        self._define(parsed, done, rest)
        self.start = origin + rest
        if len(done) == len(parsed.blocks):
            return len(done)
        last = parsed.blocks[-1]
        self.start = origin + last.start
        if last.kind == "CodeBlock" and last.info is not None:
            line_end = text.find("\n", self.start, end)
            if line_end >= 0:
                self.container = Fence(text[self.start : line_end], last.info)
                self.start = line_end + 1
        elif last.kind == "List":
            self.container = Items(last.node, self.context)
            self.container.loose = last.loose
        elif last.kind == "Table":
            below = text.find("\n", text.find("\n", self.start) + 1, end) + 1
            if below:
                self.container = Rows(text[self.start : below], last.node)
                self.start = below
        yield None
        return len(done)

    def _add(self, block: Block, size: int) -> Iterator[Step]:
        """Finish a block of about `size` characters."""
        yield from colour(block.codes)
        yield from self._finished.add(block.node, size)

    def _define(self, parsed: Parsed, done: list[Block], rest: int) -> None:
        links = {label: url for label, (start, url) in parsed.links.items() if start < rest}
        notes = {block.info or "" for block in done if block.kind == "FootnoteDefinition"}
        if links or notes:
            # A new one: what was begun before keeps what it knew.
            self.context = Context({**links, **self.context.links}, self.context.notes | notes)

    def _lines(self, fence: Fence, text: str, end: int) -> Iterator[Step]:
        while self.start < end:
            after = text.find("\n", self.start, end) + 1 or end
            line = text[self.start : after]
            self.start = after
            if fence.closes(line.removesuffix("\n")):
                yield from self._close_fence(fence)
                return
            fence.add(line)

    def _close_fence(self, fence: Fence) -> Iterator[Step]:
        self.container = None
        code = "".join(fence.lines)
        nodes = yield from highlight(code, language_of(fence.info).lower())
        # What stays plain stays as it is shown: it is not sent again.
        element = Element("code", "<code>", nodes or [], None if nodes else fence.nodes)
        yield from self._finished.add(
            code_frame(fence.info, element, complete=True), len(code), slim=bool(nodes)
        )

    def _items(self, items: Items, parsed: Parsed, text: str) -> Generator[Step, None, int]:
        """Take in the items that are finished; return 1 when the list is."""
        block = parsed.blocks[0]
        origin = self.start
        items.loose = items.loose or block.loose
        done, rest = parsed.finished()
        whole = bool(done)
        ends = [*block.starts[1:]]
        if whole:
            ends.append(parsed.second(rest))
        # Only what would be the same by itself, and not as one of a loose list.
        made = block.node.all() if parsed.alone and not items.loose and not block.codes else []
        begin = 0
        for stop, item in zip_longest(ends, made[: len(ends)]):
            items.add(text[origin + begin : origin + stop], item)
            begin = stop
        self.start = origin + begin
        yield from items.build(loose=items.loose)
        if whole:
            self._define(parsed, [], begin)
            yield from self._close_container()
        return int(whole)

    def _rows(self, rows: Rows, parsed: Parsed) -> Generator[Step, None, int]:
        """Take in the rows that are finished; return 1 when the table is."""
        origin = self.start
        done, rest = parsed.finished()
        block = parsed.blocks[0]
        nodes = rows_of(block)
        if done:
            for row in nodes:
                rows.add(row)
            end = parsed.second(rest)
            self.start = origin + end
            self._define(parsed, [], end)
            yield from self._close_container()
            return 1
        for row in nodes[:-1]:
            rows.add(row)
        if block.starts:
            self.start = origin + block.starts[-1]
        return 0

    def _close_container(self) -> Iterator[Step]:
        container, self.container = self.container, None
        if isinstance(container, Items):
            yield from self._finished.add(container.element([], loose=container.loose), 0)
        elif isinstance(container, Rows):
            yield from self._finished.add(container.element([]), 0)

    def _finish(self, text: str) -> Iterator[Step]:
        """Finish what is left at the end of the text."""
        container = self.container
        self._growing = False
        if isinstance(container, Fence):
            yield from self._close_fence(container)
        elif self.start < len(text):
            parsed = yield from self._parse(text[self.start :])
            if isinstance(container, Items):
                if parsed.blocks:
                    items = container
                    items.loose = items.loose or parsed.blocks[0].loose
                    items.add(text[self.start :])
                    yield from items.build(loose=items.loose)
            elif isinstance(container, Rows):
                for row in rows_of(parsed.blocks[0]) if parsed.blocks else ():
                    container.add(row)
            else:
                for block in parsed.blocks:
                    yield from self._add(block, len(text) - self.start)
            self._define(parsed, parsed.blocks, len(text))
        yield from self._close_container()
        self.start = len(text)

    def state(self, text: str) -> Generator[Step, None, Body]:
        """Return the body for `text`, whose whole lines are taken in."""
        source = text[self.start :]
        container = self.container
        after: list[Node] = []
        shown: Element | None = None
        if len(source) > _LIVE_LIMIT and not isinstance(container, Fence):
            after = [Element("div", '<div class="plain">', [escape(_paced(source))])]
            source = ""
        if isinstance(container, Fence):
            shown = container.element(container.live(source))
        elif isinstance(container, Rows):
            parsed = yield from container.parse(mend(_paced(source), rows=True), self.context, growing=True)
            first = parsed.blocks[:1] if parsed.begins("Table") else []
            shown = container.element([row for block in first for row in rows_of(block)])
            after += [block.node for block in parsed.blocks[len(first) :]]
        elif isinstance(container, Items):
            parsed = yield from parse(mend(_paced(source)), self.context, loose=container.loose, growing=True)
            first = parsed.blocks[:1] if parsed.begins("List") else []
            loose = container.loose or any(block.loose for block in first)
            yield from container.build(loose=loose)
            shown = container.element([item for block in first for item in block.node.all()], loose=loose)
            after += [block.node for block in parsed.blocks[len(first) :]]
        elif source:
            parsed = yield from parse(mend(_paced(source)), self.context, growing=True)
            after += [block.node for block in parsed.blocks]
        return self._finished.body([shown, *after] if shown else after)

    def body(self) -> Body:
        """Return the body when everything is finished."""
        return self._finished.body()


def _paced(source: str) -> str:
    """Return what is shown of a long unfinished piece: the longer, the less often new, by 0.6 s at most."""
    size = len(source)
    step = 1 if size < 1_000 else 32 if size < 4_000 else 128 if size < _LIVE_LIMIT else 256
    return source[: size - size % step]
