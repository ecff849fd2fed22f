"""The blocks of a text that grows: what is finished, and what its end looks like now.

A top-level block is finished when a later one has begun, judged on whole lines only: `para\\n#` is a
heading until `hash` arrives. So what is finished is a function of the text, not of how it came.
"""

from collections.abc import Generator, Iterator

from msgspec import Struct

from chatapp.rendering.code import code_frame, language_of
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
        while self.start < end:
            container = self.container
            if isinstance(container, Fence):
                yield from self._lines(container, text, end)
                if self.container:
                    return
                continue
            before = self.start, container
            parsed = yield from self._parse(text[self.start : end])
            if isinstance(container, Items) and self._is_list(parsed):
                yield from self._items(container, parsed, text)
                settled = self.container is container
            elif isinstance(container, Rows) and parsed.blocks and parsed.blocks[0].kind == "Table":
                yield from self._rows(container, parsed)
                settled = self.container is container
            else:
                yield from self._close_container()
                settled = yield from self._some(parsed, text, end)
            # What is left was looked at: it would be parsed again to the same end.
            if settled or before == (self.start, self.container):
                return

    def _parse(self, source: str) -> Generator[Step, None, Parsed]:
        if isinstance(self.container, Rows):
            return (yield from self.container.parse(source, self.context, growing=self._growing))
        return (yield from parse(source, self.context, highlighted=True, growing=self._growing))

    @staticmethod
    def _is_list(parsed: Parsed) -> bool:
        return bool(parsed.blocks) and parsed.blocks[0].kind == "List"

    def _some(self, parsed: Parsed, text: str, end: int) -> Generator[Step, None, bool]:
        """Finish all blocks but the last, which becomes a container if it is of that kind.

        Return whether there is nothing more to find in it.
        """
        origin = self.start
        done, rest = self._split(parsed, 0)
        for block in done:
            yield from self._finished.add(block.node, rest)
        self._define(parsed, done, rest)
        self.start = origin + rest
        if len(done) == len(parsed.blocks):
            return False
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
        one = last.kind in ("Paragraph", "Heading") or (last.kind == "List" and len(last.starts) == 1)
        return one and not parsed.links

    @staticmethod
    def _split(parsed: Parsed, first: int) -> tuple[list[Block], int]:
        """Return the blocks from number `first` on that are finished, and where the rest begins."""
        blocks = parsed.blocks[first:]
        if not blocks:
            return [], 0
        # A definition has no block of its own, but ends the one before.
        after = [start for start, _ in parsed.links.values() if start >= blocks[-1].end]
        if after:
            return blocks, min(after)
        return blocks[:-1], blocks[-1].start

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

    def _items(self, items: Items, parsed: Parsed, text: str) -> Iterator[Step]:
        block = parsed.blocks[0]
        origin = self.start
        items.loose = items.loose or block.loose
        done, rest = self._split(parsed, 0)
        whole = bool(done)
        ends = [*block.starts[1:]]
        if whole:
            ends.append(self._end(parsed, rest))
        begin = 0
        for stop in ends:
            items.add(text[origin + begin : origin + stop])
            begin = stop
        self.start = origin + begin
        yield from items.build(loose=items.loose)
        if whole:
            self._define(parsed, [], begin)
            yield from self._close_container()

    @staticmethod
    def _end(parsed: Parsed, rest: int) -> int:
        """Return where what follows the first block begins."""
        after = [start for start, _ in parsed.links.values() if start >= parsed.blocks[0].end]
        return min([parsed.blocks[1].start if len(parsed.blocks) > 1 else rest, *after])

    def _rows(self, rows: Rows, parsed: Parsed) -> Iterator[Step]:
        origin = self.start
        done, rest = self._split(parsed, 0)
        block = parsed.blocks[0]
        nodes = rows_of(block)
        if done:
            for row in nodes:
                rows.add(row)
            end = self._end(parsed, rest)
            self.start = origin + end
            self._define(parsed, [], end)
            yield from self._close_container()
            return
        for row in nodes[:-1]:
            rows.add(row)
        if block.starts:
            self.start = origin + block.starts[-1]

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
                    yield from self._finished.add(block.node, len(text) - self.start)
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
            first = parsed.blocks[:1] if parsed.blocks and parsed.blocks[0].kind == "Table" else []
            shown = container.element([row for block in first for row in rows_of(block)])
            after += [block.node for block in parsed.blocks[len(first) :]]
        elif isinstance(container, Items):
            parsed = yield from parse(mend(_paced(source)), self.context, loose=container.loose, growing=True)
            first = parsed.blocks[:1] if self._is_list(parsed) else []
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
