"""The Lua scripts: every change of a chat's state is one of them, atomic and safe to repeat."""

import hashlib
from collections.abc import Awaitable, Sequence
from importlib.resources import files
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from chatapp.storage import keys
from chatapp.storage.line import Client

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
    replies = await _send(redis, commands)
    first = next((n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)), None)
    if first is not None:
        again = commands[first:]
        for script in {command.script for command in again if isinstance(command, Call)}:
            await redis.script_load(script.source)
        replies[first:] = await _send(redis, again)
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(command, Call) and not isinstance(reply, Exception):
            reply[0] = reply[0].decode()
    return replies


def _send(redis: Redis, commands: Sequence[Command]) -> Awaitable[list[Any]]:
    assert isinstance(redis, Client)
    # Joined: a system call takes only a few pieces at a time.
    return redis.line.ask(b"".join([command.packed for command in commands]), len(commands))
