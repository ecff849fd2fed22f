"""The reasoning of one answer as its log tells it, beside the text: no part of the answer.

An entry says how long the model has reasoned so far, in milliseconds, and what it reasoned since the entry
before: `1250 so the second one`. Pure: no I/O.
"""

from array import array
from bisect import bisect_right
from time import monotonic

from chatapp.answers.entries import pieces
from chatapp.models import Reasoning

__all__ = ("Thinking", "Thoughts", "entry")


def entry(milliseconds: int, piece: str) -> bytes:
    """Write the data of an entry, or of a saved message's field."""
    return f"{milliseconds} {piece}".encode()


class Thinking:
    """The reasoning that a worker puts into a log, how long it took so far, and what has gathered of it."""

    __slots__ = ("_milliseconds", "_since", "_told", "gathered")

    def __init__(self, before: Reasoning | None) -> None:
        """`before`: what an earlier worker put in."""
        self._told = [before.text] if before else []
        self._milliseconds = int(before.seconds * 1000) if before else 0
        #: When it began, as far as we know (monotonic seconds).
        self._since: float | None = None
        self.gathered: list[str] = []

    def add(self, piece: str) -> None:
        """Put the next piece in."""
        if self._since is None:
            self._since = monotonic() - self._milliseconds / 1000
        self._milliseconds = int((monotonic() - self._since) * 1000)
        self.gathered.append(piece)

    def take(self) -> list[bytes]:
        """Turn what has gathered into the data of entries."""
        thought = "".join(self.gathered)
        self.gathered.clear()
        self._told.append(thought)
        return [entry(self._milliseconds, piece.decode()) for piece in pieces(thought.encode())]

    def whole(self) -> bytes:
        """Return the data of a saved message's field; nothing where nothing was thought."""
        return entry(self._milliseconds, "".join(self._told)) if self._told else b""

    def forget(self) -> None:
        """Forget what was put in: the answer begins anew."""
        self._told, self._milliseconds, self._since = [], 0, None


class Thoughts:
    """The reasoning so far, and where in the log each piece of it came. Positions are those of the answer."""

    def __init__(self) -> None:
        self._text = bytearray()
        #: The entry number of each piece, the length of the text in bytes after it, and the time.
        self._numbers = array("I")
        self._ends = array("I")
        self._times = array("Q")

    def add(self, number: int, data: bytes) -> None:
        """Take in an entry."""
        milliseconds, _, piece = data.partition(b" ")
        self._text += piece
        self._numbers.append(number)
        self._ends.append(len(self._text))
        self._times.append(int(milliseconds))

    def clear(self) -> None:
        """Forget everything: the answer begins anew."""
        self._text.clear()
        for numbers in (self._numbers, self._ends, self._times):
            del numbers[:]

    def before(self, position: int) -> Reasoning | None:
        """Return what the first `position` entries hold; None where that is nothing."""
        count = bisect_right(self._numbers, position - 1)
        if not count:
            return None
        text = self._text[: self._ends[count - 1]].decode(errors="replace")
        return Reasoning(text, self._times[count - 1] / 1000)

    def limit(self, position: int, top: int, size: int) -> int:
        """Return a position up to `top`, with at most `size` bytes in between as far as entries allow."""
        if not self._numbers:
            return top
        count = bisect_right(self._numbers, position - 1)
        start = self._ends[count - 1] if count else 0
        fits = bisect_right(self._ends, start + size, lo=count)
        return min(top, max(self._numbers[fits], position + 1)) if fits < len(self._ends) else top
