"""The model's Redis against a real one: thousands of random calls, every reply and all of the data.

Both take the time from the test: in front of each script goes a shim whose `redis.call('TIME')` reads the
key `clock`, where the test has put it. Nothing else of the scripts is changed.
"""

import random
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from chatapp.storage import keys, scripts
from chatapp.storage.scripts import Script, chat_keys
from tests.conftest import Report
from tests.model.memory import ALL, Database, Hash, Memory, RedisFailure, SortedSet, Stream

CHAT = "c" * 32
ANSWERS = ("a" * 32, "b" * 32)
SHIM = """
local redis = {pcall = redis.pcall, call = function(...)
  local words = {...}
  if words[1] ~= 'TIME' then
    return redis.call(...)
  end
  local ms = redis.call('GET', 'clock')
  return {string.format('%.0f', math.floor(ms / 1000)), string.format('%.0f', ms % 1000 * 1000)}
end}
"""
RUNS, STEPS = 120, 60


class Pair:
    """A real Redis and the model's, given the same calls."""

    def __init__(self, url: str) -> None:
        self.real: Any = Redis.from_url(url, protocol=2)
        self.memory = Memory()
        self.sources = {name: SHIM + getattr(scripts, name.upper()).source for name in ALL}
        self.shas = {name: self.real.script_load(source) for name, source in self.sources.items()}
        self.calls = 0
        self.verdicts: set[tuple[str, str]] = set()
        self.begin_anew()

    def begin_anew(self) -> None:
        self.real.flushdb()
        self.number = self.memory.empty
        # Later than every fence, as a real clock is, and not round.
        self.now = 1_790_000_000_123
        self.snapshots: list[int] = []

    def script(self, name: str, keys_: tuple[str, ...], *arguments: str | bytes | int) -> Any:
        words = [
            word if isinstance(word, bytes) else str(word).encode()
            for word in (len(keys_), *keys_, *arguments)
        ]
        script: Script = getattr(scripts, name.upper())
        expected, self.number = self.memory.run(
            self.number, self.now, (b"EVALSHA", script.sha.encode(), *words)
        )
        self.real.set("clock", self.now)
        try:
            reply: Any = self.real.execute_command("EVALSHA", self.shas[name], *words)
        except ResponseError:
            assert isinstance(expected, RedisFailure), (name, arguments, expected)
            reply = expected
        assert reply == expected, (name, arguments)
        self.compare()
        self.calls += 1
        verdict = "error" if isinstance(reply, RedisFailure) else reply[0].decode()
        self.verdicts.add((name, verdict))
        if name == "append" and verdict == "OK":
            # What was not added is told behind it.
            self.verdicts.update((name, said.decode()) for said in reply[2::3])
        return reply

    def plain(self, *words: str) -> None:
        raw = tuple(word.encode() for word in words)
        expected, self.number = self.memory.run(self.number, self.now, raw)
        assert self.real.execute_command(*words) == expected
        self.compare()

    def restore(self, number: int) -> None:
        """Put both back to what they held before."""
        self.number = number
        self.real.flushdb()
        for key, value in self.memory[number].items():
            match value:
                case Hash(fields):
                    self.real.hset(key, mapping=dict(fields))
                case SortedSet(scores):
                    self.real.zadd(key, dict(scores))
                case Stream(_, entries, expire):
                    for (fence, seq), words in entries:
                        self.real.execute_command("XADD", key, f"{fence}-{seq}", *words)
                    if expire is not None:
                        self.real.expire(key, expire)

    def compare(self) -> None:
        assert self.memory[self.number] == self.read()

    def read(self) -> Database:
        database: Database = {}
        real = self.real
        for key in real.scan_iter():
            match real.type(key):
                case b"hash":
                    database[key] = Hash(tuple(sorted(real.hgetall(key).items())))
                case b"zset":
                    database[key] = SortedSet(tuple(sorted(real.zrange(key, 0, -1, withscores=True))))
                case b"stream":
                    raw = real.execute_command("XRANGE", key, "-", "+")
                    last = real.xinfo_stream(key)["last-generated-id"]
                    ttl = real.ttl(key)
                    database[key] = Stream(
                        _at(last),
                        tuple(
                            (_at(at), tuple(x for pair in fields.items() for x in pair)) for at, fields in raw
                        ),
                        None if ttl < 0 else -(-ttl // 10) * 10,
                    )
        return database


def _at(entry_id: bytes) -> tuple[int, int]:
    fence, _, seq = entry_id.partition(b"-")
    return int(fence), int(seq)


@pytest.mark.timeout(240)
def test_the_models_redis_is_redis(redis_url: str, report: Report) -> None:
    pair = Pair(redis_url)
    for run in range(RUNS):
        pair.begin_anew()
        _walk(pair, random.Random(run))
    pair.real.close()
    report.add(f"model: {pair.calls} script calls on Redis and on the model's Redis, the same")
    # A walk that meets nothing but refusals would prove little.
    assert {
        ("append", "OK"), ("append", "DUP"), ("append", "GAP"), ("append", "FENCED"), ("append", "CLOSED"),
        ("append", "GONE"), ("beat", "OK"), ("beat", "GAP"), ("beat", "FENCED"), ("beat", "CLOSED"),
        ("begin", "OK"), ("begin", "DUP"), ("begin", "BUSY"), ("begin", "STALE"), ("begin", "MISMATCH"),
        ("begin", "GONE"), ("claim", "OK"), ("claim", "HELD"), ("claim", "CLOSED"), ("claim", "GONE"),
        ("end", "OK"), ("end", "DUP"), ("end", "GAP"), ("end", "FENCED"), ("end", "CLOSED"), ("end", "GONE"),
        ("stop", "OK"), ("stop", "CLOSED"), ("stop", "GONE"), ("release", "OK"), ("release", "FENCED"),
        ("schedule", "OK"), ("due", "OK"), ("unlist", "OK"), ("unlist", "STALE"),
        ("digest", "OK"), ("digest", "STALE"), ("reopen", "OK"), ("reopen", "DUP"), ("reopen", "MISMATCH"),
        ("reopen", "BUSY"), ("reopen", "STALE"), ("reopen", "GONE"),
    } <= pair.verdicts  # fmt: skip


def _walk(pair: Pair, dice: random.Random) -> None:
    """Call at random: mostly what a worker would call now, often something that comes too late."""
    fences, nonces, head, claims = [1], ["n0"], "", 0
    scores: list[bytes] = []
    for step in range(STEPS):
        answer = dice.choice(ANSWERS)
        seq = _seq(pair)
        near = seq + dice.choice((0, 1, 1, 1, 1, 2))
        nonce = nonces[-1] if dice.random() < 0.85 else dice.choice([*nonces, ""])
        fence = fences[-1] if dice.random() < 0.85 else dice.choice(fences)
        current = _current(pair) if dice.random() < 0.9 else answer
        at = chat_keys(CHAT, current)
        work = f"{CHAT} {current}"
        text = dice.choice(("x", "Grüße 🦉", "", "a\0b"))
        kind = dice.choices(
            ("begin", "claim", "append", "end", "beat", "stop", "release", "schedule", "due", "time", "save",
             "restore", "delete", "unlist", "digest", "reopen"),
            (4, 8, 24, 3, 6, 2, 2, 4, 3, 6, 3, 2, 1, 4, 2, 4),
        )[0]  # fmt: skip
        match kind:
            case "begin":
                request, owner = dice.choice((f"r{step}", "r0", "r1")), dice.choices("oX", (9, 1))[0]
                create, below = int(dice.random() < 0.8), head if dice.random() < 0.8 else "nothing"
                reply = pair.script(
                    "begin", chat_keys(CHAT, answer), owner, request, dice.choices("fg", (4, 1))[0], create,
                    below, "q" * 32, "{}", "?", answer, "{}", "2026-01-01", "title", "m",
                )  # fmt: skip
                if not isinstance(reply, RedisFailure) and reply[0] == b"OK":
                    head = answer
                    fences.append(_at(reply[1])[0])
            case "claim":
                claims += 1
                mine = f"n{claims}" if dice.random() < 0.8 else nonce
                calls = dice.choices(((), (4,), (99,)), (2, 1, 1))[0]
                outcome = '{"status":"interrupted"}'
                reply = pair.script("claim", at, current, mine, 500, 3, outcome, 600, *calls)
                if not isinstance(reply, RedisFailure) and reply[0] == b"OK":
                    fences.append(int(reply[1]))
                    nonces.append(mine)
            case "append":
                letter = dice.choices("dx", (9, 1))[0]
                entries = dice.choice((1, 1, 2, 3))
                words = [
                    word
                    for number in range(entries)
                    for word in (nonce, near + number, letter, text, _place(dice))
                ]
                pair.script("append", at[:2] * entries, *words)
            case "end":
                pair.script("end", at, current, fence, nonce, near, "{}", "completed", 600, text)
            case "beat":
                place = dice.choice(((), (_place(dice),)))
                pair.script("beat", at, current, fence, nonce, near, 500, *place)
            case "stop":
                pair.script("stop", at, dice.choices("oX", (5, 1))[0], current, "{}", 600)
            case "release":
                pair.script("release", at, current, fence, nonce, dice.randrange(2))
            case "schedule":
                later, only = dice.choice((0, 500)), dice.choice(("", "XX"))
                scores += pair.script("schedule", (keys.DUE,), work, later, only)[1:]
            case "due":
                pair.script("due", (keys.DUE,), 100, 300_000)
            case "time":
                pair.now += dice.choice((0, 1, 400, 1000))
            case "save":
                pair.snapshots.append(pair.number)
            case "restore":
                if pair.snapshots:
                    pair.restore(dice.choice(pair.snapshots))
                    head = _field(pair, keys.chat(CHAT), b"head").decode()
            case "delete":
                pair.plain("DEL", keys.log(CHAT, current))
            case "digest":
                messages = keys.messages(CHAT)
                read = _field(pair, messages, f"{current}:end".encode()) if dice.random() < 0.8 else b"{}"
                pair.script("digest", (messages,), current, read, b'{"sha256":"%d"}' % step)
            case "reopen":
                request, owner = dice.choice((f"o{step}", "o0", "r0")), dice.choices("oX", (9, 1))[0]
                ended = _field(pair, keys.messages(CHAT), f"{current}:end".encode())
                reply = pair.script(
                    "reopen", at, owner, request, dice.choices("fg", (4, 1))[0], f"t{step}", current,
                    ended if dice.random() < 0.8 else b"{}", "2026-01-01",
                )  # fmt: skip
                if not isinstance(reply, RedisFailure) and reply[0] == b"OK":
                    fences.append(_at(reply[1])[0])
            case "unlist":
                pair.script("unlist", (keys.DUE,), work, scores[-1] if scores else b"1")


def _place(dice: random.Random) -> str:
    """A place in the provider's own stream, now and then."""
    return dice.choices(("resp_1 7 3", ""), (1, 4))[0]


def _field(pair: Pair, key: str, name: bytes) -> bytes:
    value = pair.memory[pair.number].get(key.encode(), Hash(()))
    assert isinstance(value, Hash)
    return dict(value.fields).get(name, b"")


def _seq(pair: Pair) -> int:
    return int(_field(pair, keys.generation(CHAT), b"seq") or 0)


def _current(pair: Pair) -> str:
    return _field(pair, keys.generation(CHAT), b"message").decode() or ANSWERS[0]
