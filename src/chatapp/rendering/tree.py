"""A small tree of HTML, and the operations that turn one state of it into the next.

A text node is a string, escaped already. What is finished is shared between states: an element shows the
first `count` of its `base`, a list that only grows, and then its own children. So comparing two states
costs what changed, not what there is.

htmx finds the targets of all parts of a message before it swaps the first one. Every selector here is
therefore true of the old state, and no operation takes away the target of another.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from chatapp.rendering.clean import clean, clean_tags

__all__ = ("Change", "Element", "Node", "changes", "safe_html")

#: Longest list of finished children that is compared one by one after its base has changed.
_COMPARED = 64
#: Most elements replaced one by one.
_REPLACED = 8
#: Characters that an operation has beside its HTML, about.
_FRAME = 90
#: Elements that never have a sibling of the same kind.
_SINGLE = frozenset({"pre", "table", "tbody", "thead"})


class Change(Struct, frozen=True):
    """Put `html` at `selector`, a path below the element that changes ("" is itself), by htmx's `swap`.

    `repeatable` as an outerHTML: it puts one element in the place of one.
    """

    selector: str
    swap: str
    html: str
    repeatable: bool = True


class Element(Struct, eq=False, gc=False):
    """An element whose opening tag is `head`; a void one has no children (None).

    It shows the first `count` of `base` (-1: all), then its own `children`. The garbage collector does not
    look at it, nor at a tuple of such: answers are made of many thousands, and a tree has no cycles.
    """

    tag: str
    head: str
    children: "Sequence[Node] | None"
    base: "list[Node] | None" = None
    count: int = -1
    #: Its sanitised HTML, kept once it is finished.
    html: str | None = None

    def __post_init__(self) -> None:
        if self.children is not None:
            self.children = tuple(self.children)
        if self.count < 0:
            self.count = len(self.base) if self.base is not None else 0

    def all(self, skip: int = 0) -> "list[Node]":
        """Return the children from number `skip` on."""
        own = self.children or ()
        return list(own[skip:]) if self.base is None else [*self.base[skip : self.count], *own]

    def slim(self) -> None:
        """Keep nothing but the HTML, when it is of no more use to compare the children."""
        if self.html is not None and self.children is not None:
            self.children, self.base, self.count = (), None, 0

    @property
    def slimmed(self) -> bool:
        """Whether only the HTML is left, or there is nothing else."""
        return self.html is not None and not self.children and self.base is None


Node = str | Element


def safe_html(nodes: Iterable[Node]) -> str:
    """Return sanitised HTML; what is finished is taken as it was kept.

    Each tag and each text passes the allow-list by itself: the cleaner's own parser takes longer than all the
    rest, and the tree has no element where that would move it elsewhere.
    """
    parts: list[str] = []
    _write(nodes, parts)
    return "".join(parts)


def _write(nodes: Iterable[Node], parts: list[str]) -> None:
    texts: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            texts.append(node)
            continue
        if texts:
            parts.append(clean("".join(texts)))
            texts.clear()
        if node.html is not None:
            parts.append(node.html)
            continue
        opening, closing = clean_tags(node.tag, node.head, void=node.children is None)
        parts.append(opening)
        if node.children is not None:
            _write(node.all() if node.base else node.children, parts)
            parts.append(closing)
    if texts:
        parts.append(clean("".join(texts)))


def changes(old: Element, new: Element) -> list[Change] | None:
    """Return what turns `old` into `new`; None when the whole must be replaced."""
    found: list[Change] = []
    return found if _patch(old, new, "", found) else None


def _patch(old: Element, new: Element, selector: str, ops: list[Change]) -> bool:
    """Add what turns `old` into `new`, or say that it must be replaced as a whole."""
    if old is new or (old.html is not None and old.html == new.html):
        return True
    if old.head != new.head or old.children is None or new.children is None or old.slimmed or new.slimmed:
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
        _append(after, selector, ops)
        return True
    if len(before) == 1 and isinstance(before[0], str):
        text = after[0] if after else None
        if not isinstance(text, str) or not text.startswith(before[0]):
            return False
        _append([text[len(before[0]) :], *after[1:]], selector, ops)
        return True
    elements = [node for node in before if isinstance(node, Element)]
    if len(elements) != len(before) or len(before) > _REPLACED:
        return False
    if len(after) > len(before) and isinstance(after[len(before)], str) and len(before) > 1:
        return False
    mine: list[Change] = []
    for index, element in enumerate(elements):
        child = _child(selector, element, len(before) - index)
        partner = after[index] if index < len(after) else ""
        inner: list[Change] = []
        if isinstance(partner, Element) and _patch(element, partner, child, inner):
            mine += inner
        else:
            html = safe_html([partner] if partner else [])
            mine.append(Change(child, "outerHTML", html, repeatable=isinstance(partner, Element)))
    _append(after[len(before) :], selector, mine)
    if len(before) == 1 and len(mine) > 1:
        # One operation for several, when that is shorter.
        html = safe_html(after)
        whole = Change(_child(selector, elements[0], 1), "outerHTML", html, repeatable=len(after) == 1)
        if _cost([whole]) < _cost(mine):
            mine = [whole]
    ops += mine
    return True


def _cost(ops: Sequence[Change]) -> int:
    return sum(_FRAME + len(op.selector) + len(op.html) for op in ops)


def _child(selector: str, element: Element, place: int) -> str:
    """Return the path of a child, number `place` from the end."""
    if element.tag in _SINGLE or (element.tag == "code" and selector.endswith("pre")):
        step = element.tag
    else:
        step = ":last-child" if place == 1 else f":nth-last-child({place})"
    return f"{selector} > {step}".strip()


def _append(nodes: Sequence[Node], selector: str, ops: list[Change]) -> None:
    if nodes:
        ops.append(Change(selector, "beforeend", safe_html(nodes)))


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
    if (old.html is not None and new.html is not None) or old.slimmed or new.slimmed:
        return old.html == new.html
    if old.head != new.head or old.children is None or new.children is None:
        return old.head == new.head and old.children is new.children
    if old.base is not new.base and (old.base is not None or new.base is not None):
        skip = 0
    elif old.count != new.count:
        return False
    else:
        skip = old.count
    mine, theirs = old.all(skip), new.all(skip)
    return len(mine) == len(theirs) and all(map(_equal, mine, theirs))
