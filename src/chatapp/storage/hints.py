"""Hints that work is waiting: a stream that the workers read as one consumer group."""

from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from chatapp.storage import keys
from chatapp.storage.connections import BLOCK_MS
from chatapp.storage.scripts import Command, run_in_order

__all__ = ("announcement", "forget_worker", "next_hints")

#: Hints in the stream, about; what is trimmed is found in the list of what is due.
_KEPT = 1000
#: Hints that one worker takes at once.
_TAKEN = 50


def announcement(work: str) -> Command:
    """Return the command that tells the workers that `work` ("<chat id> <message id>") waits."""
    return Command("XADD", keys.WAKE, "MAXLEN", "~", _KEPT, "*", "work", work)


async def next_hints(redis: Redis, worker: str) -> list[str]:
    """Wait for work that is announced, and return it; nothing after `BLOCK_MS`.

    Each hint comes to one worker, once.
    """
    group = ("GROUP", keys.WAKE_GROUP, worker, "COUNT", _TAKEN, "BLOCK", BLOCK_MS, "NOACK")
    reply: Any
    try:
        [reply] = await run_in_order(redis, Command("XREADGROUP", *group, "STREAMS", keys.WAKE, ">"))
    except ResponseError as error:
        if not str(error).startswith("NOGROUP"):
            raise
        with suppress(ResponseError):
            await run_in_order(redis, Command("XGROUP", "CREATE", keys.WAKE, keys.WAKE_GROUP, 0, "MKSTREAM"))
        return []
    if not reply:
        return []
    # A map in RESP3, pairs in RESP2.
    [hints] = reply.values() if isinstance(reply, dict) else [entries for _, entries in reply]
    return [fields[1].decode() for _, fields in hints]


async def forget_worker(redis: Redis, worker: str) -> None:
    """Take a worker that ends off the lists."""
    await run_in_order(
        redis,
        Command("XGROUP", "DELCONSUMER", keys.WAKE, keys.WAKE_GROUP, worker),
        Command("ZREM", keys.WORKERS, worker),
    )
