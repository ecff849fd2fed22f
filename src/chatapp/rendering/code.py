"""The frame around a block of code: its language, whether its lines wrap, the Copy button, and the code."""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from chatapp.rendering.highlight import highlight
from chatapp.rendering.step import Step
from chatapp.rendering.text import render_text as escape
from chatapp.rendering.tree import Element

__all__ = ("Code", "code_frame", "colour", "language_of")

_LANGUAGE = re.compile(r"[\w+#.-]{1,32}")


class Code(Struct, frozen=True):
    """A complete block of code whose `element` is still plain."""

    element: Element
    language: str
    text: str


def language_of(info: str) -> str:
    """Return the first word of a fence's line, when it can be a language's name."""
    found = _LANGUAGE.match(info.strip())
    return found[0] if found else ""


def code_frame(info: str, code: Element, *, complete: bool) -> Element:
    """Return the frame of some code; what is not there in full cannot be copied yet."""
    label = Element("span", '<span class="language">', [escape(language_of(info))])
    state = "" if complete else " disabled"
    button = Element("button", f'<button type="button" data-copy{state}>', ["Copy"])
    wrap = Element("label", "<label>", [Element("input", '<input type="checkbox">', None), "Wrap"])
    head = Element("div", '<div class="code-head">', [label, wrap, button])
    return Element("div", '<div class="code">', [head, Element("pre", '<pre tabindex="0">', [code])])


def colour(codes: Iterable[Code]) -> Iterator[Step]:
    """Colour blocks of code, once it is known that they stay as they are: it takes longer than the parser."""
    for code in codes:
        if nodes := (yield from highlight(code.text, code.language)):
            code.element.children = tuple(nodes)
