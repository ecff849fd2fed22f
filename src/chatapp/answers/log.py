"""Read an answer's log: whole, from an entry on, or many at once and waiting."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis

from chatapp.models import Cursor, Entry
from chatapp.storage import keys

__all__ = ("RawEntries", "decode", "read_log", "read_top", "tail")

#: Stream entries as redis-py gives them: (id, fields).
RawEntries = Sequence[tuple[bytes, Mapping[bytes, bytes]]]

#: Entries a round trip: enough to be quick, few enough not to hold up Redis or the event loop.
_BATCH = 1000


async def read_log(redis: Redis, chat_id: str, message_id: str) -> AsyncIterator[list[Entry]]:
    """Yield the log from its first entry to its last, in batches; nothing when there is no log."""
    start = "-"
    while True:
        raw: Any = await redis.xrange(keys.log(chat_id, message_id), start, "+", count=_BATCH)
        if not raw:
            return
        entries = decode(raw)
        yield entries
        if len(entries) < _BATCH:
            return
        start = f"({entries[-1].cursor}"


async def read_top(redis: Redis, chat_id: str, message_id: str) -> Cursor | None:
    """Return the id of the log's last entry, or None when there is no log."""
    raw: Any = await redis.xrevrange(keys.log(chat_id, message_id), "+", "-", count=1)
    return decode(raw)[0].cursor if raw else None


async def tail(redis: Redis, positions: Mapping[str, str], block_ms: int) -> list[tuple[str, RawEntries]]:
    """Wait until one of the streams has entries after its position, and return them by stream key."""
    reply: Any = await redis.xread(cast(Any, positions), block=block_ms)
    return [(key.decode(), entries) for key, entries in (reply or {}).items()]


def decode(raw: RawEntries) -> list[Entry]:
    """Turn Redis' stream entries into ours."""
    entries = []
    for entry_id, fields in raw:
        fence, _, seq = entry_id.partition(b"-")
        entries.append(Entry(Cursor(int(fence), int(seq)), fields[b"t"].decode(), fields[b"d"]))
    return entries
