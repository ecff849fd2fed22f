"""Find what a piece of text holds beside plain characters: math, bare addresses, footnote marks."""

import re
from collections.abc import Container, Iterator
from urllib.parse import quote

from chatapp.rendering.protect import HIDDEN, Protected
from chatapp.rendering.text import render_text as escape
from chatapp.rendering.tree import Element, Node

__all__ = ("SIGNS", "Inline", "address", "link", "paragraph")

_SPECIAL = re.compile(
    rf"(?P<hidden>{HIDDEN.pattern})|\[\^(?P<note>[^\]\s<\ue000-\ue002]{{1,99}})\]"
    r"|(?P<url>(?<![\w@/])(?:https?://|www\.)[^\s<\ue000-\ue002]{2,2000})",
    re.IGNORECASE,
)
#: Text without one of these has nothing beside its characters.
SIGNS = re.compile(r"[\ue000\ue002]|\[\^|://|ww|WW")
_ADDRESS = re.compile(r"(?:https?://(?=[^/\\])|mailto:)", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0<>\"\\^`{|}]")
_DISPLAY = '<div class="math">'


def address(url: str) -> str | None:
    """Return a link's address, or None when the page must not link there."""
    url = url.strip()
    if not _ADDRESS.match(url):
        return None
    # Not one `<` stays: see clean.py.
    return _UNSAFE.sub(lambda found: quote(found[0]), url)


def link(url: str, nodes: list[Node]) -> Element:
    """Return a link, without an address when that is not allowed."""
    href = address(url)
    return Element("a", f'<a href="{escape(href)}" target="_blank">' if href else "<a>", nodes)


def paragraph(nodes: list[Node]) -> Element:
    """Return a paragraph; a formula that has one for itself is a block."""
    match nodes:
        case [Element(tag="span", children=[str(tex)], head=head)] if "math" in head and tex.startswith(
            ("$$", "\\[")
        ):
            return Element("div", _DISPLAY, [tex])
    return Element("p", "<p>", nodes)


class Inline:
    """Turns text that the parser found into nodes."""

    def __init__(self, hidden: Protected, notes: Container[str]) -> None:
        self._hidden = hidden
        self._notes = notes

    def nodes(self, text: str, *, linked: bool) -> Iterator[Node]:
        """Yield the nodes of a text, which is inside of a link or not."""
        text = text.replace("\ue002", "<")
        if not SIGNS.search(text):
            # The search below takes some milliseconds for a very long text.
            yield escape(text)
            return
        done = 0
        for found in _SPECIAL.finditer(text):
            node, end = self._node(found, linked)
            if node is None:
                continue
            if found.start() > done:
                yield escape(text[done : found.start()])
            yield node
            done = end
        if done < len(text):
            yield escape(text[done:])

    def _node(self, found: "re.Match[str]", linked: bool) -> tuple[Node | None, int]:
        end = found.end()
        if found["hidden"]:
            source = self._hidden.restore(found[0])
            return Element("span", '<span class="math">', [escape(source)]), end
        if linked:
            return None, end
        if label := found["note"]:
            if not (label.isdecimal() or " ".join(label.split()).casefold() in self._notes):
                return None, end
            return Element("sup", '<sup class="footnote-ref">', [escape(label)]), end
        shown = _trim(found["url"])
        url = shown if "://" in shown else f"http://{shown}"
        if address(url) is None or ("." not in shown and "://" not in shown):
            return None, end
        return link(url, [escape(shown)]), found.start() + len(shown)


def _trim(url: str) -> str:
    """Leave out what ends the sentence and not the address."""
    while url:
        if url[-1] in "?!.,:;*_~'\"]" or (url[-1] == ")" and url.count(")") > url.count("(")):
            url = url[:-1]
        else:
            break
    return url
