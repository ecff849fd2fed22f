"""Read saved messages and generations; only the scripts write them."""

from collections.abc import Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from chatapp.models import Cursor, Message, MessageHead, Outcome, Reasoning, Status
from chatapp.storage import keys

__all__ = ("Saved", "read_generation", "read_saved", "read_saved_messages")


#: Set by `delete`, so that whoever reads a message alone need not ask for its chat.
_DELETED = ":deleted"


class Saved(msgspec.Struct, frozen=True):
    """A message as it is saved: of an answer that still runs, only the head."""

    head: MessageHead
    text: str
    outcome: Outcome | None
    #: The last entry before the end, and the end.
    last: tuple[Cursor, Cursor] | None
    #: The outcome byte for byte, for who changes it.
    raw_outcome: bytes | None = None
    reasoning: Reasoning | None = None

    def message(self) -> Message:
        """Return the message as readers see it, when nothing of it runs."""
        head, outcome = self.head, self.outcome
        status = Status.COMPLETED if head.role == "user" else Status.QUEUED
        return Message(
            id=head.id,
            parent_id=head.parent_id,
            role=head.role,
            status=outcome.status if outcome else status,
            text=self.text,
            model=head.model,
            created_at=head.created_at,
            last_event_id=str(self.last[1]) if self.last else None,
            finish_reason=outcome.finish_reason if outcome else None,
            usage=outcome.usage if outcome else None,
            error=outcome.error if outcome else None,
            reasoning=self.reasoning,
        )


async def read_saved(redis: Redis, chat_id: str, message_id: str) -> Saved | None:
    """Read one message, or None where there is none, or none any more."""
    names = _fields(message_id)
    values: Any
    deleted, *values = await redis.hmget(keys.messages(chat_id), [_DELETED, *names])
    return None if deleted else _decode(dict(zip(names, values, strict=True)), message_id)


async def read_saved_messages(redis: Redis, chat_id: str) -> dict[str, Saved]:
    """Read all messages of a chat by their id."""
    raw: Any = await redis.hgetall(keys.messages(chat_id))
    fields = {name.decode(): value for name, value in raw.items()}
    saved = {name: _decode(fields, name) for name in fields if ":" not in name}
    return {message_id: message for message_id, message in saved.items() if message is not None}


async def read_generation(redis: Redis, chat_id: str) -> tuple[str, Status | None]:
    """Read which message the chat's generation is about, and its state; None when there is no generation."""
    values: Any = await redis.hmget(keys.generation(chat_id), ["message", "state"])
    message_id, state = values
    if message_id is None or state is None:
        return "", None
    return message_id.decode(), Status(state.decode())


def branch(saved: Mapping[str, Saved], head: str) -> list[Saved]:
    """Return the messages from the first question down to `head`."""
    path: list[Saved] = []
    current: str | None = head
    while current and current in saved and len(path) <= len(saved):
        path.append(saved[current])
        current = saved[current].head.parent_id
    return path[::-1]


def _fields(message_id: str) -> list[str]:
    return [message_id, *(f"{message_id}:{part}" for part in ("text", "end", "last", "reasoning"))]


def _decode(fields: Mapping[str, Any], message_id: str) -> Saved | None:
    head, text, end, last, reasoning = (fields.get(name) for name in _fields(message_id))
    if head is None:
        return None
    return Saved(
        head=msgspec.json.decode(head, type=MessageHead),
        text=(text or b"").decode(errors="replace"),
        outcome=msgspec.json.decode(end, type=Outcome) if end else None,
        last=_cursors(last.decode()) if last else None,
        raw_outcome=end or None,
        reasoning=_reasoning(reasoning) if reasoning else None,
    )


def _reasoning(written: bytes) -> Reasoning:
    """Read `<milliseconds> <text>`, as the log's entries have it too."""
    milliseconds, _, text = written.partition(b" ")
    return Reasoning(text.decode(errors="replace"), int(milliseconds) / 1000)


def _cursors(last: str) -> tuple[Cursor, Cursor] | None:
    text, end = (Cursor.parse(cursor) for cursor in last.split(" "))
    return (text, end) if text and end else None
