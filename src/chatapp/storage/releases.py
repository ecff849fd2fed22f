"""The files of the last releases' pages, for whoever asks another release's process for them in a deploy."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from chatapp.storage import keys
from chatapp.storage.scripts import Command, run_in_order

__all__ = ("publish_files", "read_file")

#: Releases that are kept, the last started first: one is replaced, and perhaps comes back.
_KEPT = 3


async def publish_files(redis: Redis, version: str, files: Mapping[str, bytes]) -> None:
    """Leave a release's files for the others, and take away those of the oldest."""
    [[seconds, _]] = await run_in_order(redis, Command("TIME"))
    pairs = [word for pair in files.items() for word in pair]
    _, _, old = await run_in_order(
        redis,
        Command("HSET", keys.files(version), *pairs),
        Command("ZADD", keys.RELEASES, int(seconds), version),
        Command("ZRANGE", keys.RELEASES, 0, -_KEPT - 1),
    )
    for name in old:
        unlink = Command("UNLINK", keys.files(name.decode()))
        await run_in_order(redis, unlink, Command("ZREM", keys.RELEASES, name))


async def read_file(redis: Redis, version: str, name: str) -> bytes | None:
    """Return a file of a release that has run here of late; None when it is not known."""
    content: Any
    [content] = await run_in_order(redis, Command("HGET", keys.files(version), name))
    return None if content is None else bytes(content)
