"""Tell the commands that are sent to Redis from those that scripts make inside it: INFO counts both alike."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex

from benchmarks.measure import redis_command

__all__ = ("Commands", "monitored")

#: How MONITOR begins a command that a script made, after the time.
_IN_SCRIPT = b"[0 lua]"


@dataclass
class Commands:
    """The commands of a Redis: `sent` by its clients, and `in_scripts`."""

    sent: int = 0
    in_scripts: int = 0


@asynccontextmanager
async def monitored(port: int) -> AsyncIterator[Commands]:
    """Count the commands while the block runs; the counts are there after it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    writer.write(b"*1\r\n$7\r\nMONITOR\r\n")
    await reader.readline()
    commands, last = Commands(), token_hex().encode()
    counting = asyncio.create_task(_count(reader, commands, last))
    try:
        yield commands
        # Everything before this has been read once it is.
        await asyncio.to_thread(redis_command, port, "ECHO", last.decode())
        await counting
    finally:
        counting.cancel()
        writer.close()


async def _count(reader: asyncio.StreamReader, commands: Commands, last: bytes) -> None:
    """Read lines such as `+1763600000.123456 [0 lua] "HSET" …` until one that holds `last`."""
    while last not in (line := await reader.readline()):
        if line.split(b" ", 1)[1].startswith(_IN_SCRIPT):
            commands.in_scripts += 1
        else:
            commands.sent += 1
