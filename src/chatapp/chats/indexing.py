"""Index chats that are older than the search, or whose indexing got lost.

This happens once per person, at their first search, in the background, the last used chat first. To do it
twice does no harm, so when a process dies in the middle the next search begins again.
"""

import asyncio
import logging
from time import perf_counter
from typing import Any

from redis.asyncio import Redis

from chatapp.chats.summaries import FIELDS, summary_of
from chatapp.storage import keys
from chatapp.storage.signatures import index
from chatapp.tasks import cancel

__all__ = ("Indexing",)

logger = logging.getLogger(__name__)

#: Seconds that a person's first search waits for it: few have more chats than are done by then.
_PATIENCE = 1.0
#: Seconds of rest for every second of work, so that others get on.
_REST = 2.0


class Indexing:
    """The indexing that this process does, one person after the other."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._turn = asyncio.Lock()
        self._working: dict[str, asyncio.Task[None]] = {}

    async def catch_up(self, owner: str) -> None:
        """Index what is missing of this owner's chats; wait for it a second at most."""
        if await self._redis.hexists(keys.user_slots(owner), keys.INDEXED):
            return
        work = self._working.get(owner)
        if work is None:
            work = self._working[owner] = asyncio.create_task(self._index_all(owner))
            work.add_done_callback(lambda done: self._done(owner, done))
        await asyncio.wait([work], timeout=_PATIENCE)

    async def _index_all(self, owner: str) -> None:
        async with self._turn:
            chat_ids: Any = await self._redis.zrevrange(keys.user_chats(owner), 0, -1)
            for chat_id in chat_ids:
                began = perf_counter()
                await self._index(owner, chat_id.decode())
                await asyncio.sleep(_REST * (perf_counter() - began))
            # What began meanwhile was indexed when it began.
            await self._redis.hset(keys.user_slots(owner), keys.INDEXED, "1")

    async def _index(self, owner: str, chat_id: str) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(keys.messages(chat_id))
            pipe.hget(keys.generation(chat_id), "state")
            # Last: a chat that is deleted meanwhile gets no place.
            pipe.hmget(keys.chat(chat_id), FIELDS)
            messages, state, fields = await pipe.execute()
        chat = summary_of(chat_id, fields, state)
        if chat is not None:
            texts = [
                text.decode(errors="replace") for name, text in messages.items() if name.endswith(b":text")
            ]
            await index(self._redis, owner, chat_id, [chat.title, *texts])

    def _done(self, owner: str, work: "asyncio.Task[None]") -> None:
        del self._working[owner]
        if not work.cancelled() and (error := work.exception()):
            logger.warning("indexing a person's chats: %s; at the next search again", type(error).__name__)

    async def aclose(self) -> None:
        """Leave the rest to the next search."""
        await cancel(self._working.values())
