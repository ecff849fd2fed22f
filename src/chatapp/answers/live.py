"""The text of one answer as its log tells it, and what a reader at some position still misses.

Pure: no I/O. A position is a number of entries, because the sequence numbers of a log have no holes:
entry number `seq` is the `seq`-th. So every entry costs four bytes beside its text, and a cursor that
came from outside is found without searching.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from chatapp.answers.thoughts import Thoughts
from chatapp.models import Cursor, Entry, EntryType, Outcome, Reasoning, Status

__all__ = ("Hole", "LiveAnswer", "SavedAnswer", "Update")


#: Bytes of text in one update, as far as entries allow.
_UPDATE_LIMIT = 64 << 10
#: Updates that are kept for other readers at the same position: those of many positions are as much as the
#: text many times over.
_UPDATES_KEPT = 32


class Hole(Exception):
    """The entries do not follow on what is there: the log was trimmed, rolled back, or made anew."""


class Update(Struct, frozen=True):
    """Everything between a reader's position and now.

    `reset`: throw away what you have, `text` is the whole text so far; else `text` comes after it.
    `start` is the reader's position before (0 where its text does not count), `position` the one after,
    `cursor` the id of the last entry in between.
    """

    text: str
    reset: bool
    start: int
    cursor: Cursor
    position: int


class LiveAnswer:
    """The text so far, and the position of every entry in it."""

    def __init__(self) -> None:
        self._text = bytearray()
        #: `_ends[i]`: length of the text in bytes after entry number i.
        self._ends = array("I")
        #: The first entry number of each fence, and the fence.
        self._starts: list[int] = []
        self._fences: list[int] = []
        #: Entries before this one are not in the text any more.
        self._floor = 0
        self._thoughts = Thoughts()
        #: What `since` has returned after these entries: most readers ask from the same position.
        self._updates: dict[int | None, Update | None] = {}
        self.claimed = False
        self.outcome: Outcome | None = None
        #: Whether the log had lost its beginning when it was read, and with it some of the text.
        self.trimmed = False

    @property
    def position(self) -> int:
        """The number of entries read so far."""
        return len(self._ends)

    @property
    def top(self) -> Cursor | None:
        """The id of the last entry, or None before the first."""
        return self.cursor(len(self._ends)) if self._ends else None

    @property
    def text(self) -> str:
        return self._text.decode(errors="replace")

    @property
    def status(self) -> Status:
        if self.outcome is not None:
            return self.outcome.status
        return Status.RUNNING if self.claimed else Status.QUEUED

    @property
    def floor(self) -> int:
        """The first position whose text is still there; it rises when an answer is begun anew."""
        return self._floor

    def prefix(self, position: int) -> str:
        """Return the text of the first `position` entries."""
        return self._text[: self._ends[position - 1] if position else 0].decode(errors="replace")

    def reasoning(self, position: int | None = None) -> Reasoning | None:
        """Return what the model thought in the first `position` entries, or in all."""
        return self._thoughts.before(len(self._ends) if position is None else position)

    def cursor(self, position: int) -> Cursor:
        """Return the id of the last entry of the first `position` (at least one)."""
        seq = position - 1
        return Cursor(self._fences[bisect_right(self._starts, seq) - 1], seq)

    def follows(self, cursor: Cursor) -> bool:
        """Whether the entry `cursor` is the next one, by the same writer."""
        return bool(self._fences) and cursor.seq == len(self._ends) and cursor.fence == self._fences[-1]

    def extend(self, entry_id: bytes, data: bytes) -> bool:
        """Take in the text of an entry with the next id of the same fence; return False for any other id."""
        if not self._fences or entry_id != b"%d-%d" % (self._fences[-1], len(self._ends)):
            return False
        self.add(data)
        return True

    def add(self, data: bytes) -> None:
        """Take in the text of the next entry, by the same writer."""
        self._updates.clear()
        self._text += data
        self._ends.append(len(self._text))

    def apply(self, entries: Iterable[Entry]) -> None:
        """Take in the next entries of the log; raise Hole when they do not follow."""
        self._updates.clear()
        for cursor, kind, data, before in entries:
            if not self._ends and cursor.seq:
                self._begin_at(cursor.seq)
            elif before is not None and before != self.top:
                # Redis lost the entry that was read last, and another was written in its place.
                raise Hole
            if cursor.seq != len(self._ends) or (self._fences and cursor.fence < self._fences[-1]):
                raise Hole
            if not self._fences or cursor.fence > self._fences[-1]:
                self._starts.append(cursor.seq)
                self._fences.append(cursor.fence)
            if kind == EntryType.DELTA:
                self._text += data
            elif kind == EntryType.REASONING:
                self._thoughts.add(cursor.seq, data)
            elif kind == EntryType.CLAIM:
                self.claimed = True
            elif kind == EntryType.RESET:
                self._text.clear()
                self._thoughts.clear()
                self._floor = cursor.seq + 1
            elif kind == EntryType.END:
                self.outcome = msgspec.json.decode(data, type=Outcome)
            # Any other type comes from a newer version of this program, in the middle of a deploy.
            self._ends.append(len(self._text))

    def _begin_at(self, seq: int) -> None:
        self.trimmed = self.claimed = True
        self._ends.extend([0] * seq)
        self._floor = seq

    def locate(self, cursor: Cursor | None) -> int | None:
        """Return the position just after the entry `cursor`; None when this log does not have it."""
        if cursor is None or not (self._starts and self._starts[0] <= cursor.seq < len(self._ends)):
            return None
        position = cursor.seq + 1
        return position if self.cursor(position) == cursor else None

    def since(self, position: int | None) -> Update | None:
        """Return what a reader at `position` misses; None when it has everything.

        The end is told by `outcome`, not here: an update's cursor is the last entry before it.
        A position of None stands for a reader whose text is unknown or wrong.
        """
        update = self._updates.get(position)
        if update is None:
            if len(self._updates) >= _UPDATES_KEPT:
                self._updates.clear()
            update = self._updates[position] = self._since(position)
        return update

    def _since(self, position: int | None) -> Update | None:
        ends = self._ends
        # The end holds no text; its own event carries its id.
        top = len(ends) - (self.outcome is not None)
        if top <= 0 or (position is not None and position >= top):
            return None
        reset = position is None or 0 < position < self._floor
        start = ends[position - 1] if position and not reset else 0
        if not reset:
            if ends[top - 1] - start > _UPDATE_LIMIT:
                # A link that breaks again and again must get on a little each time: whole events count alone.
                top = (
                    bisect_right(ends, start + _UPDATE_LIMIT, lo=max(position or 0, self._floor), hi=top) or 1
                )
                top = max(top, (position or 0) + 1, self._floor + 1)
            top = self._thoughts.limit(max(position or 0, self._floor), top, _UPDATE_LIMIT)
        text = self._text[start : ends[top - 1]].decode("utf-8", "replace")
        return Update(text, reset, 0 if reset else position or 0, self.cursor(top), top)


class SavedAnswer:
    """An ended answer read from its saved message, because nobody needs its log, or it has expired.

    The text has no positions inside: a reader has nothing of it (0), all (1), or an unknown part (None);
    at position 2 it has the end too.
    """

    def __init__(
        self,
        text: str,
        outcome: Outcome,
        last: tuple[Cursor, Cursor] | None,
        *,
        log_read: bool = False,
        known: bool = True,
        reasoning: Reasoning | None = None,
    ) -> None:
        self.text = text
        self._reasoning = reasoning
        self.outcome = outcome
        self.status = outcome.status
        self._text_cursor, self.top = last or (Cursor(0, 0), Cursor(0, 1))
        #: The log was looked for and is gone: a cursor inside it cannot be found any more.
        self.log_read = log_read
        #: Whether a reader of its log at the last cursor has all of the text.
        self.known = known

    @property
    def position(self) -> int:
        """The position after the text."""
        return 1

    @property
    def floor(self) -> int:
        """Nothing of it is ever taken back."""
        return 0

    def prefix(self, position: int) -> str:
        """Return the text before `position`."""
        return self.text if position else ""

    def reasoning(self, position: int | None = None) -> Reasoning | None:
        """Return what the model thought before `position`."""
        return None if position == 0 else self._reasoning

    def locate(self, cursor: Cursor | None) -> int | None:
        """Return the position of `cursor`; None for one inside the text, or of another log."""
        return {self._text_cursor: 1, self.top: 2}.get(cursor) if cursor and self.known else None

    def since(self, position: int | None) -> Update | None:
        """Return all of the text, or None to a reader that has it."""
        if position:
            return None
        return Update(self.text, position is None, 0, self._text_cursor, 1)
