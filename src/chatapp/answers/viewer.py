"""One reader's position in an answer, whatever format it is sent in."""

import asyncio
import random
from enum import Enum
from time import monotonic

from msgspec import Struct

from chatapp.answers.hub import Hub
from chatapp.answers.live import Update
from chatapp.answers.watched import Watched
from chatapp.models import Cursor, Outcome

__all__ = ("LIFETIME", "End", "Pause", "Viewer")

#: Seconds a stream lives at most, a little random: connections should not pile up on one process for ever.
LIFETIME = 900.0


class End(Struct, frozen=True):
    """The answer is over; nothing comes after this."""

    cursor: Cursor | None
    outcome: Outcome


class Pause(Enum):
    """Why there is nothing to send now."""

    #: Nothing happened for a while.
    SILENCE = "silence"
    #: The stream ends here, the answer does not: come back with your cursor.
    COME_BACK = "come back"


class Viewer:
    """A position in a watched answer, and what lies between it and now."""

    def __init__(self, hub: Hub, watched: Watched, after: Cursor | None) -> None:
        self._hub = hub
        self._watched = watched
        self._cursor = after
        self._position: int | None = 0
        self._answer = watched.answer
        #: Whether the position is known; if not, the next process may know it.
        self._placed = True
        self._waiter: asyncio.Future[bool] | None = None
        self._left = False
        #: Whether the reader has had its last text here: of a busy answer there is always some more.
        self._had_last = False
        # Spreads the load of reconnects; hides nothing.
        self._deadline = monotonic() + LIFETIME * random.uniform(0.8, 1.0)  # noqa: S311  # no secret

    async def start(self) -> None:
        """Find the position of the cursor the reader came with.

        One that the log does not know leads to a reset: never silence, never a hole.
        """
        if self._cursor is None:
            return
        while await self._watched.reach(self._cursor) is None and self._watched.is_behind(self._cursor):
            # Nothing comes from a Redis that is away, either: only what it has says that this entry is lost.
            if await self._hub.has_lost(self._watched, self._cursor):
                break
            if self._is_over():
                self._placed = False
                return
        self._answer = self._watched.answer
        self._position = self._answer.locate(self._cursor) if self._answer else None

    def take(self) -> Update | End | None:
        """Return what lies between the position and now, joined, and move on; None when there is nothing.

        After an End there is nothing more to take, nor after the first text once the stream is to end.
        """
        if not self._placed:
            return None
        if self._watched.answer is not self._answer:
            # Read anew: the old position means nothing in it, the cursor does.
            self._answer = self._watched.answer
            self._position = self._answer.locate(self._cursor) if self._answer and self._cursor else 0
        assert self._answer is not None
        update = self._answer.since(self._position)
        if update is not None:
            if self._had_last:
                return None
            self._had_last = self._is_over()
            self._position, self._cursor = update.position, update.cursor
            return update
        outcome = self._answer.outcome
        return End(self._answer.top, outcome) if outcome is not None else None

    async def wait(self) -> Pause | None:
        """Wait until there may be something to take (None), or something else to tell the reader."""
        if not self._is_over():
            self._waiter = self._watched.waiter()
            try:
                changed = await self._waiter
            finally:
                self._watched.forget(self._waiter)
            if not self._is_over():
                return None if changed else Pause.SILENCE
        return Pause.COME_BACK

    def leave(self) -> None:
        """Note that the reader is gone, and end its waiting."""
        self._left = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)

    def _is_over(self) -> bool:
        return self._left or self._hub.closing or monotonic() > self._deadline
