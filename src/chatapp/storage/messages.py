"""Read saved messages, branches of them, and generations; only the scripts write them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from chatapp.errors import Damaged, NotFound
from chatapp.models import Cursor, Message, MessageHead, Outcome, Reasoning, Status
from chatapp.storage import keys
from chatapp.storage.scripts import BRANCH, Call, Command, Reply, run, run_in_order

__all__ = (
    "Saved",
    "branch",
    "branch_of",
    "read_branch",
    "read_end",
    "read_generation",
    "read_on",
    "read_saved",
    "read_text",
    "saved",
    "saved_of",
)

#: Bytes of text in one round trip: Redis must not be held up by a single chat.
_BRANCH_BYTES = 4 << 20
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
    #: How long the answer took.
    seconds: float | None = None
    #: Where a branch was read: all versions of this message, the oldest first.
    variants: tuple[str, ...] = ()

    def message(self) -> Message:
        """Return the message as readers see it, when nothing of it runs."""
        head = self.head
        message = Message(
            id=head.id,
            parent_id=head.parent_id,
            role=head.role,
            status=Status.COMPLETED if head.role == "user" else Status.QUEUED,
            text=self.text,
            model=head.model,
            created_at=head.created_at,
            last_event_id=str(self.last[1]) if self.last else None,
            reasoning=self.reasoning,
            variants=self.variants or (head.id,),
            seconds=self.seconds,
            whole=head.whole,
        )
        return message.ended(self.outcome) if self.outcome else message


async def read_saved(redis: Redis, chat_id: str, message_id: str) -> Saved | None:
    """Read one message, without its versions, or None where there is none, or none any more."""
    [reply] = await run_in_order(redis, saved(chat_id, message_id))
    return saved_of(reply)


async def read_text(redis: Redis, chat_id: str, message_id: str) -> str:
    """Read the text of one message; empty where there is none."""
    [text] = await run_in_order(redis, Command("HGET", keys.messages(chat_id), f"{message_id}:text"))
    return (text or b"").decode(errors="replace")


async def read_end(redis: Redis, chat_id: str, message_id: str) -> tuple[bool, Cursor | None]:
    """Return whether a message is saved with its end, and the log's last entry where that is known.

    Raises NotFound where there is no such message, or none any more.
    """
    fields = (_DELETED, message_id, f"{message_id}:end", f"{message_id}:last")
    [reply] = await run_in_order(redis, Command("HMGET", keys.messages(chat_id), *fields))
    deleted, head, end, last = reply
    if deleted or head is None:
        raise NotFound
    cursors = _cursors(last.decode()) if last else None
    return bool(end), cursors[1] if cursors else None


def saved(chat_id: str, message_id: str) -> Command:
    """Return the command that reads one message, for `saved_of`."""
    return Command("HMGET", keys.messages(chat_id), _DELETED, *_fields(message_id))


def saved_of(reply: Any) -> Saved | None:
    """Return the message that `saved` has read, or None where there is none, or none any more."""
    deleted, *values = reply
    return None if deleted or values[0] is None else _decode(values)


def branch(chat_id: str, message_id: str | None, batch: int) -> Call:
    """Return the call that reads messages upwards from one (None: the chat's head), for `branch_of`."""
    return Call(BRANCH, [keys.messages(chat_id), keys.chat(chat_id)], message_id or "", batch, _BRANCH_BYTES)


def branch_of(reply: Reply) -> list[Saved]:
    """Return the messages that a call of `branch` has read."""
    return [_decode(values, siblings or b"") for *values, siblings in reply[1:]]


async def read_branch(redis: Redis, chat_id: str, message_id: str, batch: int) -> AsyncIterator[list[Saved]]:
    """Yield the messages from one up to the first question, about `batch` in each round trip."""
    first = branch_of(await run(redis, branch(chat_id, message_id, batch)))
    async for found in read_on(redis, chat_id, first, batch):
        yield found


async def read_on(redis: Redis, chat_id: str, first: list[Saved], batch: int) -> AsyncIterator[list[Saved]]:
    """Yield the first messages of a branch, which have been read, then the rest as `read_branch` does."""
    found = first
    while found:
        yield found
        above = found[-1].head.parent_id
        found = branch_of(await run(redis, branch(chat_id, above, batch))) if above else []


async def read_generation(redis: Redis, chat_id: str) -> tuple[str, Status | None]:
    """Read which message the chat's generation is about, and its state; None when there is no generation."""
    values: Any = await redis.hmget(keys.generation(chat_id), ["message", "state"])
    message_id, state = values
    if message_id is None or state is None:
        return "", None
    return message_id.decode(), Status(state.decode())


def _fields(message_id: str) -> list[str]:
    parts = ("text", "end", "last", "reasoning", "times")
    return [message_id, *(f"{message_id}:{part}" for part in parts)]


def _decode(values: Sequence[Any], siblings: bytes = b"") -> Saved:
    """Read the fields of a message, the head at least, and the ids of all children of its parent."""
    try:
        return _saved(values, siblings)
    except (msgspec.DecodeError, ValueError):
        raise Damaged from None


def _saved(values: Sequence[Any], siblings: bytes) -> Saved:
    head, text, end, last, reasoning, times = values
    decoded = msgspec.json.decode(head, type=MessageHead)
    variants = tuple(siblings.decode().split())
    if variants and decoded.id not in variants:
        # Begun by an older version, which did not list it.
        variants = (*variants, decoded.id)
    return Saved(
        head=decoded,
        text=(text or b"").decode(errors="replace"),
        outcome=msgspec.json.decode(end, type=Outcome) if end else None,
        last=_cursors(last.decode()) if last else None,
        raw_outcome=end or None,
        reasoning=_reasoning(reasoning) if reasoning else None,
        seconds=_seconds(times) if times else None,
        variants=variants,
    )


def _reasoning(written: bytes) -> Reasoning:
    """Read `<milliseconds> <text>`, as the log's entries have it too."""
    milliseconds, _, text = written.partition(b" ")
    return Reasoning(text.decode(errors="replace"), int(milliseconds) / 1000)


def _seconds(times: bytes) -> float | None:
    began, _, ended = times.partition(b" ")
    # A clock may jump back.
    return max(0, int(ended) - int(began)) / 1000 if ended else None


def _cursors(last: str) -> tuple[Cursor, Cursor] | None:
    text, end = (Cursor.parse(cursor) for cursor in last.split(" "))
    return (text, end) if text and end else None
