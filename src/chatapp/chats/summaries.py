"""What a list shows of a chat, and where a list goes on."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from chatapp.errors import InvalidInput
from chatapp.models import ChatSummary, Status
from chatapp.storage import keys
from chatapp.storage.scripts import Command, is_wrong_type, run_all

__all__ = ("FIELDS", "ChatPage", "position", "readable", "summaries", "summary_of")

#: `<score in user:U:chats>_<chat id>` of the last chat that was shown.
_CURSOR = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)_([0-9a-f]{32})", re.ASCII)


#: The fields of a chat that a list shows or needs.
FIELDS = ["title", "updated_at", "deleted_at"]


class ChatPage(Struct, frozen=True):
    """Some of the chats; `next_cursor` leads to those after them, None when there are no more."""

    chats: Sequence[ChatSummary]
    next_cursor: str | None


async def summaries(redis: Redis, chat_ids: Sequence[str]) -> list[ChatSummary]:
    """Return what a list shows of these chats, in their order; those that cannot be read are left out."""
    if not chat_ids:
        return []
    fields = (Command("HMGET", keys.chat(chat_id), *FIELDS) for chat_id in chat_ids)
    states = (Command("HGET", keys.generation(chat_id), "state") for chat_id in chat_ids)
    replies = await run_all(redis, [*fields, *states])
    rows = zip(chat_ids, replies[: len(chat_ids)], replies[len(chat_ids) :], strict=True)
    return [found for row in rows if readable(row[1:]) and (found := summary_of(*row)) is not None]


def readable(replies: Sequence[Any]) -> bool:
    """Tell whether what Redis has of a chat is ours; raise what has nothing to do with this chat alone."""
    failed = [reply for reply in replies if isinstance(reply, Exception)]
    if failed and not is_wrong_type(failed[0]):
        raise failed[0]
    return not failed


def summary_of(chat_id: str, fields: Sequence[bytes | None], state: bytes | None) -> ChatSummary | None:
    """Return what a list shows of a chat, from its `FIELDS` and its generation's state."""
    title, updated_at, deleted_at = fields
    # Listed before it is made, and until it is deleted: a crash in between leaves a name without a chat.
    if title is None or updated_at is None or state is None or deleted_at is not None:
        return None
    try:
        when = datetime.fromisoformat(updated_at.decode())
        return ChatSummary(id=chat_id, title=title.decode(), updated_at=when, status=Status(state.decode()))
    except ValueError:
        # One chat that is damaged must not hide the others; its own page says what is wrong.
        return None


def position(cursor: str | None) -> tuple[str, str] | None:
    """Read a cursor: the score and the id of the last chat that was shown."""
    if not cursor:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidInput("cursor", "This cursor is not one of ours.")
    return match[1], match[2]
