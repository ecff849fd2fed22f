"""One blocking reader for all streams that a process follows: logs of answers, and people's events.

Replies are taken as Redis sends them: redis-py would make a dict of every entry, for every reader of every
few tokens.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis

from chatapp.storage import keys
from chatapp.storage.connections import BLOCK_MS
from chatapp.storage.scripts import Command, is_wrong_type, run_all, run_in_order

__all__ = ("Follower", "RawEntries", "Tail")

logger = logging.getLogger(__name__)

_RETRY = 0.5

#: Stream entries as Redis sends them: (id, [name, value, …]).
RawEntries = Sequence[tuple[bytes, Sequence[bytes]]]


class Follower(Protocol):
    """What takes in the entries of streams; each stream has one follower."""

    def take(self, key: str, raw: RawEntries) -> Awaitable[None] | None:
        """Take in a stream's next entries; it is read on from the last of them.

        Where that needs waiting: return the rest, which says by `Tail.watch` from where to go on.
        """

    async def check(self) -> None:
        """Do what has to be done now and then: called after every reply, at least every four seconds."""

    def doubt(self) -> None:
        """Note that Redis was away: it may come back without its last second, which silence does not tell."""

    def pause(self) -> float:
        """Return for how many seconds entries may gather before the next reply."""


class Tail:
    """Read everything that is watched over one connection, until cancelled."""

    def __init__(self, commands: Redis, reader: Redis) -> None:
        self._commands = commands
        self._reader = reader
        self._followers: list[Follower] = []
        self._owners: dict[str, Follower] = {}
        self._doorbell = keys.doorbell(secrets.token_hex(8))
        #: Where the blocked read stands in each stream, and in the doorbell.
        self._positions: dict[str, str | bytes] = {self._doorbell: "0-0"}
        self._rung = False

    def join(self, follower: Follower) -> None:
        """Let a follower watch streams here."""
        self._followers.append(follower)

    def watch(self, key: str, after: object, follower: Follower) -> None:
        """Read what comes after the entry `after`; a stream that is new is read after the next `ring`."""
        self._positions[key] = str(after)
        self._owners[key] = follower

    def unwatch(self, key: str) -> None:
        """Read no more of a stream."""
        self._positions.pop(key, None)
        self._owners.pop(key, None)

    async def ring(self) -> None:
        """Make the blocked read return, so that it takes in new streams."""
        if not self._rung:
            self._rung = True
            ring = Command("XADD", self._doorbell, "MAXLEN", 1, "*", "", "")
            try:
                await run_in_order(self._commands, ring, Command("EXPIRE", self._doorbell, 3600))
            except Exception:
                self._rung = False
                raise

    async def run(self) -> None:
        """Read until cancelled; Redis may come and go meanwhile."""
        while True:
            try:
                failure = None
                for key, raw in await self._read():
                    if key == self._doorbell:
                        self._rung = False
                        self._positions[key] = raw[-1][0]
                    elif (follower := self._owners.get(key)) is not None:
                        try:
                            if (rest := follower.take(key, raw)) is not None:
                                await rest
                            elif key in self._positions:
                                self._positions[key] = raw[-1][0]
                        except Exception as error:
                            # Comes again; those behind it must not wait until it can be read.
                            failure = error
                for follower in self._followers:
                    await follower.check()
                if failure is not None:
                    raise failure
            except Exception as error:  # nothing may end this loop: every viewer depends on it
                logger.warning("reading the streams: %s: %s; trying again", type(error).__name__, error)
                for follower in self._followers:
                    follower.doubt()
                self._rung = False
                # The clock of a server that has taken over may be behind: what rings there would come before.
                self._positions[self._doorbell] = "0-0"
                await asyncio.sleep(_RETRY)
                continue
            await asyncio.sleep(max((follower.pause() for follower in self._followers), default=0))

    async def _read(self) -> list[tuple[str, RawEntries]]:
        """Wait until one of the streams has entries after its position, and return them by stream key."""
        positions = self._positions
        command = Command("XREAD", "BLOCK", BLOCK_MS, "STREAMS", *positions.keys(), *positions.values())
        reply: Any
        [reply] = await run_all(self._reader, [command])
        if is_wrong_type(reply):
            await self._leave_out_damaged()
            return []
        if isinstance(reply, Exception):
            raise reply
        if not reply:
            return []
        # A map in RESP3, pairs in RESP2.
        streams = reply.items() if isinstance(reply, dict) else reply
        return [(key.decode(), entries) for key, entries in streams]

    async def _leave_out_damaged(self) -> None:
        """Read no more of what is no stream any more: Redis refuses to read the others with it."""
        keys = list(self._positions)
        kinds = await run_in_order(self._commands, *(Command("TYPE", key) for key in keys))
        for key, kind in zip(keys, kinds, strict=True):
            if kind not in (b"stream", b"none"):
                logger.warning("%s is no stream any more, and is not followed", key)
                self.unwatch(key)
