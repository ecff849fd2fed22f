"""A Redis small enough to be a value: the commands that the scripts use, and a Lua 5.1 that runs them.

A database is a dict that nobody changes once it has a number: `Memory` gives equal databases the same
number, so that a state of the model holds an int where its Redis is, and a script that was run once on a
database is never run on it again. `test_conformance` holds all of it against a real server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from chatapp.storage import scripts
from chatapp.storage.scripts import Script

__all__ = ("ALL", "Database", "Hash", "Memory", "Patch", "RedisFailure", "SortedSet", "Stream")

#: Has no types.
_lua51: Any = import_module("lupa.lua51")

ALL = (
    "append", "beat", "begin", "claim", "digest", "due", "end", "release", "reopen", "schedule", "stop",
    "unlist",
)  # fmt: skip

#: Script name ("prelude" too) -> a piece of its source, and what to put there instead.
Patch = Mapping[str, tuple[str, str]]


class RedisFailure(Exception):
    """An error reply."""


class Hash(NamedTuple):
    fields: tuple[tuple[bytes, bytes], ...]


class SortedSet(NamedTuple):
    scores: tuple[tuple[bytes, float], ...]


class Stream(NamedTuple):
    last: tuple[int, int]
    #: ((fence, seq), (field, value, …)).
    entries: tuple[tuple[tuple[int, int], tuple[bytes, ...]], ...]
    #: Seconds to live as EXPIRE set them; the model's clock does not use them up.
    expire: int | None


Value = Hash | SortedSet | Stream
Database = dict[bytes, Value]


class Memory:
    """All databases met so far, and what each script did to them."""

    def __init__(self, patch: Patch | None = None) -> None:
        self._numbers: dict[frozenset[tuple[bytes, Value]], int] = {}
        self._databases: list[Database] = []
        self._known: dict[tuple[Any, ...], tuple[Any, int]] = {}
        self._by_sha: dict[bytes, str] = {}
        self._lua = _Lua()
        for name in ALL:
            script: Script = getattr(scripts, name.upper())
            source = script.source
            for target in (name, "prelude"):
                old, new = (patch or {}).get(target, ("", ""))
                if old and (target == name or old in source):
                    assert source.count(old) == 1, f"{name}.lua has not exactly one {old!r}"
                    source = source.replace(old, new)
            self._by_sha[script.sha.encode()] = name
            self._lua.load(name, source)
        self.empty = self.number({})

    def __getitem__(self, number: int) -> Database:
        return self._databases[number]

    def number(self, database: Database) -> int:
        """Return the number of a database, the same for equal ones."""
        frozen = frozenset(database.items())
        number = self._numbers.get(frozen)
        if number is None:
            number = self._numbers[frozen] = len(self._databases)
            self._databases.append(database)
        return number

    def run(self, number: int, now: int, words: tuple[bytes, ...]) -> tuple[Any, int]:
        """Run a command as a client sends it; EVALSHA knows the project's scripts.

        Returns the reply (a failed one is a RedisFailure) and the number of the database afterwards.
        """
        key = (number, now, words)
        known = self._known.get(key)
        if known is None:
            database = dict(self._databases[number])
            reply: Any
            try:
                if words[0] == b"EVALSHA":
                    count = int(words[2])
                    keys, arguments = words[3 : 3 + count], words[3 + count :]
                    reply = self._lua.run(self._by_sha[words[1]], keys, arguments, database, now)
                else:
                    reply = execute(database, now, words)
            except RedisFailure as failure:
                # What the script did before it failed stays done.
                reply = failure
            known = self._known[key] = reply, self.number(database)
        return known


class _Lua:
    """Redis' way of running Lua: KEYS, ARGV, `redis.call`, and the conversions between the two."""

    def __init__(self) -> None:
        self._lua = _lua51.LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._globals = self._lua.globals()
        self._globals[b"redis"] = self._lua.table_from({b"call": self._call, b"pcall": self._pcall})
        self._compile = self._lua.eval(b"function(source) return assert(loadstring(source)) end")
        self._scripts: dict[str, Callable[[], Any]] = {}
        self._database: Database = {}
        self._now = 0

    def load(self, name: str, source: str) -> None:
        self._scripts[name] = self._compile(source.encode())

    def run(
        self, name: str, keys: tuple[bytes, ...], arguments: tuple[bytes, ...], database: Database, now: int
    ) -> Any:
        self._database, self._now = database, now
        self._globals[b"KEYS"] = self._lua.table_from(keys)
        self._globals[b"ARGV"] = self._lua.table_from(arguments)
        try:
            return self._reply(self._scripts[name]())
        except _lua51.LuaError as error:
            raise RedisFailure(str(error)) from None

    def _call(self, *words: object) -> Any:
        reply = execute(self._database, self._now, tuple(_argument(word) for word in words))
        return self._from_redis(reply)

    def _pcall(self, *words: object) -> Any:
        try:
            return self._call(*words)
        except RedisFailure as failure:
            return self._lua.table_from({b"err": str(failure).encode()})

    def _from_redis(self, reply: Any) -> Any:
        if reply is None:
            return False
        if isinstance(reply, list):
            return self._lua.table_from([self._from_redis(item) for item in reply])
        return reply

    def _reply(self, value: Any) -> Any:
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if isinstance(value, (int, float)):
            return int(value)
        if isinstance(value, bytes):
            return value
        if (error := value[b"err"]) is not None:
            raise RedisFailure(error.decode())
        items: list[Any] = []
        # An array ends at its first nil.
        while (item := value[len(items) + 1]) is not None:
            items.append(self._reply(item))
        return items


