"""Take out of a source what the parser would misread: math, and `<` that is no address.

Each becomes one or a few characters of Unicode's private use area, which mean nothing to the parser, and
comes back when the text is written. Positions shift; `Protected.position` shifts them back.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence

from chatapp.rendering.step import Step

__all__ = ("HIDDEN", "Protected", "protect")

#: Finds code, blocks and spans: where each begins and ends.
FindCode = Callable[[str], Generator[Step, None, Sequence[tuple[int, int]]]]

_FINDS_A_STEP = 200
_LESS = "\ue002"
#: What stands for something hidden: `<`, or a number between two marks.
HIDDEN = re.compile("\ue000(\\d+)\ue001|\ue002")

_INTERESTING = re.compile(r"[$<]|\\[(\[]")
_TOKEN = re.compile(
    r"(?P<open>\\[(\[])|(?P<escape>\\.)|(?P<dollars>\$+)"
    r"|(?P<address><[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]{0,2000}>|<[\w.+-]{1,64}@[\w.-]{1,255}>)"
    r"|(?P<pointed>(?<=\]\()<(?=[^<>\n]{0,2000}>)|(?<=\]: )<(?=[^<>\n]{0,2000}>))"
    r"|(?P<less><)",
    re.MULTILINE,
)
_BLANK = re.compile(r"\n[ \t]*\n")
_PREFIX = re.compile(r"[ \t>]*(?:(?:[-+*]|\d{1,9}[.)])[ \t]+)*\Z")


class Protected:
    """The source for the parser, and what it hides: formulas by number."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.text = source
        self.hidden: list[str] = []
        #: For each change of length: where it ends in the text, and in the source.
        self._ends: list[int] = []
        self._origins: list[int] = []

    def position(self, offset: int) -> int:
        """Return where in the source the text's `offset` lies."""
        index = bisect_right(self._ends, offset) - 1
        return offset if index < 0 else self._origins[index] + offset - self._ends[index]

    def restore(self, text: str) -> str:
        """Put back what is hidden in a piece of the text, as it was written."""
        return HIDDEN.sub(lambda found: self.hidden[int(found[1])] if found[1] else "<", text)

    def note(self, end: int, origin: int) -> None:
        """Remember that the text up to `end` is the source up to `origin`."""
        self._ends.append(end)
        self._origins.append(origin)


class _Scan:
    """Where things end, found once each: a source of openings alone costs no more than any other."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._next: dict[str, int] = {}

    def blank(self, start: int) -> int:
        """Return where the paragraph around `start` ends."""
        known = self._next.get("", -1)
        if known < start:
            found = _BLANK.search(self._source, start)
            known = self._next[""] = found.start() if found else len(self._source)
        return known

    def find(self, what: str, start: int) -> int:
        """Return where `what` is next, or -1 when not in this paragraph."""
        known = self._next.get(what, -1)
        if known < start:
            known = self._source.find(what, start)
            known = self._next[what] = len(self._source) if known < 0 else known
        return known if known < self.blank(start) else -1


def protect(source: str, find_code: FindCode, *, growing: bool) -> Generator[Step, None, Protected]:
    """Hide math and what looks like HTML outside of code; open math, too, while the source grows."""
    result = Protected(source)
    if not _INTERESTING.search(source):
        return result
    parts: list[str] = []
    done = length = 0
    code = yield from find_code(source.replace("<", _LESS))
    for found in _finds(source, code, growing):
        if found is None:
            yield None
            continue
        start, end = found
        if source[start:end] == "<":
            stand_in = _LESS
        else:
            stand_in = f"\ue000{len(result.hidden)}\ue001"
            result.hidden.append(source[start:end])
        parts += (source[done:start], stand_in)
        length += start - done + len(stand_in)
        done = end
        result.note(length, end)
    parts.append(source[done:])
    result.text = "".join(parts)
    return result


def _finds(source: str, code: Sequence[tuple[int, int]], growing: bool) -> Iterator[tuple[int, int] | None]:
    """Yield what is to be hidden: where it starts and ends; or nothing, between two steps."""
    scan, position, blocks = _Scan(source), 0, list(reversed(code))
    count = taken = 0
    while found := _TOKEN.search(source, position):
        count += 1
        if count % _FINDS_A_STEP == 0:
            yield None
        start, position = found.span()
        kind = found.lastgroup
        # What begins inside of a formula is no code.
        while blocks and (blocks[-1][1] <= start or blocks[-1][0] < taken):
            blocks.pop()
        if blocks and blocks[-1][0] <= start:
            position = blocks[-1][1]
        elif kind == "open":
            display = found[0] == "\\["
            end = _display_end(source, scan, start, "\\]" if display else "\\)", display, growing)
            if end:
                position = taken = end
                yield start, end
        elif kind == "dollars":
            if len(found[0]) == 2:
                end = _display_end(source, scan, start, "$$", True, growing)
            else:
                end = _dollars_end(source, scan, position) if len(found[0]) == 1 else 0
            if end:
                position = taken = end
                yield start, end
        elif kind == "less":
            yield start, position


def _display_end(source: str, scan: _Scan, start: int, closing: str, display: bool, growing: bool) -> int:
    """Return where the formula ends that opens at `start`, 0 when it is none."""
    position = start + 2
    line = source.rfind("\n", 0, start) + 1
    first = display and not _PREFIX.sub("", source[line:start])
    close = scan.find(closing, position)
    if close < 0:
        # Its lines must not become a list or a heading before its end has come.
        return len(source) if first and growing and scan.blank(position) == len(source) else 0
    formula = source[position:close]
    if not formula.strip():
        return 0
    if not first and ("\n" in formula or (closing == "$$" and formula != formula.strip())):
        # Prices in a table: | $$ | $$ |
        return 0
    return close + 2


def _dollars_end(source: str, scan: _Scan, start: int) -> int:
    """Return where the formula ends whose first character is at `start`, 0 when it is none."""
    # "$5 and $6" is no math: a formula has no space inside of its dollars, and no digit follows.
    if source[start : start + 1].isspace():
        return 0
    close = scan.find("$", start)
    while close > 0 and source[close - 1] == "\\":
        close = scan.find("$", close + 1)
    if close <= start or source[close - 1].isspace() or source[close + 1 : close + 2].isdigit():
        return 0
    # Nor does it have code in it: "it costs $5, with `$HOME`".
    return 0 if re.search("[\n`]", source[start:close]) else close + 1
