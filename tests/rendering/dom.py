"""A page's body as a browser would have it: parsed by the HTML standard, changed as htmx changes it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import html5lib

from chatapp.rendering.clean import ATTRIBUTES, CLASSES, SCHEMES, TAGS, VALUES
from chatapp.rendering.parts import Op

__all__ = ("Body", "canonical", "check")

_STEP = re.compile(r"> (?:(?P<tag>[a-z]+)|:last-child|:nth-last-child\((?P<place>\d+)\))\s*")


def fragment(html: str, inside: str = "div") -> Any:
    return html5lib.parseFragment(html, container=inside, treebuilder="dom", namespaceHTMLElements=False)


class Body:
    """What a viewer has."""

    def __init__(self, html: str = "") -> None:
        self.root = fragment(html)

    def apply(self, ops: Iterable[Op]) -> None:
        # htmx finds all targets of a message before it swaps the first.
        found = [(op, self.find(op)) for op in ops]
        for op, target in found:
            assert connected(target, self.root), "an operation took the target of another"
            new = template(op.html)
            if op.swap == "innerHTML":
                while target.firstChild:
                    target.removeChild(target.firstChild)
            if op.swap in ("innerHTML", "beforeend"):
                for node in list(new.childNodes):
                    target.appendChild(node)
            elif op.swap == "outerHTML":
                assert target is not self.root
                for node in list(new.childNodes):
                    target.parentNode.insertBefore(node, target)
                target.parentNode.removeChild(target)
            else:
                raise AssertionError(op.swap)

    def find(self, op: Op) -> Any:
        node, position = self.root if op.part is None else self.root.childNodes[op.part], 0
        while step := _STEP.match(op.selector, position):
            elements = [child for child in node.childNodes if child.nodeType == child.ELEMENT_NODE]
            if step["tag"]:
                [node] = [child for child in elements if child.tagName == step["tag"]]
            else:
                node = elements[-int(step["place"] or 1)]
            position = step.end()
        assert position == len(op.selector), op.selector
        return node

    @property
    def html(self) -> str:
        return write(self.root)


def template(html: str) -> Any:
    """A `<template>`, as htmx reads the parts of a message: rows may stand alone."""
    first = re.match(r"\s*<(tr|td|th|li|thead|tbody)\b", html)
    return fragment(html, {"tr": "tbody", "td": "tr", "th": "tr"}.get(first[1] if first else "", "div"))


def connected(node: Any, root: Any) -> bool:
    while node is not None and node is not root:
        node = node.parentNode
    return node is root


def write(root: Any) -> str:
    parts: list[str] = []
    for node in root.childNodes:
        if node.nodeType == node.TEXT_NODE:
            parts.append(node.data.replace("&", "&amp;").replace("<", "&lt;"))
        else:
            names = sorted(node.attributes.items())
            attributes = "".join(f' {name}="{value}"' for name, value in names)
            parts.append(f"<{node.tagName}{attributes}>{write(node)}</{node.tagName}>")
    return "".join(parts)


def canonical(html: str) -> str:
    return write(fragment(html))


def check(html: str, name: str = "") -> None:
    """Raise unless there is nothing in the HTML but what is allowed, as a strict reader sees it.

    `name`: the HTML is a body, and each of its parts has this and its number for an id.
    """
    # htmx rewrites these wherever they stand, in an attribute, too.
    assert not re.search(r"</?(?:hx-|head\b|title\b)", html, re.IGNORECASE), html
    root = fragment(html)
    for number, part in enumerate(root.childNodes if name else ()):
        assert (part.tagName, dict(part.attributes.items())) == ("div", {"id": f"{name}-{number}"}), html
        part.removeAttribute("id")
    for node in elements(root):
        assert node.tagName in TAGS, html
        for name, value in node.attributes.items():
            assert "<" not in value, html
            if name == "class":
                assert set(value.split()) <= CLASSES[node.tagName], html
            elif name == "rel":
                assert (node.tagName, value) == ("a", "noopener noreferrer nofollow"), html
            elif name == "href":
                assert node.tagName == "a"
                assert value.partition(":")[0].lower() in SCHEMES, html
            elif name in ATTRIBUTES.get(node.tagName, ()):
                assert value == "" or value.isdecimal(), html
            else:
                assert value in VALUES[node.tagName][name], html


def elements(root: Any) -> Iterator[Any]:
    for node in root.childNodes:
        if node.nodeType == node.ELEMENT_NODE:
            yield node
            yield from elements(node)
        else:
            assert node.nodeType == node.TEXT_NODE
