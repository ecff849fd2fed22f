"""Read an answer's log: whole, or its end; many at once, and waiting, is `storage.tail`.

Replies are taken as Redis sends them: redis-py would make a dict of every entry, for every reader of every
few tokens.
"""

from collections.abc import AsyncIterator

from redis.asyncio import Redis

from chatapp.answers.live import LiveAnswer
from chatapp.models import Cursor, Entry, EntryType
from chatapp.storage import keys
from chatapp.storage.scripts import Command, run_in_order
from chatapp.storage.tail import RawEntries

__all__ = ("beginning", "decode", "read_log", "read_top", "take_in")

#: Entries a round trip: enough to be quick, few enough not to hold up Redis or the event loop.
_BATCH = 1000
#: Entries that are read with the message, which often is enough: whoever asked is the first to look.
_FIRST = 20
_DELTA = EntryType.DELTA.encode()
#: Where an entry names its predecessor.
_BEFORE = 5


def beginning(chat_id: str, message_id: str) -> Command:
    """Return the command that reads a log's first entries, for `read_log`."""
    return Command("XRANGE", keys.log(chat_id, message_id), "-", "+", "COUNT", _FIRST)


async def read_log(
    redis: Redis, chat_id: str, message_id: str, first: RawEntries | None = None
) -> AsyncIterator[list[Entry]]:
    """Yield the log from its first entry to its last, in batches; nothing when there is no log.

    `first`: what `beginning` has found, where it was asked for.
    """
    start, raw, batch = "-", first, _FIRST
    while True:
        if raw is None:
            command = Command("XRANGE", keys.log(chat_id, message_id), start, "+", "COUNT", _BATCH)
            [raw], batch = await run_in_order(redis, command), _BATCH
        if not raw:
            return
        entries = decode(raw)
        yield entries
        if len(entries) < batch:
            return
        start, raw = f"({entries[-1].cursor}", None


async def read_top(redis: Redis, chat_id: str, message_id: str) -> Cursor | None:
    """Return the id of the log's last entry, or None when there is no log."""
    command = Command("XREVRANGE", keys.log(chat_id, message_id), "+", "-", "COUNT", 1)
    [raw] = await run_in_order(redis, command)
    return decode(raw)[0].cursor if raw else None


def take_in(answer: LiveAnswer, raw: RawEntries) -> None:
    """Let an answer take in the entries that it lacks; raise Hole when they do not follow."""
    for number, (entry_id, fields) in enumerate(raw):
        # Nearly all hold text and nothing else.
        if fields[1] != _DELTA or len(fields) > _BEFORE or not answer.extend(entry_id, fields[3]):
            answer.apply(entry for entry in decode(raw[number:]) if answer.locate(entry.cursor) is None)
            return


def decode(raw: RawEntries) -> list[Entry]:
    """Turn Redis' stream entries into ours: (id, [b"t", type, b"d", data]); more where the fence rises."""
    entries = []
    for entry_id, fields in raw:
        fence, _, seq = entry_id.partition(b"-")
        before = Cursor.parse(fields[_BEFORE].decode()) if len(fields) > _BEFORE else None
        entries.append(Entry(Cursor(int(fence), int(seq)), fields[1].decode(), fields[3], before))
    return entries
