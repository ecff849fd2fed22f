"""A small tree of HTML, and the operations that turn one state of it into the next.

A text node is a string, escaped already. What is finished is shared between states: an element shows the
first `count` of its `base`, a list that only grows, and then its own children. So comparing two states
costs what changed, not what there is.

htmx finds the targets of all parts of a message before it swaps the first one. Every selector here is
therefore true of the old state, and no operation takes away the target of another.
"""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from chatapp.rendering.clean import clean

__all__ = ("Element", "Node", "Op", "patch", "patch_again", "safe_html", "write")

_BLOCK = re.compile(r"> :(?:last-child|nth-last-child\((\d+)\))")
#: Longest list of finished children that is compared one by one after its base has changed.
_COMPARED = 64
#: Most elements replaced one by one.
_REPLACED = 8


class Op(Struct, frozen=True):
    """Put `html` at `selector`, a path below the answer's body ("" is the body), in htmx's way `swap`."""

    selector: str
    swap: str
    html: str


class Element:
    """An element whose opening tag is `head`; a void one has no children (None)."""

    __slots__ = ("base", "children", "count", "head", "html", "tag")

    def __init__(
        self,
        tag: str,
        head: str,
        children: "list[Node] | None",
        base: "list[Node] | None" = None,
    ) -> None:
        self.tag = tag
        self.head = head
        self.children = children
        self.base = base
        self.count = len(base) if base is not None else 0
        #: Its sanitised HTML, kept once it is finished.
        self.html: str | None = None

    def all(self, skip: int = 0) -> "list[Node]":
        """Return the children from number `skip` on."""
        own = self.children or []
        return own[skip:] if self.base is None else self.base[skip : self.count] + own


Node = str | Element


def write(nodes: Iterable[Node]) -> str:
    """Return HTML that is not sanitised yet."""
    parts: list[str] = []
    _write(nodes, parts)
    return "".join(parts)


def _write(nodes: Iterable[Node], parts: list[str]) -> None:
    for node in nodes:
        if isinstance(node, str):
            parts.append(node)
            continue
        parts.append(node.head)
        if node.children is not None:
            _write(node.all() if node.base else node.children, parts)
            parts.append(f"</{node.tag}>")


def safe_html(nodes: Iterable[Node], parent: str = "div") -> str:
    """Return sanitised HTML for inside of a `parent`; what is finished is taken as it was kept."""
    parts: list[str] = []
    fresh: list[Node] = []
    for node in nodes:
        kept = None if isinstance(node, str) else node.html or _around(node)
        if kept is None:
            fresh.append(node)
            continue
        if fresh:
            parts.append(clean(write(fresh), parent))
            fresh.clear()
        parts.append(kept)
    if fresh:
        parts.append(clean(write(fresh), parent))
    return "".join(parts)


def _around(node: Element) -> str | None:
    """Return the HTML of an element with finished children somewhere inside, or None for another."""
    inside, close = node, f"</{node.tag}>"
    while inside.base is None:
        if not inside.children or isinstance(inside.children[-1], str):
            return None
        inside = inside.children[-1]
        if inside.children is None:
            return None
        close = f"</{inside.tag}>{close}"
    children, base = inside.children, inside.base
    try:
        # The shell is cleaned without what it holds: that is kept clean.
        inside.children, inside.base = [], None
        shell = clean(write([node]))
    finally:
        inside.children, inside.base = children, base
    return f"{shell.removesuffix(close)}{safe_html(inside.all(), inside.tag)}{close}"


def patch(old: Element, new: Element) -> list[Op]:
    """Return what turns the body `old` into the body `new`."""
    ops: list[Op] = []
    if not _patch(old, new, "", ops):
        return [Op("", "innerHTML", safe_html(new.all()))]
    return ops


def patch_again(old: Element, new: Element) -> list[Op]:
    """Return what turns the body `old` into the body `new`, and `new` into itself: whole blocks, or all."""
    ops = patch(old, new)
    if all(op.swap == "outerHTML" and op.html for op in ops):
        return ops
    blocks = new.all()
    if len(blocks) != len(old.all()) or not all(op.selector for op in ops):
        return [Op("", "innerHTML", safe_html(blocks))]
    places = {found[0]: int(found[1] or 1) for op in ops if (found := _BLOCK.match(op.selector))}
    return [Op(block, "outerHTML", safe_html([blocks[-place]])) for block, place in places.items()]


def _patch(old: Element, new: Element, selector: str, ops: list[Op]) -> bool:
    """Add what turns `old` into `new`, or say that it must be replaced as a whole."""
    if old is new:
        return True
    if old.head != new.head or old.children is None or new.children is None:
        return False
    skip = 0
    if old.base is new.base:
        skip = min(old.count, new.count)
    elif max(old.count, new.count) > _COMPARED:
        return False
    before, after = old.all(skip), new.all(skip)
    same = _common(before, after)
    before, after = before[same:], after[same:]
    if not before:
        _append(new, after, selector, ops)
        return True
    if len(before) == 1 and isinstance(before[0], str):
        text = after[0] if after else None
        if not isinstance(text, str) or not text.startswith(before[0]):
            return False
        _append(new, [text[len(before[0]) :], *after[1:]], selector, ops)
        return True
    elements = [node for node in before if isinstance(node, Element)]
    if len(elements) != len(before) or len(before) > _REPLACED:
        return False
    if len(after) > len(before) and isinstance(after[len(before)], str) and len(before) > 1:
        return False
    for index, element in enumerate(elements):
        place = len(before) - index
        child = f"{selector} > :last-child" if place == 1 else f"{selector} > :nth-last-child({place})"
        partner = after[index] if index < len(after) else ""
        inner: list[Op] = []
        if isinstance(partner, Element) and _patch(element, partner, child.strip(), inner):
            ops += inner
        else:
            ops.append(Op(child.strip(), "outerHTML", safe_html([partner] if partner else [], new.tag)))
    _append(new, after[len(before) :], selector, ops)
    return True


def _append(parent: Element, nodes: Sequence[Node], selector: str, ops: list[Op]) -> None:
    if nodes:
        ops.append(Op(selector, "beforeend", safe_html(nodes, parent.tag)))


def _common(old: Sequence[Node], new: Sequence[Node]) -> int:
    count = 0
    for before, after in zip(old, new, strict=False):
        if not _equal(before, after):
            break
        count += 1
    return count


def _equal(old: Node, new: Node) -> bool:
    if old is new:
        return True
    if isinstance(old, str) or isinstance(new, str):
        return isinstance(old, str) and isinstance(new, str) and old == new
    if old.head != new.head or old.children is None or new.children is None:
        return old.head == new.head and old.children is new.children
    if old.base is not new.base and (old.base is not None or new.base is not None):
        mine, theirs = old.all(), new.all()
    elif old.count != new.count:
        return False
    else:
        mine, theirs = old.children, new.children
    return len(mine) == len(theirs) and all(map(_equal, mine, theirs))
