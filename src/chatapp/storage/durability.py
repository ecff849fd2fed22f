"""Learn when what Redis has confirmed is on its disk."""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from chatapp.storage import keys
from chatapp.storage.connections import UNREACHABLE
from chatapp.storage.scripts import Command, run_in_order

__all__ = ("Durability",)

logger = logging.getLogger(__name__)

#: Milliseconds that one WAITAOF may take; Redis syncs its append-only file once a second.
_PATIENCE_MS = 2000
#: Seconds after which a server without WAITAOF is taken to have synced: twice a delayed second.
_WINDOW = 2.5
_RETRY = 0.5


class Durability:
    """Shared by all who want to know: one question at a time, each for everything written before it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waitaof = True
        self._asking = asyncio.Lock()
        #: Questions that were begun, and the last one that was answered.
        self._begun = 0
        self._answered = 0

    async def settled(self) -> None:
        """Return once all that Redis confirmed before this call is on disk, as far as it can tell.

        Not a promise: Redis may have been restarted without it meanwhile. Who must know looks again then.
        """
        wanted = self._begun + 1
        while self._answered < wanted:
            async with self._asking:
                if self._answered < wanted:
                    self._begun += 1
                    await self._ask()
                    self._answered = self._begun

    async def _ask(self) -> None:
        while self._waitaof:
            try:
                # WAITAOF speaks of its own connection's writes alone; the file is in order, so one write here
                # stands for all before it.
                mark = Command("SET", keys.SYNC, "", "EX", 60)
                _, [synced, *_] = await run_in_order(
                    self._redis, mark, Command("WAITAOF", 1, 0, _PATIENCE_MS)
                )
                if synced:
                    return
            except ResponseError as error:
                logger.info("the server has no WAITAOF (%s): a write counts as safe after a while", error)
                self._waitaof = False
            except UNREACHABLE:
                await asyncio.sleep(_RETRY)
        await asyncio.sleep(_WINDOW)
