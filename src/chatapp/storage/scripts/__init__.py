"""The Lua scripts: every change of a chat's state is one of them, atomic and safe to repeat."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, cast

import hiredis
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _AsyncHiredisParser
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from chatapp.storage import keys

__all__ = (
    "ADMIT",
    "APPEND",
    "BEAT",
    "BEGIN",
    "BRANCH",
    "CLAIM",
    "CONFIGURE",
    "DELETE",
    "DIGEST",
    "DUE",
    "END",
    "FORGET",
    "INDEX",
    "RELEASE",
    "REOPEN",
    "RESTORE",
    "SCHEDULE",
    "SELECT",
    "SHARE",
    "STOP",
    "TITLE",
    "TOLD",
    "UNLIST",
    "UNSHARE",
    "Call",
    "Command",
    "Reply",
    "Script",
    "chat_keys",
    "is_wrong_type",
    "run",
    "run_all",
    "run_in_order",
)

Argument = str | bytes | int
#: What a script answers: its verdict ("OK", "FENCED", …) and its details, numbers as int.
Reply = list[Any]


class Script:
    """One Lua script, known to Redis by its digest."""

    def __init__(self, name: str, *, prelude: bool = True) -> None:
        source = files(__package__)
        self.source = (source / f"{name}.lua").read_text()
        if prelude:
            self.source = (source / "prelude.lua").read_text() + self.source
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class Command:
    """A plain command, ready to be sent in one round trip with scripts."""

    __slots__ = ("packed",)

    def __init__(self, *words: Argument) -> None:
        self.packed: bytes = hiredis.pack_command(cast(Any, words))


class Call(Command):
    """A script with its keys and arguments, ready to be sent, again if need be."""

    __slots__ = ("script",)

    def __init__(self, script: Script, keys: Sequence[str], *arguments: Argument) -> None:
        super().__init__("EVALSHA", script.sha, len(keys), *keys, *arguments)
        self.script = script


ADMIT = Script("admit")
BEGIN = Script("begin")
REOPEN = Script("reopen")
SELECT = Script("select")
CONFIGURE = Script("configure")
CLAIM = Script("claim")
APPEND = Script("append", prelude=False)
END = Script("end")
BEAT = Script("beat")
STOP = Script("stop")
DELETE = Script("delete")
RESTORE = Script("restore")
RELEASE = Script("release")
SCHEDULE = Script("schedule", prelude=False)
DUE = Script("due")
BRANCH = Script("branch", prelude=False)
DIGEST = Script("digest", prelude=False)
INDEX = Script("index", prelude=False)
FORGET = Script("forget", prelude=False)
SHARE = Script("share", prelude=False)
UNSHARE = Script("unshare", prelude=False)
TITLE = Script("title", prelude=False)
TOLD = Script("told", prelude=False)
UNLIST = Script("unlist", prelude=False)


def chat_keys(chat_id: str, message_id: str) -> tuple[str, ...]:
    """Return the keys in the order in which the scripts' prelude takes them."""
    return (
        keys.generation(chat_id),
        keys.log(chat_id, message_id),
        keys.messages(chat_id),
        keys.chat(chat_id),
        keys.requests(chat_id),
    )


async def run(redis: Redis, call: Call) -> Reply:
    """Run one script; a failed one raises its error."""
    reply: Reply = (await run_in_order(redis, call))[0]
    return reply


async def run_in_order(redis: Redis, *commands: Command) -> list[Any]:
    """Run scripts and plain commands in one round trip, in order; the first that failed raises its error."""
    replies = await run_all(redis, commands)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def is_wrong_type(reply: object) -> bool:
    """Tell whether Redis has something else under a key than this program puts there."""
    return isinstance(reply, ResponseError) and "WRONGTYPE" in str(reply)


async def run_all(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Run scripts and plain commands in one round trip, in order; a failed one has its error in its place.

    After Redis forgot the scripts (restart, SCRIPT FLUSH) all are sent again from the first that is missing
    on: they are safe to repeat, and only so their order is kept. So must the plain commands be.
    """
    retry = redis.get_retry()
    replies = await _send(redis, commands) if retry is None else await _retried(retry, redis, commands)
    first = next((n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)), None)
    if first is not None:
        again = commands[first:]
        for script in {command.script for command in again if isinstance(command, Call)}:
            await redis.script_load(script.source)
        replies[first:] = await _send(redis, again)
    return replies


async def _send(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send all commands and read all replies.

    On the connection itself: redis-py's pipeline packs every argument in Python and sets a timeout for
    every reply, which costs more than all other work of a flush.
    """
    pool: Any = redis.connection_pool
    free = isinstance(pool, BlockingConnectionPool) and pool.can_get_connection()
    # Waiting costs two locks and a timeout, also where there is nothing to wait for.
    connection: AbstractConnection = pool.get_available_connection() if free else await pool.get_connection()
    try:
        if free:
            await pool.ensure_connection(connection)
        # Joined: a system call takes only a few pieces at a time.
        packed = b"".join([command.packed for command in commands])
        await connection.send_packed_command(packed, check_health=False)
        return await _read_all(connection, commands)
    except BaseException:
        # Replies that were not read would be taken for those of the next calls.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def _retried(retry: Retry, redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send as often as the client is set to: a pooled connection may have died while nobody used it."""
    replies: list[Any] = await retry.call_with_retry(lambda: _send(redis, commands), _nothing_to_mend)
    return replies


async def _nothing_to_mend(_: Exception) -> None:
    """`_send` has closed the broken connection itself."""


async def _read_all(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    """Read the replies. Most have arrived with the one before, and hiredis has them without any waiting."""
    parser: Any = connection._parser
    arrived: Any = parser._reader if isinstance(parser, _AsyncHiredisParser) else None
    replies = []
    for command in commands:
        reply: Any = arrived.gets() if arrived else NOT_ENOUGH_DATA
        if isinstance(reply, hiredis.PushNotification):
            await parser.handle_push_response(reply)
            reply = NOT_ENOUGH_DATA
        if reply is NOT_ENOUGH_DATA:
            try:
                reply = await connection.read_response()
            except ResponseError as error:
                reply = error
        elif isinstance(reply, RedisConnectionError):
            raise reply
        elif isinstance(reply, ReadOnlyError):
            # As `_Steady.read_response` does for replies that it reads.
            raise RedisConnectionError(str(reply))
        if isinstance(command, Call) and not isinstance(reply, Exception):
            reply[0] = reply[0].decode()
        replies.append(reply)
    return replies
