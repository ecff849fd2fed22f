"""An answer that viewers watch, and the viewers that wait for news of it."""

import asyncio
from time import monotonic
from typing import Protocol

from chatapp.answers.live import LiveAnswer, SavedAnswer, Update
from chatapp.models import Cursor
from chatapp.storage import keys

__all__ = ("HEARTBEAT", "RESEND", "Waiter", "Watched")

#: How long a worker may take to send again what Redis forgot, before viewers are told.
RESEND = 2.0
#: Seconds of silence after which a viewer is told that its connection lives.
HEARTBEAT = 12.0
#: Events that are kept for other viewers at the same position.
_ENCODED_KEPT = 32


class Waiter(Protocol):
    """Whoever waits for news of an answer."""

    def news(self, now: float) -> None:
        """Take note that there may be something new."""

    def tick(self, now: float) -> None:
        """Take note of the time (monotonic seconds), about once a second."""


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
        #: Whether a call of `notify` is on its way.
        self.waking = False
        #: Events as they were encoded for the first viewer that needed them, for the others.
        self.encoded: dict[object, bytes] = {}
        #: The last event that was pushed to those who wait.
        self.pushed: tuple[Update, bytes] | None = None
        #: Those who wait for news, in the order in which they began.
        self._waiters: dict[Waiter, None] = {}

    def notify(self) -> None:
        """Tell everybody who waits that there may be something new."""
        self.waking = False
        self.encoded.clear()
        now = monotonic()
        # A copy: whoever is told may stop waiting.
        for waiter in tuple(self._waiters):
            waiter.news(now)

    def keep(self, key: object, event: bytes) -> None:
        """Keep an event as it was encoded, until there is something new."""
        if len(self.encoded) >= _ENCODED_KEPT:
            self.encoded.clear()
        self.encoded[key] = event

    def tick(self, now: float) -> None:
        """Let those who wait look at the clock."""
        for waiter in tuple(self._waiters):
            waiter.tick(now)

    def join(self, waiter: Waiter) -> None:
        """Tell somebody of news from now on."""
        self._waiters[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """Tell somebody of no more news."""
        self._waiters.pop(waiter, None)

    def is_behind(self, cursor: Cursor) -> bool:
        """Whether the entry `cursor` may still come."""
        answer = self.answer
        return answer is not None and not answer.outcome and (answer.top is None or cursor > answer.top)
