"""The entries that one generation has put into its log, and the text they make. Pure: no I/O.

They stay in memory until the answer's end, and most hold a word: so the text is kept once, and an entry of it
costs four bytes more.
"""

from array import array

from chatapp.models import EntryType

__all__ = ("Entries", "pieces")

#: Bytes of one entry: Redis must not be held up by a single answer.
_LIMIT = 64 << 10


class Entries:
    """Entries in order, numbered from 0; an entry never changes once it was added."""

    def __init__(self, text: str) -> None:
        """`text`: the answer's text in the log before the first of these entries."""
        self._before = text.encode()
        self._text = bytearray()
        #: For each entry, the length of `_text` in bytes after it (4 GiB are far away).
        self._ends = array("I")
        #: By entry number: those that hold no text, and the places in the provider's stream.
        self._others: dict[int, tuple[EntryType, bytes]] = {}
        self._places: dict[int, str] = {}
        #: Where in `_text` the answer begins.
        self._floor = 0

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def ended(self) -> bool:
        """Whether the last of them is the end."""
        return self._others.get(len(self) - 1, (None,))[0] is EntryType.END

    def add(self, kind: EntryType, data: bytes, place: str | None = None) -> None:
        """Add an entry; one without a place leaves the latest place as it is."""
        number = len(self._ends)
        if kind is EntryType.DELTA:
            self._text += data
        else:
            self._others[number] = kind, data
        if kind is EntryType.RESET:
            self._before, self._floor = b"", len(self._text)
        if place is not None:
            self._places[number] = place
        self._ends.append(len(self._text))

    def add_text(self, data: bytes, place: str | None) -> None:
        """Add text, in several entries where it is much."""
        *first, last = pieces(data)
        # Inside a delta there is no place to go on from: the one before stays, with more text behind it.
        for piece in first:
            self.add(EntryType.DELTA, piece)
        self.add(EntryType.DELTA, last, place)

    def entry(self, number: int) -> tuple[EntryType, bytes, str]:
        """Return an entry: its type, its data, and the place in the provider's stream after it ("": none)."""
        if number in self._others:
            kind, data = self._others[number]
        else:
            kind = EntryType.DELTA
            data = bytes(self._text[self._ends[number - 1] if number else 0 : self._ends[number]])
        return kind, data, self._places.get(number, "")

    def text(self) -> bytes:
        """Return the answer's text as these entries leave it."""
        return self._before + self._text[self._floor :]


def pieces(data: bytes) -> list[bytes]:
    """Cut a large text into entries, between characters."""
    found = []
    while len(data) > _LIMIT:
        cut = _LIMIT
        while data[cut] & 0xC0 == 0x80:
            cut -= 1
        found.append(data[:cut])
        data = data[cut:]
    return [*found, data]
