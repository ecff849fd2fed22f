"""A person's chats, the last used first, a page at a time."""

from typing import Any

from redis.asyncio import Redis

from chatapp.chats.indexing import Indexing
from chatapp.chats.search import search
from chatapp.chats.summaries import ChatPage, position, summaries
from chatapp.errors import InvalidInput, NotFound
from chatapp.models import ChatSummary
from chatapp.storage import keys

__all__ = ("ChatPage", "Listing")

#: Chats of one page: what is asked for when nothing is said, and at most.
_PAGE = 40
_MAX_PAGE = 100


class Listing:
    """Read the lists in Redis; `indexing` indexes before a search what nobody has indexed."""

    def __init__(self, redis: Redis, indexing: Indexing | None = None) -> None:
        self._redis = redis
        self._indexing = indexing

    async def page(
        self, owner: str, *, limit: int = _PAGE, cursor: str | None = None, q: str | None = None
    ) -> ChatPage:
        """Return this owner's chats after `cursor`, at most `limit`; with `q`, those that have its words.

        A chat that is used between two pages moves to the top: nothing else is shown twice or left out.
        """
        if not 1 <= limit <= _MAX_PAGE:
            raise InvalidInput("limit", f"A page has 1 to {_MAX_PAGE} chats.")
        if q and q.strip():
            if self._indexing is not None:
                await self._indexing.catch_up(owner)
            return await search(self._redis, owner, q, limit=limit, cursor=cursor)
        after = position(cursor)
        found: list[ChatSummary] = []
        while True:
            wanted = limit - len(found)
            listed = await self._listed(owner, after, wanted + 1)
            found += await summaries(self._redis, [chat_id for chat_id, _ in listed[:wanted]])
            if len(listed) <= wanted:
                return ChatPage(found, None)
            last, score = listed[wanted - 1]
            after = score, last
            if len(found) == limit:
                return ChatPage(found, f"{score}_{last}")

    async def summary(self, chat_id: str) -> ChatSummary:
        """Return one chat as a list shows it."""
        found = await summaries(self._redis, [chat_id])
        if not found:
            raise NotFound
        return found[0]

    async def _listed(self, owner: str, after: tuple[str, str] | None, count: int) -> list[tuple[str, str]]:
        """Return ids and scores after a position; of equal scores the greater id comes first, as in Redis."""
        key = keys.user_chats(owner)
        if after is None:
            return await self._range(key, "+inf", count)
        score, chat_id = after
        same: Any = await self._redis.zrange(key, score, score, byscore=True)
        tied = [member.decode() for member in same if member.decode() < chat_id]
        listed = [(member, score) for member in sorted(tied, reverse=True)]
        return (listed + await self._range(key, f"({score}", count))[:count]

    async def _range(self, key: str, highest: str, count: int) -> list[tuple[str, str]]:
        reply: Any = await self._redis.zrange(
            key, highest, "-inf", desc=True, byscore=True, offset=0, num=count, withscores=True
        )
        # `repr` of a float has all its digits, so the cursor finds this very score again.
        return [(member.decode(), repr(float(score))) for member, score in reply]
