"""A person's chats, the last used first, a page at a time."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from chatapp.errors import InvalidInput, NotFound
from chatapp.models import ChatSummary, Status
from chatapp.storage import keys

__all__ = ("ChatPage", "Listing")

#: Chats of one page: what is asked for when nothing is said, and at most.
_PAGE = 40
_MAX_PAGE = 100
#: `<score in user:U:chats>_<chat id>` of the last chat that was shown.
_CURSOR = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)_([0-9a-f]{32})", re.ASCII)


class ChatPage(Struct, frozen=True):
    """Some of the chats; `next_cursor` leads to those after them, None when there are no more."""

    chats: Sequence[ChatSummary]
    next_cursor: str | None


class Listing:
    """Read the lists in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def page(self, owner: str, *, limit: int = _PAGE, cursor: str | None = None) -> ChatPage:
        """Return this owner's chats after `cursor`, at most `limit` of them.

        A chat that is used between two pages moves to the top: nothing else is shown twice or left out.
        """
        if not 1 <= limit <= _MAX_PAGE:
            raise InvalidInput("limit", f"A page has 1 to {_MAX_PAGE} chats.")
        after = _position(cursor)
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
        # Of a float `repr` says all digits that count.
        return [(member.decode(), repr(float(score))) for member, score in reply]


async def summaries(redis: Redis, chat_ids: Sequence[str]) -> list[ChatSummary]:
    """Return what a list shows of these chats, in their order; those that are not there are left out."""
    if not chat_ids:
        return []
    async with redis.pipeline(transaction=False) as pipe:
        for chat_id in chat_ids:
            pipe.hmget(keys.chat(chat_id), ["title", "updated_at", "deleted_at"])
            pipe.hget(keys.generation(chat_id), "state")
        replies = await pipe.execute()
    found = []
    for chat_id, fields, state in zip(chat_ids, replies[::2], replies[1::2], strict=True):
        title, updated_at, deleted_at = fields
        # Listed before it is made, and until it is deleted: a crash in between leaves a name without a chat.
        if title is not None and state is not None and deleted_at is None:
            when = datetime.fromisoformat(updated_at.decode())
            found.append(
                ChatSummary(id=chat_id, title=title.decode(), updated_at=when, status=Status(state.decode()))
            )
    return found


def _position(cursor: str | None) -> tuple[str, str] | None:
    if not cursor:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidInput("cursor", "This cursor is not one of ours.")
    return match[1], match[2]
