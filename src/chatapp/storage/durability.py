"""Learn when what Redis has confirmed is on its disk."""

import asyncio
import logging
import re

from redis.asyncio import Redis

from chatapp.storage import keys
from chatapp.storage.connections import UNREACHABLE
from chatapp.storage.scripts import Command, run_all

__all__ = ("Durability",)

logger = logging.getLogger(__name__)

#: Milliseconds that one WAITAOF may take; Redis syncs its append-only file once a second.
_PATIENCE_MS = 2000
#: Times it may take that long, and how long it may take afterwards: a server with `appendfsync no` confirms
#: nothing, and would be asked for ever, over a connection that others need.
_UNSYNCED = 8
_GLANCE_MS = 100
#: Seconds after which a server without WAITAOF is taken to have synced: twice a delayed second.
_WINDOW = 2.5
_RETRY = 0.5
#: Seconds in which those gather who want to know.
_GATHER = 0.25
#: A server has a new `run_id` when it starts, and a new `master_replid` when it becomes the one to write to.
_IDENTITY = re.compile(rb"^(?:run_id|master_replid):\w+", re.MULTILINE)
_NAMES = 2


class Durability:
    """Shared by all who want to know: one question at a time, each for everything written before it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waitaof = True
        #: Whether WAITAOF has told anything of late.
        self._telling = True
        self._asking = asyncio.Lock()
        #: Which server it was when it was last asked; nothing where it did not say, or did not sync.
        self.server = b""
        #: Questions that were begun, and the last one that was answered.
        self._begun = 0
        self._answered = 0

    async def settled(self, server: bytes = b"") -> bool:
        """Return once all that Redis confirmed before this call is on disk, as far as it can tell.

        Not a promise: Redis may have been restarted without it meanwhile. Who must know checks then, unless
        this returns True: `server` is what `self.server` was before the first of it was written, and it is
        that same server that has put all of it on its disk.
        """
        wanted = self._begun + 1
        while self._answered < wanted:
            async with self._asking:
                if self._answered < wanted:
                    # Redis may answer at once: then each question would be one for itself.
                    await asyncio.sleep(_GATHER)
                    self._begun += 1
                    await self._ask()
                    self._answered = self._begun
        return server != b"" and server == self.server

    async def _ask(self) -> None:
        # WAITAOF speaks of its own connection's writes alone; the file is in order, so one write here stands
        # for all before it.
        mark = Command("SET", keys.SYNC, "", "EX", 60)
        wait = Command("WAITAOF", 1, 0, _PATIENCE_MS if self._telling else _GLANCE_MS)
        who = Command("INFO", "server", "replication")
        left = _UNSYNCED if self._telling else 1
        while self._waitaof and left:
            try:
                marked, synced, info = await run_all(self._redis, (mark, wait, who))
            except UNREACHABLE:
                marked = synced = info = None
            if marked is None or isinstance(marked, Exception):
                # Away, out of memory, a replica for the moment: says nothing about the disk.
                await asyncio.sleep(_RETRY)
            elif isinstance(synced, Exception):
                logger.info("the server has no WAITAOF (%s): a write counts as safe after a while", synced)
                self._waitaof = False
            elif synced[0]:
                self._telling = True
                found = _IDENTITY.findall(info) if isinstance(info, bytes) else []
                self.server = b" ".join(found) if len(found) == _NAMES else b""
                return
            else:
                left -= 1
        self._telling, self.server = False, b""
        await asyncio.sleep(_WINDOW)
