"""The body of an answer: its blocks in order, so many to a part.

A browser lays out and paints a part by itself, and finds a place below a part's id without a look at the
others: so what an event costs it does not grow with the answer.
"""

import re

import msgspec
from msgspec import Struct

from chatapp.rendering.tree import Change, Element, Node, changes, safe_html

__all__ = ("PART", "Body", "Op", "body_html", "patch", "patch_again")

#: Blocks of a part.
PART = 32

_BLOCK = re.compile(r"> :(?:last-child|nth-last-child\((\d+)\))")


class Op(Struct, frozen=True):
    """Put `html` at a place, in htmx's way `swap`.

    The place is `selector`, a path below part number `part` ("" is the part itself); without a part the body.
    `repeatable` as an outerHTML: it puts one element in the place of one.
    """

    part: int | None
    selector: str
    swap: str
    html: str
    repeatable: bool = True


class Body(Struct, frozen=True, eq=False, gc=False):
    """The first `count` parts of `full`, a list that only grows and that states share, and then `rest`."""

    full: list[Element]
    count: int
    rest: list[Element]

    def parts(self, skip: int = 0) -> list[Element]:
        """Return the parts from number `skip` on, which is `count` at most."""
        return [*self.full[skip : self.count], *self.rest]


def parts_of(nodes: list[Node], base: list[Node], count: int) -> list[Element]:
    """Return the parts of what follows the full ones: the first `count` nodes of `base`, and `nodes`."""
    parts: list[Element] = []
    if count:
        parts.append(Element("div", "", nodes[: PART - count], base, count))
        nodes = nodes[PART - count :]
    while nodes:
        parts.append(Element("div", "", nodes[:PART]))
        nodes = nodes[PART:]
    return parts


def body_html(body: Body, name: str) -> str:
    """Return the whole of a body whose parts are called `name` and a number."""
    return "".join(_part(part, name, number) for number, part in enumerate(body.parts()))


def patch(old: Body, new: Body, name: str) -> list[Op]:
    """Return what turns the body `old` into the body `new`."""
    # Parts that are full in both are the same.
    first = min(old.count, new.count) if old.full is new.full else 0
    before, after = old.parts(first), new.parts(first)
    ops: list[Op] = []
    for number, (mine, theirs) in enumerate(zip(before, after, strict=False), first):
        found = changes(mine, theirs)
        if found is None:
            found = [Change("", "innerHTML", safe_html(theirs.all()))]
        ops += (Op(number, *msgspec.structs.astuple(change)) for change in found)
    common = min(len(before), len(after))
    ops += (Op(first + number, "", "outerHTML", "") for number in range(common, len(before)))
    if added := after[common:]:
        html = "".join(_part(part, name, number) for number, part in enumerate(added, first + common))
        ops.append(Op(None, "", "beforeend", html))
    return ops


def patch_again(old: Body, new: Body, name: str) -> list[Op]:
    """Return what turns the body `old` into the body `new`, and `new` into itself: whole blocks, or more."""
    ops = patch(old, new, name)
    if all(op.swap == "outerHTML" and op.html and op.repeatable for op in ops):
        return ops
    if any(op.part is None or (op.swap == "outerHTML" and not op.selector) for op in ops):
        return [Op(None, "", "innerHTML", body_html(new, name))]
    before, after = old.parts(), new.parts()
    again: list[Op] = []
    for number in dict.fromkeys(op.part for op in ops if op.part is not None):
        blocks = after[number].all()
        mine = [op for op in ops if op.part == number]
        if len(blocks) != len(before[number].all()) or not all(op.selector for op in mine):
            again.append(Op(number, "", "innerHTML", safe_html(blocks)))
            continue
        places = {found[0]: int(found[1] or 1) for op in mine if (found := _BLOCK.match(op.selector))}
        again += (
            Op(number, block, "outerHTML", safe_html([blocks[-place]])) for block, place in places.items()
        )
    return again


def _part(part: Element, name: str, number: int) -> str:
    opening = f'<div id="{name}-{number}">' if name else "<div>"
    return f"{opening}{safe_html(part.all())}</div>"
