"""An answer that viewers watch, and the viewers that wait for news of it."""

import asyncio
from contextlib import suppress
from time import monotonic

from chatapp.answers.live import LiveAnswer, SavedAnswer
from chatapp.models import Cursor
from chatapp.storage import keys

__all__ = ("HEARTBEAT", "RESEND", "Watched")

#: How long a worker may take to send again what Redis forgot, before viewers are told.
RESEND = 2.0
#: Seconds of silence after which a viewer is told that its connection lives.
HEARTBEAT = 12.0


class Watched:
    """An answer that viewers watch; `answer` is replaced when its log had to be read anew."""

    def __init__(self, chat_id: str, message_id: str) -> None:
        self.chat_id = chat_id
        self.message_id = message_id
        self.key = keys.log(chat_id, message_id)
        self.answer: LiveAnswer | SavedAnswer | None = None
        self.viewers = 0
        #: When the log last showed that it follows on what is here (monotonic seconds).
        self.heard = 0.0
        self.loading: asyncio.Task[None] | None = None
        #: The task that finds out whether an ended answer goes on again.
        self.checking: asyncio.Task[None] | None = None
        #: The task that asks Redis for the last entry of the log.
        self.asking_top: asyncio.Task[Cursor | None] | None = None
        #: Events as they were encoded for the first viewer that needed them, for the others.
        self.encoded: dict[object, bytes] = {}
        #: The viewers that wait, and since when, in the order in which they began.
        self._waiters: dict[asyncio.Future[bool], float] = {}
        # Asked for once: Python asks the system for the process' id each time.
        self._loop = asyncio.get_running_loop()

    def notify(self) -> None:
        """Wake every viewer that waits."""
        self.encoded.clear()
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(True)

    def tick(self, now: float) -> None:
        """Wake the viewers that have heard nothing for long."""
        for waiter, since in list(self._waiters.items()):
            if now - since < HEARTBEAT:
                return
            del self._waiters[waiter]
            if not waiter.done():
                waiter.set_result(False)

    def waiter(self) -> asyncio.Future[bool]:
        """Return a future: True when there may be something new, False when there was nothing for long."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiters[waiter] = monotonic()
        return waiter

    def forget(self, waiter: asyncio.Future[bool]) -> None:
        """Drop a waiter that nobody waits for any more."""
        self._waiters.pop(waiter, None)

    def is_behind(self, cursor: Cursor) -> bool:
        """Whether the entry `cursor` may still come."""
        answer = self.answer
        return answer is not None and not answer.outcome and (answer.top is None or cursor > answer.top)

    async def reach(self, cursor: Cursor) -> int | None:
        """Return the position just after `cursor`, waiting a little where this log may only be behind.

        Another process may have read further already, or a worker is sending again what Redis forgot.
        """
        deadline = monotonic() + RESEND
        while True:
            answer = self.answer
            if answer is None or (position := answer.locate(cursor)) is not None:
                return position if answer else None
            left = deadline - monotonic()
            if left <= 0 or not self.is_behind(cursor):
                return None
            waiter = self.waiter()
            with suppress(TimeoutError):
                await asyncio.wait_for(waiter, left)
            self.forget(waiter)
