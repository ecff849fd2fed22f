"""Make unfinished markdown look right: close what is open at the end of a text that still grows.

Only for what is shown for a moment; nothing that is finished comes through here.
"""

import re

__all__ = ("mend",)

#: A last line that may still become anything: marks without words, or the line that opens or closes a fence.
_UNDECIDED = re.compile(
    r"[ \t>]*(?:(?:[-+*]|\d{1,9}[.)])[ \t]+)*"
    r"(?:[-+*_=#>~ \t]*|`{1,2}|[`~]{3,}[^`\n]*|\d{1,9}[.)]?|\||\[[ xX]?\]?)\Z"
)
#: Where the text of a block begins: after a blank line, or with a block's mark.
_LEAF = re.compile(r"[ \t>]*(?:(?:[-+*]|\d{1,9}[.)])[ \t]|#{1,6}[ \t]|\||\[\^[^\]]+\]:)")
_FENCE = re.compile(r"^[ \t>]*(?:(?:[-+*]|\d{1,9}[.)])[ \t]+)*(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
_DELIMITERS = re.compile(r"[ \t]*\|?[ \t]*:?-*:?[ \t|:-]*\Z")
_ADDRESS = re.compile(r"<(?:https?://|mailto:)[^\s<>]+")
_TOKEN = re.compile(
    r"\\[(\[]|\\.|`+|\$\$|\*+|_+|~~|<[A-Za-z][\w+.-]*:[^\s<>]*>|\]\([^()\s]*\)|\\\Z"
    rf"|{_ADDRESS.pattern}\Z"
    r"|<[htps]{0,5}(?::/{0,2})?\Z|<m[ailto]{0,5}:?\Z",
    re.DOTALL,
)
_HALF_LINK = re.compile(r"\]\([^()\n]*\Z")
_PIPE = re.compile(r"(?<!\\)\|")
_CLOSING = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}
#: Nobody sees whether something is closed over a longer way.
_REACH = 4_000
_COLUMNS = 64


def mend(source: str, *, rows: bool = False) -> str:
    """Return `source` with its unfinished end completed or held back; `rows`: it goes on in a table."""
    start = source.rfind("\n") + 1
    last = source[start:]
    if _UNDECIDED.match(last):
        source, last = source[:start], ""
    if _in_fence(source):
        return source
    begin = _leaf(source)
    leaf = source[begin:]
    if not leaf.strip():
        return source
    heading = not rows or f"\n{source[:begin]}".endswith("\n\n")
    table = _table(leaf, last) if heading else None
    if table is not None:
        return source[:begin] + table
    if not last or len(leaf) > _REACH:
        return source
    return source[:begin] + _inline(leaf)


def _in_fence(source: str) -> bool:
    """Tell whether the end of the source is inside of a fence."""
    if "```" not in source and "~~~" not in source:
        return False
    opened = ""
    for found in _FENCE.finditer(source):
        mark, info = found[1], found[2]
        if not opened:
            opened = mark
        elif mark[0] == opened[0] and len(mark) >= len(opened) and not info.strip():
            opened = ""
    return bool(opened)


def _leaf(source: str) -> int:
    """Return where the paragraph, heading, item's text or table at the end begins."""
    position = source.rfind("\n") + 1
    floor = max(0, len(source) - _REACH)
    while position > floor and not _LEAF.match(source, position):
        before = source.rfind("\n", 0, position - 1) + 1
        if not source[before : position - 1].strip(" \t>"):
            break
        position = before
    while position > floor and source.startswith("|", position):
        before = source.rfind("\n", 0, position - 1) + 1
        if not source.startswith("|", before):
            break
        position = before
    return position


def _table(leaf: str, last: str) -> str | None:
    """Return the table that a heading row, alone or with a part of the line below it, will become."""
    head, _, below = leaf.partition("\n")
    if not head.startswith("|") or "\n" in below or (below and not _DELIMITERS.match(below)):
        return None
    columns = len(_PIPE.findall(head.strip()[1:].removesuffix("|"))) + 1
    if columns > _COLUMNS:
        return None
    if not below and last:
        head = _inline(head)
    given = [cell.strip() for cell in _PIPE.split(below.strip().strip("|"))][:columns]
    cells = [cell if re.fullmatch(r":?-+:?", cell) else "-" for cell in given]
    return f"{head}\n|{'|'.join(cells + ['-'] * (columns - len(cells)))}|\n"


def _inline(leaf: str) -> str:
    """Close emphasis, code, math and links that are open at the end of a block's text."""
    half = _HALF_LINK.search(leaf)
    if half and "[" in leaf[: half.start()]:
        leaf = f"{leaf[: half.start()]}](#)"
    stack: list[str] = []
    position = 0
    while found := _TOKEN.search(leaf, position):
        mark, start = found[0], found.start()
        position = found.end()
        if mark == "\\":
            leaf = leaf[:start]
        elif mark[0] == "<" and mark[-1] != ">":
            # Half an address is a link already, less than that is nothing yet.
            leaf = f"{leaf}>" if _ADDRESS.match(mark) else leaf[:start]
            break
        elif mark[0] == "`":
            close = re.compile(rf"(?<!`)`{{{len(mark)}}}(?!`)").search(leaf, position)
            if close is None:
                return _close(
                    leaf[:start] if position == len(leaf) else leaf + mark, stack, position == len(leaf)
                )
            position = close.end()
        elif mark in _CLOSING:
            end = leaf.find(_CLOSING[mark], position)
            if end < 0:
                if not leaf[position:].strip():
                    return _close(leaf[:start], stack, True)
                return leaf.rstrip("\\$") + _CLOSING[mark]
            position = end + 2
        elif mark[0] in "*_~":
            before, after = leaf[start - 1 : start], leaf[position : position + 1]
            if not after:
                return _close(_without_run(leaf, start, mark, stack), stack, True)
            _run(mark, before, after, stack)
    return _close(leaf, stack, True)


def _without_run(leaf: str, start: int, token: str, stack: list[str]) -> str:
    """Take a run of marks off the end: it closes what is open, and `_close` does that, or nothing yet."""
    before = leaf[start - 1 : start]
    if before and not before.isspace():
        for mark in reversed(stack.copy()):
            if token == mark and stack and stack[-1] == mark:
                stack.pop()
                return leaf
    return leaf[:start]


def _run(token: str, before: str, after: str, stack: list[str]) -> None:
    opens = not after.isspace()
    closes = bool(before) and not before.isspace()
    if token[0] == "_":
        opens, closes = opens and not before.isalnum(), closes and not after.isalnum()
    rest = token
    while closes and rest and stack and stack[-1][0] == rest[0] and len(stack[-1]) <= len(rest):
        rest = rest[len(stack.pop()) :]
    if opens and rest:
        stack += {1: [rest], 2: [rest], 3: [rest[:2], rest[:1]]}.get(len(rest), [])


def _close(leaf: str, stack: list[str], tidy: bool) -> str:
    if not stack:
        return leaf
    return (leaf.rstrip() if tidy else leaf) + "".join(reversed(stack))
