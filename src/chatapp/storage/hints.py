"""Hints that work is waiting: a stream that the workers read as one consumer group."""

from chatapp.storage import keys
from chatapp.storage.scripts import Command

__all__ = ("announcement",)

#: Hints in the stream, about; what is trimmed is found in the list of what is due.
_KEPT = 1000


def announcement(work: str) -> Command:
    """Return the command that tells the workers that `work` ("<chat id> <message id>") waits."""
    return Command("XADD", keys.WAKE, "MAXLEN", "~", _KEPT, "*", "work", work)
