"""Colour code with Pygments' classes, in small steps, because a long file takes 0.1 s and more."""

from collections.abc import Generator

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from chatapp.rendering.clean import TOKEN_CLASSES
from chatapp.rendering.step import Step
from chatapp.rendering.text import render_text as escape
from chatapp.rendering.tree import Element, Node

__all__ = ("highlight",)

#: Longer code stays plain: 0.1 to 0.2 s of CPU.
_LIMIT = 32_000
#: A line longer than this is data or a minified program, on which regular expressions take their time.
_LINE_LIMIT = 2_000
_TOKENS_A_STEP = 100

_LEXERS: dict[str, Lexer | None] = {}


def highlight(code: str, language: str) -> Generator[Step, None, list[Node] | None]:
    """Yield between steps; return the coloured nodes, or None when the code stays plain."""
    if not language or len(code) > _LIMIT or max(map(len, code.split("\n"))) > _LINE_LIMIT:
        return None
    if language not in _LEXERS:
        # Looking a language up imports its module, which can take 20 ms.
        yield lambda: _load(language)
    lexer = _LEXERS.get(language)
    if lexer is None:
        return None
    nodes: list[Node] = []
    kind, text = "", ""
    for count, (token, value) in enumerate(lexer.get_tokens(code), 1):
        name = STANDARD_TYPES.get(token, "")
        name = name if name in TOKEN_CLASSES else ""
        if name == kind:
            text += value
        else:
            nodes += _span(kind, text)
            kind, text = name, value
        if count % _TOKENS_A_STEP == 0:
            yield None
    nodes += _span(kind, text)
    return nodes


def _span(kind: str, text: str) -> list[Node]:
    if not kind or not text:
        return [escape(text)] if text else []
    return [Element("span", f'<span class="{kind}">', [escape(text)])]


def _load(language: str) -> None:
    if len(_LEXERS) > 500:
        _LEXERS.clear()
    try:
        _LEXERS[language] = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        _LEXERS[language] = None
