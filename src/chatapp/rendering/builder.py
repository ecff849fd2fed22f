"""Build a small tree of HTML for each top-level block, from the parser's events.

They come one by one, so that a long block is built in steps.
"""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from msgspec import Struct, field

from chatapp.rendering.code import Code, code_frame, language_of
from chatapp.rendering.inline import SIGNS, Inline, link, paragraph
from chatapp.rendering.protect import Protected
from chatapp.rendering.step import Step
from chatapp.rendering.text import render_text as escape
from chatapp.rendering.tree import Element, Node

__all__ = ("Block", "Builder", "Context", "Events", "key_of")

#: Deeper nesting is shown flat: a browser gives up at 512 elements, and a reader long before.
_DEPTH = 40
_EVENTS_A_STEP = 500
_CHARACTERS_AN_EVENT = 40
_PLAIN = {"Emphasis": "em", "Strong": "strong", "Strikethrough": "del", "BlockQuote": "blockquote"}
_INLINE = frozenset({"a", "br", "code", "del", "em", "input", "span", "strong", "sup"})
_SCROLLED = '<div class="table" role="group" aria-label="Table" tabindex="0">'

#: pyromark's: a word, or a dictionary of one name and its value, and its range in bytes.
Events = Iterator[tuple[Any, Any]]


class Context(Struct):
    """What other blocks define: the addresses of references, and the names of footnotes."""

    links: dict[str, str] = field(default_factory=dict)
    notes: set[str] = field(default_factory=set)


class Block(Struct, frozen=True):
    """A top-level block: its tree, its kind in the parser's word, where its first line begins and it ends.

    `starts`: the lines of a list's items or a table's rows; `info`: a fence's, or a footnote's label;
    `codes`: the code in it, for `colour`.
    """

    node: Element
    kind: str
    start: int
    end: int
    starts: tuple[int, ...]
    loose: bool
    info: str | None
    codes: tuple[Code, ...] = ()


class _Frame:
    """An element that is open, with its children so far."""

    __slots__ = ("kind", "nodes", "start", "starts", "task", "value")

    def __init__(self, kind: str, value: Any, start: int) -> None:
        self.kind = kind
        self.value = value
        self.start = start
        self.nodes: list[Node] = []
        self.starts: list[int] = []
        self.task = False


