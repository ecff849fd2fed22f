"""Follow what happens to a person's chats, in every tab and device, by a cursor as for an answer.

A reader gets what comes after its cursor, once. One whose cursor is not known any more is told so (`reset`),
and reads its list anew; one that brings none starts now.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import NamedTuple

from redis.asyncio import Redis

from chatapp.answers.viewer import LIFETIME, Pause
from chatapp.answers.watched import HEARTBEAT
from chatapp.models import Cursor
from chatapp.storage import keys
from chatapp.storage.events import EVENTS_KEPT, START, cursor_of, newest
from chatapp.storage.scripts import Command, run_in_order
from chatapp.storage.tail import RawEntries, Tail
from chatapp.tasks import shared

__all__ = ("Feed", "FeedEvent", "Reader")

#: Seconds for which a person's events are followed after the last reader left: most come back at once.
_LINGER = 5.0
#: Events kept in memory for readers that are slow.
_KEPT = 200
#: Redis refuses to look for what is no 64-bit number.
_LARGEST = (1 << 64) - 1
_NOTHING = b"{}"


class FeedEvent(NamedTuple):
    """One event as readers get it; `data` is JSON."""

    cursor: Cursor
    name: str
    data: bytes


class _Channel:
    """The events of one person that came since somebody began to follow them here."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.readers = 0
        self.loading: asyncio.Task[None] | None = None
        #: The last event, or None before it was looked for.
        self.top: Cursor | None = None
        self.events: list[FeedEvent] = []
        #: The last event that is not among them any more.
        self.dropped = START
        self.changed = asyncio.Event()

    def add(self, events: list[FeedEvent]) -> None:
        self.events += events
        self.top = events[-1].cursor
        if over := max(0, len(self.events) - _KEPT):
            self.dropped = self.events[over - 1].cursor
            del self.events[:over]
        self.notify()

    def notify(self) -> None:
        """Wake every reader that waits."""
        self.changed.set()
        self.changed = asyncio.Event()


class Feed:
    """Follow the events of people; `closing` tells readers that the process is going down."""

    def __init__(self, commands: Redis, tail: Tail) -> None:
        self._commands = commands
        self._tail = tail
        tail.join(self)
        self._channels: dict[str, _Channel] = {}
        self.closing = False

    async def position(self, owner: str) -> Cursor:
        """Return the cursor of now: who reads the list after this misses nothing by following from here."""
        return cursor_of(*await run_in_order(self._commands, newest(owner)))

    @asynccontextmanager
    async def follow(self, owner: str, after: Cursor | None) -> AsyncIterator["Reader"]:
        """Follow this owner's events from a cursor on, or from now."""
        key = keys.user_events(owner)
        channel = self._channels.setdefault(key, _Channel(key))
        channel.readers += 1
        try:
            if channel.top is None:
                if channel.loading is None:
                    channel.loading = shared(self._load(channel, owner))
                # Shielded: a reader that leaves must not take the others' reading with it.
                await asyncio.shield(channel.loading)
            reader = Reader(self, channel)
            await reader.start(self._commands, after)
            yield reader
        finally:
            channel.readers -= 1
            if not channel.readers:
                asyncio.get_running_loop().call_later(_LINGER, self._forget, channel)

    def close(self) -> None:
        """Send every reader away; they come back to another process with their cursor."""
        self.closing = True
        for channel in self._channels.values():
            channel.notify()

    def take(self, key: str, raw: RawEntries) -> None:
        """Take in the next events of a person."""
        if (channel := self._channels.get(key)) is not None:
            channel.add(_decode(raw))

    async def check(self) -> None:
        """Do nothing: ids are times, so new events come after all that was read even if Redis lost some."""

    def doubt(self) -> None:
        """Do nothing: see `check`."""

    def pause(self) -> float:
        """Return no pause: events are few."""
        return 0

    async def _load(self, channel: _Channel, owner: str) -> None:
        try:
            channel.top = await self.position(owner)
            if self._channels.get(channel.key) is channel:
                self._tail.watch(channel.key, channel.top, self)
                await self._tail.ring()
        except BaseException:
            self._drop(channel)
            raise
        finally:
            channel.loading = None

    def _forget(self, channel: _Channel) -> None:
        if not channel.readers:
            self._drop(channel)

    def _drop(self, channel: _Channel) -> None:
        # Else everybody left before it was loaded, and others have come since.
        if self._channels.get(channel.key) is channel:
            del self._channels[channel.key]
            self._tail.unwatch(channel.key)


class Reader:
    """A position in a person's events, and what lies between it and now."""

    def __init__(self, feed: Feed, channel: _Channel) -> None:
        self._feed = feed
        self._channel = channel
        self._cursor = START
        #: What is to be told before the channel's own events.
        self._first: list[FeedEvent] = []
        self._left = False
        # Spreads the load of reconnects; hides nothing.
        self._deadline = monotonic() + LIFETIME * random.uniform(0.8, 1.0)  # noqa: S311  # no secret

    async def start(self, commands: Redis, after: Cursor | None) -> None:
        """Find what the reader has missed."""
        top = self._channel.top
        assert top is not None
        if after is None:
            self._begin("open", top)
        elif after == top or any(event.cursor == after for event in self._channel.events):
            self._cursor = after
        elif (missed := await _missed(commands, self._channel.key, after)) is not None:
            self._first = missed
            self._cursor = missed[-1].cursor if missed else after
        else:
            self._begin("reset", self._channel.top or top)

    def take(self) -> list[FeedEvent]:
        """Return what is new since the last time."""
        channel = self._channel
        if channel.dropped > self._cursor:
            # It was too slow for what is kept here.
            assert channel.top is not None
            self._begin("reset", channel.top)
        new = self._first + [event for event in channel.events if event.cursor > self._cursor]
        self._first = []
        if new:
            self._cursor = new[-1].cursor
        return new

    async def wait(self) -> Pause | None:
        """Wait until there may be something to take (None), or something else to tell the reader."""
        if not self._is_over():
            assert self._channel.top is not None
            if self._first or self._channel.top > self._cursor:
                return None
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._channel.changed.wait()
            except TimeoutError:
                return Pause.COME_BACK if self._is_over() else Pause.SILENCE
            if not self._is_over():
                return None
        return Pause.COME_BACK

    def leave(self) -> None:
        """Note that the reader is gone, and end its waiting."""
        self._left = True
        self._channel.notify()

    def _begin(self, name: str, cursor: Cursor) -> None:
        self._first = [FeedEvent(cursor, name, _NOTHING)]
        self._cursor = cursor

    def _is_over(self) -> bool:
        return self._left or self._feed.closing or monotonic() > self._deadline


async def _missed(commands: Redis, key: str, after: Cursor) -> list[FeedEvent] | None:
    """Return the events after a cursor, or None where there may have been others that are gone."""
    if max(after) > _LARGEST:
        return None
    [raw] = await run_in_order(commands, Command("XRANGE", key, str(after), "+"))
    found = _decode(raw)
    if after == START:
        return found if len(found) < EVENTS_KEPT else None
    return found[1:] if found and found[0].cursor == after else None


def _decode(raw: RawEntries) -> list[FeedEvent]:
    events = []
    for entry_id, fields in raw:
        ms, _, number = entry_id.partition(b"-")
        events.append(FeedEvent(Cursor(int(ms), int(number)), fields[1].decode(), fields[3]))
    return events
