"""The long blocks that grow by pieces: a fence by lines, a list by items, a table by rows.

Each keeps its finished pieces in a list that only grows and that all states share.
"""

import re
from collections import deque
from collections.abc import Generator, Iterator
from copy import copy

from chatapp.rendering.code import code_frame
from chatapp.rendering.parse import Block, Context, Parsed, parse
from chatapp.rendering.step import Step
from chatapp.rendering.text import render_text as escape
from chatapp.rendering.tree import Element, Node, safe_html

__all__ = ("Container", "Fence", "Items", "Recent", "Rows", "finish", "rows_of")

_OPENING = re.compile(r"( {0,3})(`{3,}|~{3,})")
#: More blocks than two events of a fast answer finish.
_RECENT = 16
_ONLY_MARKS = re.compile(r" {0,3}(`*|~*)[ \t]*\Z")


def finish(node: Element) -> Element:
    """Keep the sanitised HTML of what does not change any more."""
    node.html = safe_html([node])
    return node


class Recent:
    """The blocks that were finished last: only their trees are still compared with what is shown."""

    def __init__(self) -> None:
        self._nodes: deque[Element] = deque()

    def add(self, node: Element) -> None:
        """Take in another, and slim the one that was finished long ago."""
        self._nodes.append(node)
        if len(self._nodes) > _RECENT:
            self._nodes.popleft().slim()


def _element(tag: str, head: str, live: list[Node], base: list[Node], count: int | None) -> Element:
    return Element(tag, head, live, base, -1 if count is None else count)


class Fence:
    """An open fence of the top level."""

    def __init__(self, opening: str, info: str) -> None:
        found = _OPENING.match(opening)
        assert found
        self.info = info
        self._indent = re.compile(f" {{0,{len(found[1])}}}")
        self._mark = found[2]
        self._closing = re.compile(f" {{0,3}}{re.escape(self._mark[0])}{{{len(self._mark)},}}[ \\t]*\\Z")
        #: How many of the lines it shows, None for all.
        self.count: int | None = None
        self.lines: list[str] = []
        self.nodes: list[Node] = []

    def closes(self, line: str) -> bool:
        """Tell whether a whole line is the end of the code."""
        return self._closing.match(line) is not None

    def add(self, line: str) -> None:
        """Take in a whole line with its end, which the last one of a text may not have."""
        line = self._indent.sub("", line, count=1)
        self.lines.append(line)
        self.nodes.append(escape(line))

    def live(self, line: str) -> list[Node]:
        """Return what to show of a line that is not whole: nothing when it may be the end."""
        if _ONLY_MARKS.match(line):
            return []
        return [escape(self._indent.sub("", line, count=1))]

    def element(self, live: list[Node]) -> Element:
        """Return the code as it is shown while it is open."""
        return code_frame(self.info, _element("code", "<code>", live, self.nodes, self.count), complete=False)

    def at(self, count: int, *, grows: bool) -> "Fence":
        """Return the first `count` lines, with lists of its own if it is to grow."""
        other = copy(self)
        other.count = count
        if grows:
            other.lines, other.nodes = self.lines[:count], self.nodes[:count]
            other.count = None
        return other


class Items:
    """The list at the end of the text. Its items are final once the next one has begun."""

    def __init__(self, head: Element, context: Context) -> None:
        self._tag, self._head = head.tag, head.head
        self._context = context
        #: How many of the items it shows, None for all.
        self.count: int | None = None
        self.sources: list[str] = []
        self.loose = False
        #: The items in both looks; that of a loose list is made when it is needed.
        self._nodes: dict[bool, list[Node]] = {False: [], True: []}
        self._recent = Recent()

    def add(self, source: str, made: Node | None = None) -> None:
        """Take in a whole item; `made`: what it is in a list that is not loose, where that is known."""
        if isinstance(made, Element) and len(self._nodes[False]) == len(self.sources):
            self._keep(made, loose=False)
        self.sources.append(source)

    def build(self, *, loose: bool) -> Iterator[Step]:
        """Make the items that are not made yet."""
        nodes = self._nodes[loose]
        while len(nodes) < len(self.sources):
            parsed = yield from parse(self.sources[len(nodes)], self._context, loose=loose, highlighted=True)
            items = parsed.blocks[0].node.all()
            assert isinstance(items[0], Element)
            self._keep(items[0], loose=loose)
            yield None

    def _keep(self, item: Element, *, loose: bool) -> None:
        self._nodes[loose].append(finish(item))
        self._recent.add(item)

    def element(self, live: list[Node], *, loose: bool) -> Element:
        """Return the list as it is shown now."""
        return _element(self._tag, self._head, live, self._nodes[loose], self.count)

    @property
    def nodes(self) -> list[str]:
        """Return one for each item."""
        return self.sources

    def at(self, count: int, *, grows: bool) -> "Items":
        """Return the first `count` items, with lists of its own if it is to grow."""
        other = copy(self)
        other.count = count
        if grows:
            other.sources = self.sources[:count]
            other._nodes = {loose: nodes[:count] for loose, nodes in self._nodes.items()}
            other.count = None
        return other


class Rows:
    """The table at the end of the text."""

    def __init__(self, head: str, element: Element) -> None:
        self.head = head
        self._frame = element
        #: How many of the rows it shows, None for all.
        self.count: int | None = None
        self.nodes: list[Node] = []
        self._recent = Recent()

    def element(self, live: list[Node]) -> Element:
        """Return the table as it is shown now."""
        [table] = self._frame.all()
        assert isinstance(table, Element)
        head, *_ = table.all()
        body = _element("tbody", "<tbody>", live, self.nodes, self.count)
        return Element(self._frame.tag, self._frame.head, [Element("table", "<table>", [head, body])])

    def add(self, row: Node) -> None:
        """Take in a whole row."""
        assert isinstance(row, Element)
        self.nodes.append(finish(row))
        self._recent.add(row)

    def parse(self, source: str, context: Context, *, growing: bool) -> Generator[Step, None, Parsed]:
        """Parse rows, and what may follow them, below the table's own head."""
        parsed = yield from parse(self.head + source, context, growing=growing)
        return parsed.rest(len(self.head))

    def at(self, count: int, *, grows: bool) -> "Rows":
        """Return the first `count` rows, with a list of its own if it is to grow."""
        other = copy(self)
        other.count = count
        if grows:
            other.nodes = self.nodes[:count]
            other.count = None
        return other


Container = Fence | Items | Rows


def rows_of(block: Block) -> list[Node]:
    """Return the rows of a table's tree."""
    table = block.node.all()[0]
    assert isinstance(table, Element)
    body = table.all()[-1]
    assert isinstance(body, Element)
    return body.all()