class Builder:
    """The blocks so far, and the elements that are open."""

    def __init__(self, hidden: Protected, context: Context, *, loose: bool) -> None:
        self.blocks: list[Block] = []
        self._hidden = hidden
        self._forced = loose
        self._codes: list[Code] = []
        self._notes = set(context.notes)
        self._inline = Inline(hidden, self._notes)
        self._stack: list[_Frame] = []
        self._links = 0
        self._loose = False
        self._bytes = None if hidden.text.isascii() else hidden.text.encode()
        self._known = (0, 0)

    def line(self, offset: int) -> int:
        """Return where in the source the line of a byte offset of the text begins."""
        return self._hidden.source.rfind("\n", 0, self.place(offset)) + 1

    def place(self, offset: int) -> int:
        """Return where in the source a byte offset of the text is."""
        if self._bytes is not None:
            start, count = self._known if self._known[0] <= offset else (0, 0)
            count += len(self._bytes[start:offset].decode(errors="ignore"))
            self._known = (offset, count)
            offset = count
        return self._hidden.position(offset)

    def _follows_blank(self, offset: int) -> bool:
        """Tell whether a line without words is before that of a byte offset."""
        end = self.line(offset) - 1
        return end > 0 and not self._hidden.source[self._hidden.source.rfind("\n", 0, end) + 1 : end].strip()

    def build(self, events: Events) -> Iterator[Step]:
        """Take in all events; yield between the steps."""
        work = 0
        for event, place in events:
            work += 1 + (place["end"] - place["start"]) // _CHARACTERS_AN_EVENT
            if work >= _EVENTS_A_STEP:
                work = 0
                yield None
            if isinstance(event, str):
                self._mark(event, place)
                continue
            ((name, value),) = event.items()
            if name == "Text":
                yield from self._text(value)
            elif name == "Start":
                self._open(value, place["start"])
            elif name == "End":
                frame = self._stack.pop()
                node = self._code(frame) if frame.kind == "CodeBlock" else self._element(frame)
                self._close(frame, node, place["end"])
            elif name == "Code":
                self._add(Element("code", "<code>", [escape(self._hidden.restore(value))]))
            elif name == "FootnoteReference":
                yield from self._text(f"[^{value}]")
            elif name == "TaskListMarker":
                self._task(checked=value)
            else:
                # Raw HTML, of which `protect` leaves none.
                yield from self._text(str(value))

    def _open(self, tag: Any, start: int) -> None:
        if isinstance(tag, str):
            kind, value = tag, None
        else:
            ((kind, value),) = tag.items()
        depth = len(self._stack)
        if kind in ("Link", "Image"):
            self._links += 1
        elif kind == "FootnoteDefinition":
            self._notes.add(key_of(self._hidden.restore(str(value))))
        elif depth == 2 and self._stack[1].kind == "Item":
            # Before the item's own line is what is before the list, or another item.
            item = self._stack[1]
            later = item.nodes and self._follows_blank(start) and self.line(start) > self.line(item.start)
            if kind == "Paragraph" or later:
                self._loose = True
        elif depth == 1 and kind in ("Item", "TableRow"):
            if self._stack[0].starts and self._follows_blank(start):
                self._loose = True
            self._stack[0].starts.append(self.line(start))
        self._stack.append(_Frame(kind, value, start))

    def _close(self, frame: _Frame, node: Element | None, end: int) -> None:
        if node is None:
            for child in frame.nodes:
                self._add(child)
        elif self._stack:
            self._add(node)
        else:
            info = None
            if frame.kind == "FootnoteDefinition":
                info = key_of(self._hidden.restore(frame.value))
            elif frame.kind == "CodeBlock" and isinstance(frame.value, dict):
                info = self._hidden.restore(frame.value["Fenced"])
            starts, loose = tuple(frame.starts), self._loose and frame.kind == "List"
            # Below a definition a paragraph may be indented like code.
            start = self.place(frame.start) if frame.kind == "Paragraph" else self.line(frame.start)
            end = self.place(end)
            codes, self._codes = tuple(self._codes), []
            self.blocks.append(Block(node, frame.kind, start, end, starts, loose, info, codes))
            self._forced = self._loose = False

    def _element(self, frame: _Frame) -> Element | None:
        kind, nodes = frame.kind, frame.nodes
        if kind in ("Link", "Image"):
            self._links -= 1
        if len(self._stack) > _DEPTH:
            return None
        if kind == "Paragraph":
            return paragraph(nodes)
        if tag := _PLAIN.get(kind):
            return Element(tag, f"<{tag}>", nodes)
        if kind in ("Link", "Image"):
            # Nothing is loaded from elsewhere: an image is a link to it.
            return None if self._links else link(self._hidden.restore(frame.value["dest_url"]), nodes)
        if kind == "Item":
            if self._forced and len(self._stack) == 1:
                nodes = _paragraphs(nodes)
            return Element("li", '<li class="task">' if frame.task else "<li>", nodes)
        if kind == "List":
            if frame.value is None:
                return Element("ul", "<ul>", nodes)
            return Element("ol", "<ol>" if frame.value == 1 else f'<ol start="{int(frame.value)}">', nodes)
        if kind == "Heading":
            tag = frame.value["level"].lower()
            return Element(tag, f"<{tag}>", nodes)
        if kind == "FootnoteDefinition":
            label = self._hidden.restore(frame.value)
            mark = Element("sup", "<sup>", [escape(label)])
            return Element("aside", '<aside class="footnote">', [mark, *nodes])
        if kind.startswith("Table"):
            return self._table(kind, frame)
        return Element("p", "<p>", nodes)

    def _table(self, kind: str, frame: _Frame) -> Element:
        nodes = frame.nodes
        if kind == "TableCell":
            row = self._stack[-1]
            tag, scope = ("th", ' scope="col"') if row.kind == "TableHead" else ("td", "")
            align = self._stack[-2].value[len(row.nodes)].lower()
            return Element(
                tag, f"<{tag}{scope}>" if align == "none" else f'<{tag}{scope} align="{align}">', nodes
            )
        line = Element("tr", "<tr>", nodes)
        if kind == "TableRow":
            return line
        if kind == "TableHead":
            return Element("thead", "<thead>", [line])
        body = Element("tbody", "<tbody>", nodes[1:])
        return Element("div", _SCROLLED, [Element("table", "<table>", [*nodes[:1], body])])

    def _code(self, frame: _Frame) -> Element:
        info = self._hidden.restore(frame.value["Fenced"]) if isinstance(frame.value, dict) else ""
        code = "".join(cast("list[str]", frame.nodes))
        element = Element("code", "<code>", [escape(code)])
        if language := language_of(info).lower():
            self._codes.append(Code(element, language, code))
        return code_frame(info, element, complete=True)

    def _task(self, *, checked: bool) -> None:
        for frame in reversed(self._stack):
            if frame.kind == "Item":
                frame.task = True
                break
        state = " checked" if checked else ""
        self._add(Element("input", f'<input type="checkbox" aria-label="Task" disabled{state}>', None))
        self._add(" ")

    def _mark(self, event: str, place: Any) -> None:
        if event == "SoftBreak":
            self._add("\n")
        elif event == "HardBreak":
            self._add(Element("br", "<br>", None))
            self._add("\n")
        elif event == "Rule":
            node = Element("hr", "<hr>", None)
            if self._stack:
                self._add(node)
            else:
                start, end = self.line(place["start"]), self.place(place["end"])
                self.blocks.append(Block(node, "Rule", start, end, (), False, None))

    def _text(self, text: str) -> Iterable[Step]:
        if self._stack[-1].kind == "CodeBlock":
            self._stack[-1].nodes.append(self._hidden.restore(text))
            return ()
        if not SIGNS.search(text):
            self._add(escape(text))
            return ()
        return self._nodes(text)

    def _nodes(self, text: str) -> Iterator[Step]:
        for number, node in enumerate(self._inline.nodes(text, linked=self._links > 0), 1):
            self._add(node)
            if number % _EVENTS_A_STEP == 0:
                yield None

    def _add(self, node: Node) -> None:
        nodes = self._stack[-1].nodes
        if isinstance(node, str) and nodes and isinstance(nodes[-1], str):
            nodes[-1] += node
        else:
            nodes.append(node)


def key_of(label: str) -> str:
    """Return a label as labels are compared."""
    return " ".join(label.split()).casefold()


def _paragraphs(nodes: list[Node]) -> list[Node]:
    """Return an item of a tight list as one of a loose list."""
    result: list[Node] = []
    run: list[Node] = []
    for node in nodes:
        if isinstance(node, str) or node.tag in _INLINE:
            run.append(node)
            continue
        if run:
            result.append(paragraph(run))
            run = []
        result.append(node)
    return [*result, paragraph(run)] if run else result
