"""A person's chats, the last used first, a page at a time."""

from typing import Any

from redis.asyncio import Redis

from chatapp.chats.indexing import Indexing
from chatapp.chats.search import search
from chatapp.chats.summaries import ChatPage, position, summaries
from chatapp.errors import InvalidInput, NotFound
from chatapp.models import ChatSummary, Cursor
from chatapp.storage import keys
from chatapp.storage.events import cursor_of, newest
from chatapp.storage.scripts import Command, run_in_order

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
        listed = await self._listed(owner, position(cursor), limit + 1)
        return await self._page(owner, listed, limit)

    async def newest(self, owner: str, *, limit: int = _PAGE) -> tuple[ChatPage, Cursor]:
        """Return the first page, and where to follow the owner's events from so that nothing is missed."""
        # In this order: what happens while the list is read is then told as well.
        top, listed = await run_in_order(
            self._redis, newest(owner), _range(keys.user_chats(owner), "+inf", limit + 1)
        )
        return await self._page(owner, _scored(listed), limit), cursor_of(top)

    async def summary(self, chat_id: str) -> ChatSummary:
        """Return one chat as a list shows it."""
        found = await summaries(self._redis, [chat_id])
        if not found:
            raise NotFound
        return found[0]

    async def _page(self, owner: str, listed: list[tuple[str, str]], limit: int) -> ChatPage:
        """Return what is there of the chats that are listed, and of those after them, up to `limit`."""
        found: list[ChatSummary] = []
        while True:
            wanted = limit - len(found)
            found += await summaries(self._redis, [chat_id for chat_id, _ in listed[:wanted]])
            if len(listed) <= wanted:
                return ChatPage(found, None)
            last, score = listed[wanted - 1]
            if len(found) == limit:
                return ChatPage(found, f"{score}_{last}")
            listed = await self._listed(owner, (score, last), limit - len(found) + 1)

    async def _listed(self, owner: str, after: tuple[str, str] | None, count: int) -> list[tuple[str, str]]:
        """Return ids and scores after a position; of equal scores the greater id comes first, as in Redis."""
        key = keys.user_chats(owner)
        if after is None:
            return _scored(*await run_in_order(self._redis, _range(key, "+inf", count)))
        score, chat_id = after
        same: Any = await self._redis.zrange(key, score, score, byscore=True)
        tied = [member.decode() for member in same if member.decode() < chat_id]
        listed = [(member, score) for member in sorted(tied, reverse=True)]
        return (listed + _scored(*await run_in_order(self._redis, _range(key, f"({score}", count))))[:count]


def _range(key: str, highest: str, count: int) -> Command:
    return Command("ZRANGE", key, highest, "-inf", "BYSCORE", "REV", "LIMIT", 0, count, "WITHSCORES")


def _scored(reply: Any) -> list[tuple[str, str]]:
    # Pairs in RESP3, flat in RESP2.
    pairs = reply if reply and isinstance(reply[0], list) else zip(reply[::2], reply[1::2], strict=True)
    # `repr` of a float has all its digits, so the cursor finds this very score again.
    return [(member.decode(), repr(float(score))) for member, score in pairs]
