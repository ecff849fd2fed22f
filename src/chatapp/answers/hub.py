"""Follow the answers that the viewers of this process watch.

A single reader (`storage.tail`) waits on the logs that somebody watches and feeds one `LiveAnswer` per log.
A viewer is a position in it: it asks for what it misses whenever it is ready to send, so a slow viewer costs
no queue and no memory, and gets fewer and larger events.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from time import monotonic

from redis.asyncio import Redis

from chatapp.answers.fed import Fed
from chatapp.answers.live import Hole, LiveAnswer, SavedAnswer
from chatapp.answers.loading import complete, has_lost, load, needs_log, read
from chatapp.answers.log import read_top, take_in
from chatapp.answers.watched import RESEND, Watched
from chatapp.errors import NotFound
from chatapp.models import Cursor, Entry, EntryType
from chatapp.storage import keys
from chatapp.storage.connections import UNREACHABLE, RedisError
from chatapp.storage.messages import read_end
from chatapp.storage.scripts import is_wrong_type
from chatapp.storage.tail import RawEntries, Tail
from chatapp.tasks import background, shared

__all__ = ("Hub",)

logger = logging.getLogger(__name__)

#: How long an answer stays in memory after its last viewer left: a storm of reconnects reads Redis once.
_LINGER = 5.0
#: How long a log may be silent before it is compared with Redis: it may have lost its tail, or be gone.
_AUDIT = 10.0
#: Seconds between two looks for such logs.
_CHECK = 1.0
#: Seconds between two reads, for every viewer beyond the first of a log.
_PAUSE_PER_VIEWER = 0.0001
_PAUSE_PER_ANSWER = 0.001
_MAX_PAUSE = 0.075


class Hub:
    """Follow answers; `closing` tells viewers that the process is going down."""

    def __init__(self, commands: Redis, tail: Tail) -> None:
        self._commands = commands
        self._tail = tail
        tail.join(self)
        self._watched: dict[str, Watched] = {}
        #: The logs that still grow.
        self._growing: set[str] = set()
        self._next_check = 0.0
        #: Those among them that are not read now.
        self._fed = Fed()
        self.closing = False
        #: The number of viewers now, and of those among them who look at intervals of their own.
        self.viewers = 0
        self.paced = 0

    @asynccontextmanager
    async def follow(
        self, chat_id: str, message_id: str, after: Cursor | None, *, paced: bool = False
    ) -> AsyncIterator[Watched]:
        """Watch an answer; its text up to now is there when the block is entered.

        `paced`: the viewer takes what has come a few times a second, not at once.

        Raises NotFound when the chat has no such answer.
        """
        key = keys.log(chat_id, message_id)
        # No await between look-up and entry: a thousand viewers at once share one.
        watched = self._watched.setdefault(key, Watched(chat_id, message_id))
        watched.viewers += 1
        self.viewers += 1
        self.paced += paced
        try:
            fresh = False
            while watched.answer is None or needs_log(watched.answer, after):
                if watched.loading is None:
                    watched.loading = shared(self._load(watched, after))
                    fresh = True
                # Shielded: a viewer that leaves must not take the others' reading with it.
                await asyncio.shield(watched.loading)
            if watched.answer.outcome is not None and not fresh:
                await self._confirm_end(watched)
            yield watched
        finally:
            watched.viewers -= 1
            self.viewers -= 1
            self.paced -= paced
            if not watched.viewers:
                asyncio.get_running_loop().call_later(_LINGER, self._forget, watched)

    async def has_lost(self, watched: Watched, cursor: Cursor) -> bool:
        """Return whether Redis certainly lacks the entry `cursor`; False when it does not answer in time."""
        return await has_lost(self._commands, watched, cursor)

    def close(self) -> None:
        """Send every viewer away; they come back to another process with their cursor."""
        self.closing = True
        for watched in self._watched.values():
            watched.notify()

    async def run(self) -> None:
        """Wake viewers that have had nothing for long, so that they send a heartbeat; until cancelled."""
        async with background(self._read_on()):
            while True:
                await asyncio.sleep(1)
                now = monotonic()
                for watched in self._watched.values():
                    watched.tick(now)

    async def _read_on(self) -> None:
        """Read logs again that are not fed any more."""
        while True:
            silent = await self._fed.silent()
            for key in silent:
                self._watch(self._watched[key])
            if silent:
                # Where that fails, the read returns by itself a little later.
                with suppress(RedisError, *UNREACHABLE):
                    await self._tail.ring()

    def feed(self, key: str, cursor: Cursor, kind: str, data: bytes) -> None:
        """Take in an entry that this process has just written to a log: to read it back would cost more.

        Only what follows on what is here; everything else comes by reading, as from any other process.
        """
        watched = self._watched.get(key)
        answer = watched.answer if watched is not None and key in self._growing else None
        if watched is None or not isinstance(answer, LiveAnswer):
            return
        if answer.follows(cursor):
            if kind == EntryType.DELTA:
                answer.add(data)
            else:
                answer.apply((Entry(cursor, kind, data),))
            self._notify(watched)
        elif answer.top != cursor:
            # Else a read was quicker.
            return
        watched.heard = self._fed.tell(key)
        self._tail.unwatch(key)

    def unfed(self, key: str) -> None:
        """Note that this process does not write a log any more: from now on it is read."""
        self._fed.leave(key)

    def _notify(self, watched: Watched) -> None:
        """Wake the viewers of a log: at once, or where they are many, a little later with more."""
        pause = min(_MAX_PAUSE, _PAUSE_PER_VIEWER * (watched.viewers - 1))
        if pause <= 0:
            watched.notify()
        elif not watched.waking:
            watched.waking = True
            asyncio.get_running_loop().call_later(pause, watched.notify)

    def take(self, key: str, raw: RawEntries) -> Awaitable[None] | None:
        """Take in the next entries of a log; return what is left to be done where that needs waiting."""
        watched = self._watched.get(key)
        if watched is None or not isinstance(answer := watched.answer, LiveAnswer):
            return None
        try:
            take_in(answer, raw)
        except Hole:
            logger.warning("log of message %s does not follow on; read anew", watched.message_id)
            return self._read(watched)
        watched.heard = monotonic()
        if answer.outcome is not None or key not in self._growing:
            return self._turn(watched, answer)
        watched.notify()
        return None

    def doubt(self) -> None:
        """Compare every log with Redis soon: it may come back without its last second."""
        doubtful = monotonic() - _AUDIT + RESEND
        for watched in self._watched.values():
            watched.heard = min(watched.heard, doubtful)

    @property
    def growing(self) -> int:
        """The number of answers that are watched and go on."""
        return len(self._growing)

    def pause(self) -> float:
        """Return how many seconds to let entries gather before the next read.

        The writer has joined them by its own load, but every viewer that is woken costs a write to a socket,
        and every read a look at each log: fewer will do when nobody takes what comes at once.
        """
        woken = _PAUSE_PER_VIEWER * max(0, self.viewers - self.growing - 1)
        read = _PAUSE_PER_ANSWER * self.growing if self.paced == self.viewers else 0
        return min(_MAX_PAUSE, max(woken, read))

    async def _confirm_end(self, watched: Watched) -> None:
        """Make sure that an ended answer has not gone on, or was deleted; once for all who ask."""
        if watched.checking is not None:
            # It began before we came, so it may have looked too early.
            await asyncio.shield(watched.checking)
        if watched.checking is None:
            watched.checking = shared(self._look_for_end(watched))
        await asyncio.shield(watched.checking)

    async def _look_for_end(self, watched: Watched) -> None:
        try:
            # While Redis is away, the end that is known here is the best answer there is.
            with suppress(*UNREACHABLE):
                ended, end = await read_end(self._commands, watched.chat_id, watched.message_id)
                if watched.answer is None or not ended or (end is not None and end != watched.answer.top):
                    await self._read(watched)
        except NotFound:
            if self._watched.get(watched.key) is watched:
                del self._watched[watched.key]
            raise
        finally:
            watched.checking = None

    async def _load(self, watched: Watched, after: Cursor | None) -> None:
        try:
            answer = await load(self._commands, watched.chat_id, watched.message_id, after)
        except NotFound:
            self._drop(watched)
            raise
        else:
            if isinstance(answer, SavedAnswer) and not answer.log_read:
                watched.answer = answer
            else:
                await self._show(watched, answer)
        finally:
            watched.loading = None

    async def _read(self, watched: Watched) -> None:
        """Read the whole log anew."""
        await self._show(watched, await read(self._commands, watched.chat_id, watched.message_id))

    async def _show(self, watched: Watched, answer: LiveAnswer | SavedAnswer) -> None:
        """Let the viewers see an answer as it was read, and follow its log from there."""
        watched.answer = answer
        watched.heard = monotonic()
        self._watch(watched)
        await self._tail.ring()
        watched.notify()

    async def _turn(self, watched: Watched, answer: LiveAnswer) -> None:
        """Take note that an answer has ended, or goes on after an end."""
        watched.answer = await complete(self._commands, watched.chat_id, watched.message_id, answer)
        self._watch(watched)
        watched.notify()

    def _watch(self, watched: Watched) -> None:
        """Tell the blocked read where this log stands, or that it will not grow any more."""
        if self._watched.get(watched.key) is not watched:
            # Everybody left before it was read; others may have come, and have a reading of their own.
            return
        if watched.answer and watched.answer.outcome is None:
            self._growing.add(watched.key)
            self._tail.watch(watched.key, watched.answer.top or "0-0", self)
        else:
            self._unwatch(watched.key)

    def _unwatch(self, key: str) -> None:
        self._growing.discard(key)
        self._fed.forget(key)
        self._tail.unwatch(key)

    async def check(self) -> None:
        """Compare logs that have been silent for long with Redis."""
        now = monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK
        for watched in list(self._watched.values()):
            answer = watched.answer
            if not isinstance(answer, LiveAnswer) or answer.outcome or now - watched.heard < _AUDIT:
                continue
            watched.heard = now
            try:
                top = await read_top(self._commands, watched.chat_id, watched.message_id)
            except RedisError as error:
                if not is_wrong_type(error):
                    raise
                # Those behind it must not wait until it is whole.
                logger.warning("log of message %s is damaged", watched.message_id)
                continue
            if top != answer.top:
                logger.warning("log of message %s is not what was read; read anew", watched.message_id)
                await self._read(watched)

    def _forget(self, watched: Watched) -> None:
        if not watched.viewers:
            self._drop(watched)

    def _drop(self, watched: Watched) -> None:
        if self._watched.get(watched.key) is watched:
            del self._watched[watched.key]
            self._unwatch(watched.key)
