"""Prepare a text for the parser: lines end with LF, and code points that are no characters are replaced."""

import re
from bisect import bisect_left

__all__ = ("Source",)

#: NUL, surrogates, and the private characters that `protect` uses as marks.
_STRANGE = re.compile("[\0\ud800-\udfff\ue000-\ue002]")


class Source:
    """A text that grows, and where its positions are after CR LF became one character."""

    def __init__(self) -> None:
        self.text = ""
        self._raw = 0
        #: Positions of each CR that was left out.
        self._left_out: list[int] = []
        self._bare: set[int] = set()

    def extend(self, raw: str, *, final: bool) -> None:
        """Take in the text so far. A CR at its end waits for what follows."""
        end = len(raw) - (raw.endswith("\r") and not final)
        new = raw[self._raw : end]
        if "\r" in new:
            self._left_out += (self._raw + found.start() for found in re.finditer("\r\n", new))
            self._bare |= {self._raw + found.start() for found in re.finditer("\r(?!\n)", new)}
            new = new.replace("\r\n", "\n").replace("\r", "\n")
        if _STRANGE.search(new):
            new = _STRANGE.sub("\N{REPLACEMENT CHARACTER}", new)
        self.text += new
        self._raw = max(self._raw, end)

    def position(self, raw: int) -> int:
        """Return where a position of the raw text is."""
        left_out = bisect_left(self._left_out, raw)
        return min(raw - left_out - (raw - 1 in self._bare), len(self.text))
