"""One reader's position in an answer, whatever format it is sent in."""

import asyncio
import random
from contextlib import suppress
from enum import Enum
from time import monotonic
from typing import Protocol

from msgspec import Struct

from chatapp.answers.hub import Hub
from chatapp.answers.live import Update
from chatapp.answers.watched import HEARTBEAT, RESEND, Watched
from chatapp.models import Cursor, Outcome

__all__ = ("LIFETIME", "End", "Pause", "Pusher", "Viewer")

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


class Pusher(Protocol):
    """Sends text without waiting."""

    def push(self, update: Update) -> bool:
        """Send an update; return whether more may be pushed, or the viewer has to be woken first."""


class Viewer:
    """A position in a watched answer, and what lies between it and now."""

    # Of a thousand viewers none is in the processor's caches at its turn: slots are one place to look.
    __slots__ = (
        "_answer",
        "_cursor",
        "_deadline",
        "_had_last",
        "_heard",
        "_hub",
        "_left",
        "_loop",
        "_placed",
        "_position",
        "_pusher",
        "_waiter",
        "_watched",
    )

    def __init__(self, hub: Hub, watched: Watched, after: Cursor | None) -> None:
        self._hub = hub
        self._watched = watched
        self._cursor = after
        self._position: int | None = 0
        self._answer = watched.answer
        #: Whether the position is known; if not, the next process may know it.
        self._placed = True
        self._waiter: asyncio.Future[bool] | None = None
        # Asked for once: Python asks the system for the process' id each time.
        self._loop = asyncio.get_running_loop()
        self._pusher: Pusher | None = None
        #: When the reader last heard something, or began to wait (monotonic seconds).
        self._heard = 0.0
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
        while await self._reach(self._cursor) is None and self._watched.is_behind(self._cursor):
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

    async def wait(self, pusher: Pusher | None = None) -> Pause | None:
        """Wait until there may be something to take (None), or something else to tell the reader.

        Text that comes meanwhile goes to `pusher`, and the waiting goes on, as long as that returns True.
        """
        if not self._is_over():
            self._pusher = pusher
            changed = await self._news()
            self._pusher = None
            if not self._is_over():
                return None if changed else Pause.SILENCE
        return Pause.COME_BACK

    def leave(self) -> None:
        """Note that the reader is gone, and end its waiting."""
        self._left = True
        self._wake(changed=False)

    def news(self, now: float) -> None:
        """Push what is new; where that is not all there is to do, end the waiting."""
        if self._pusher is not None and self._answer is self._watched.answer and not self._hub.closing:
            try:
                if self._pushed(self._pusher, now):
                    return
            except Exception as error:  # told to who waits: the others of this answer must not suffer by it
                if self._waiter is not None and not self._waiter.done():
                    self._waiter.set_exception(error)
        self._wake(changed=True)

    def tick(self, now: float) -> None:
        """End the waiting when there was nothing for long, or the stream's time is up."""
        if now - self._heard >= HEARTBEAT or now > self._deadline:
            self._wake(changed=False)

    def _pushed(self, pusher: Pusher, now: float) -> bool:
        """Push what is new; return whether that is all there is."""
        answer = self._answer
        if answer is None or answer.outcome is not None:
            return False
        update = answer.since(self._position)
        if update is None:
            return True
        self._position, self._cursor = update.position, update.cursor
        if update.text or update.reset:
            # What else there is, as reasoning, is silence to this reader.
            self._heard = now
        return pusher.push(update) and update.position == answer.position

    def _wake(self, *, changed: bool) -> None:
        # At once, and not when the task runs: what comes in between must not be pushed.
        self._watched.leave(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(changed)

    async def _news(self) -> bool:
        """Wait until there may be something new (True), or there was nothing for long (False)."""
        self._waiter = self._loop.create_future()
        self._heard = monotonic()
        self._watched.join(self)
        try:
            return await self._waiter
        finally:
            self._watched.leave(self)

    async def _reach(self, cursor: Cursor) -> int | None:
        """Return the position just after `cursor`, waiting a little where this log may only be behind.

        Another process may have read further already, or a worker is sending again what Redis forgot.
        """
        deadline = monotonic() + RESEND
        while True:
            answer = self._watched.answer
            if answer is None or (position := answer.locate(cursor)) is not None:
                return position if answer else None
            left = deadline - monotonic()
            if left <= 0 or not self._watched.is_behind(cursor):
                return None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news(), left)

    def _is_over(self) -> bool:
        return self._left or self._hub.closing or monotonic() > self._deadline