def _argument(word: object) -> bytes:
    if isinstance(word, bytes):
        return word
    if isinstance(word, (int, float)) and not isinstance(word, bool):
        return b"%.17g" % word
    raise RedisFailure("Lua redis lib command arguments must be strings or integers")


def execute(database: Database, now: int, words: tuple[bytes, ...]) -> Any:
    """Run one plain command on a database, which it changes."""
    name, *rest = words
    if name == b"TIME":
        return [b"%d" % (now // 1000), b"%d" % (now % 1000 * 1000)]
    command = _COMMANDS.get(name)
    if command is None:
        raise NotImplementedError(name)
    return command(database, *rest)


def _hmget(database: Database, key: bytes, *names: bytes) -> list[bytes | None]:
    fields = dict(_hash(database, key))
    return [fields.get(name) for name in names]


def _hget(database: Database, key: bytes, name: bytes) -> bytes | None:
    return dict(_hash(database, key)).get(name)


def _hset(database: Database, key: bytes, *pairs: bytes) -> int:
    if not pairs or len(pairs) % 2:
        raise RedisFailure("ERR wrong number of arguments for 'hset' command")
    fields = dict(_hash(database, key))
    before = len(fields)
    fields.update(zip(pairs[::2], pairs[1::2], strict=True))
    database[key] = Hash(tuple(sorted(fields.items())))
    return len(fields) - before


def _hsetnx(database: Database, key: bytes, name: bytes, value: bytes) -> int:
    return 0 if name in dict(_hash(database, key)) else _hset(database, key, name, value)


def _hdel(database: Database, key: bytes, *names: bytes) -> int:
    fields = _hash(database, key)
    left = tuple((name, value) for name, value in fields if name not in names)
    if left:
        database[key] = Hash(left)
    else:
        database.pop(key, None)
    return len(fields) - len(left)


def _xadd(database: Database, key: bytes, *words: bytes) -> bytes | None:
    make = words[0] != b"NOMKSTREAM"
    if not make:
        words = words[1:]
    entry_id, *fields = words
    if not fields or len(fields) % 2:
        raise RedisFailure("ERR wrong number of arguments for 'xadd' command")
    fence, _, seq = entry_id.partition(b"-")
    if not (fence.isdigit() and seq.isdigit()):
        raise RedisFailure("ERR Invalid stream ID specified as stream command argument")
    at = int(fence), int(seq)
    if at == (0, 0):
        raise RedisFailure("ERR The ID specified in XADD must be greater than 0-0")
    stream = _stream(database, key)
    if stream is None:
        if not make:
            return None
        stream = Stream((0, 0), (), None)
    if at <= stream.last:
        raise RedisFailure("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    database[key] = Stream(at, (*stream.entries, (at, tuple(fields))), stream.expire)
    return _id(at)


def _xrange(database: Database, key: bytes, low: bytes, high: bytes) -> list[Any]:
    assert (low, high) == (b"-", b"+")
    stream = _stream(database, key)
    return [[_id(at), list(fields)] for at, fields in stream.entries] if stream else []


def _expire(database: Database, key: bytes, seconds: bytes) -> int:
    stream = _stream(database, key)
    if stream is None:
        return 0
    database[key] = stream._replace(expire=int(seconds))
    return 1


def _exists(database: Database, key: bytes) -> int:
    return int(key in database)


def _del(database: Database, key: bytes) -> int:
    return int(database.pop(key, None) is not None)


def _zadd(database: Database, key: bytes, score: bytes, member: bytes) -> int:
    scores = dict(_sorted_set(database, key))
    added = member not in scores
    scores[member] = float(score)
    database[key] = SortedSet(tuple(sorted(scores.items())))
    return int(added)


def _zrem(database: Database, key: bytes, member: bytes) -> int:
    scores = dict(_sorted_set(database, key))
    removed = scores.pop(member, None) is not None
    if scores:
        database[key] = SortedSet(tuple(sorted(scores.items())))
    else:
        database.pop(key, None)
    return int(removed)


def _zscore(database: Database, key: bytes, member: bytes) -> bytes | None:
    score = dict(_sorted_set(database, key)).get(member)
    return None if score is None else b"%.17g" % score


def _zrangebyscore(database: Database, key: bytes, low: bytes, high: bytes, *limit: bytes) -> list[bytes]:
    assert limit[:2] == (b"LIMIT", b"0")
    found = sorted(
        (score, member) for member, score in _sorted_set(database, key) if float(low) <= score <= float(high)
    )
    return [member for _, member in found][: int(limit[2])]


_COMMANDS: dict[bytes, Callable[..., Any]] = {
    b"HMGET": _hmget,
    b"HGET": _hget,
    b"HSET": _hset,
    b"HSETNX": _hsetnx,
    b"HDEL": _hdel,
    b"XADD": _xadd,
    b"XRANGE": _xrange,
    b"EXPIRE": _expire,
    b"EXISTS": _exists,
    b"DEL": _del,
    b"UNLINK": _del,
    b"ZADD": _zadd,
    b"ZREM": _zrem,
    b"ZSCORE": _zscore,
    b"ZRANGEBYSCORE": _zrangebyscore,
}


def _id(at: tuple[int, int]) -> bytes:
    return b"%d-%d" % at


def _hash(database: Database, key: bytes) -> tuple[tuple[bytes, bytes], ...]:
    value = database.get(key, Hash(()))
    if not isinstance(value, Hash):
        raise RedisFailure("WRONGTYPE Operation against a key holding the wrong kind of value")
    return value.fields


def _sorted_set(database: Database, key: bytes) -> tuple[tuple[bytes, float], ...]:
    value = database.get(key, SortedSet(()))
    if not isinstance(value, SortedSet):
        raise RedisFailure("WRONGTYPE Operation against a key holding the wrong kind of value")
    return value.scores


def _stream(database: Database, key: bytes) -> Stream | None:
    value = database.get(key)
    if value is not None and not isinstance(value, Stream):
        raise RedisFailure("WRONGTYPE Operation against a key holding the wrong kind of value")
    return value
