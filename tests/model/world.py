"""The state of the model, and how its parts talk to its Redis.

Time is a number in the state and stands still but for three steps: a wait until every lease has run out and
everything listed is due (`EPOCH`), and Redis' restart (`RESTART`). That is the worst case for fences: they
are told apart by the clock, so a clock that stands still gives the fewest different ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from chatapp.models import Cursor
from chatapp.storage import keys
from chatapp.storage.messages import Saved, _decode, _fields
from chatapp.storage.scripts import Command
from tests.model.memory import Hash, Memory, Patch, RedisFailure, SortedSet, Stream

__all__ = (
    "CHAT", "EPOCH", "JITTER", "LEASE", "LISTED", "OWNER", "RESTART", "Config", "Reader", "State", "Step",
    "Violation", "Worker", "World", "message_id", "work",
)  # fmt: skip

CHAT, OWNER = "c" * 32, "o"
#: In ms; LISTED: how soon a turn that begins is looked at if its hint is lost.
LEASE, LISTED, RESTART, EPOCH = 10_000, 2_000, 50, 20_000
#: Milliseconds within which lie the different times at which things are listed while the clock stands still.
JITTER = 100


class Violation(Exception):
    """Something that must never happen."""


class Config(NamedTuple):
    """How much there is of everything."""

    texts: int = 2
    workers: int = 2
    turns: int = 1
    faults: int = 2
    rollbacks: int = 1
    evictions: int = 0
    stops: int = 1
    handovers: int = 0
    reconnects: int = 0
    reopens: int = 0
    viewer: bool = True
    #: What a worker does that takes an answer over which has text: none (end it), prefill, restart.
    strategy: str = "none"
    attempts: int = 3
    restart_ms: int = RESTART
    #: Redis loses what came after the last wait at most: less than a lease's time.
    recent: bool = False
    #: Bugs of the model's own parts, as `mutations` plants them.
    planted: frozenset[str] = frozenset()


class Worker(NamedTuple):
    """A process that runs answers; an outbox is what it holds of the one it runs."""

    #: idle, claiming (no reply yet), reading, writing, unlisting, putting off, released
    phase: str = "idle"
    turn: int = 0
    nonce: int = -1
    fence: int = 0
    seq: int = 0
    #: The text that the log held before the claim.
    base: str = ""
    #: Whether a person has asked for it to go on.
    asked: bool = False
    #: Entries that are made, and entries that Redis has confirmed.
    sealed: int = 0
    confirmed: int = 0


class Reader(NamedTuple):
    """A viewer, and the hub of its process as far as this answer goes."""

    #: away, waiting (for a log that is behind its cursor), on, done, gone
    phase: str = "away"
    cursor: Cursor | None = None
    text: str = ""
    #: ("live", entries) or ("saved", text, outcome, last, whether the log was looked for).
    hub: tuple[Any, ...] | None = None


class State(NamedTuple):
    redis: int
    now: int
    faults: int
    rollbacks: int
    evictions: int
    stops: int
    handovers: int
    reconnects: int
    reopens: int
    workers: tuple[Worker, ...]
    #: The turn that is asked, and: ask, unlist (and the score it was listed with), done.
    asker: tuple[int, str] = (1, "ask")
    #: (), ("read",), or ("digest", outcome as it was read).
    stopper: tuple[Any, ...] = ()
    #: (), ("send", outcome as it was read), or ("unlist", score).
    going_on: tuple[Any, ...] = ()
    reader: Reader = Reader()
    #: What a crash of Redis will bring back.
    snapshot: int = -1
    #: Entries that a log once held and that were lost: (key, id, fields).
    lost: frozenset[tuple[bytes, tuple[int, int], tuple[bytes, ...]]] = frozenset()
    #: Claims that took effect; each has a nonce, and a text, of its own.
    nonces: int = 0


class Step(NamedTuple):
    """One transition. `rank`: 0 for what a quiet world need not do, else the higher the sooner it is done."""

    label: str
    rank: int
    after: State


class World:
    """The parts' common ground: configuration, Redis, and short names for reading it."""

    def __init__(self, config: Config, patch: Patch | None = None) -> None:
        self.config = config
        self.memory = Memory(patch)
        self._words: dict[bytes, tuple[bytes, ...]] = {}

    def start(self) -> State:
        config = self.config
        return State(
            redis=self.memory.empty,
            now=10 * EPOCH,
            faults=config.faults,
            rollbacks=config.rollbacks,
            evictions=config.evictions,
            stops=config.stops,
            handovers=config.handovers,
            reconnects=config.reconnects,
            reopens=config.reopens,
            workers=(Worker(),) * config.workers,
        )

    def send(self, state: State, *commands: Command) -> tuple[list[Any], State]:
        """Run commands in one go; return their replies as the program sees them, and the state after."""
        redis = state.redis
        replies = []
        for command in commands:
            words = self._words.get(command.packed)
            if words is None:
                words = self._words[command.packed] = _unpack(command.packed)
            reply, redis = self.memory.run(redis, state.now, words)
            # Nobody damages anything here: what `append` takes for damage is what it has done.
            if isinstance(reply, RedisFailure) or (isinstance(reply, list) and b"WRONGTYPE" in reply):
                raise Violation(f"{words[0].decode()} fails: {reply}")
            if words[0] == b"EVALSHA":
                reply = [reply[0].decode(), *reply[1:]]
            replies.append(reply)
        return replies, state._replace(redis=redis)

    def partly(self, state: State, *commands: Command) -> Iterator[tuple[int, State]]:
        """Yield how many took effect, and the state, where the connection broke and no reply arrived.

        Where none did nothing has happened, which is no step.
        """
        if not state.faults:
            return
        before = state
        state = state._replace(faults=state.faults - 1)
        for number, command in enumerate(commands, 1):
            _, state = self.send(state, command)
            if state.redis != before.redis:
                yield number, state

    def hash(self, redis: int, key: str) -> dict[bytes, bytes]:
        value = self.memory[redis].get(key.encode())
        return dict(value.fields) if isinstance(value, Hash) else {}

    def generation(self, redis: int) -> dict[bytes, bytes]:
        return self.hash(redis, keys.generation(CHAT))

    def active(self, redis: int) -> bool:
        return self.generation(redis).get(b"state") in (b"queued", b"running")

    def log(self, redis: int, turn: int) -> tuple[Any, ...]:
        value = self.memory[redis].get(keys.log(CHAT, message_id(turn)).encode())
        return value.entries if isinstance(value, Stream) else ()

    def due(self, redis: int) -> dict[bytes, float]:
        value = self.memory[redis].get(keys.DUE.encode())
        return dict(value.scores) if isinstance(value, SortedSet) else {}

    def saved(self, redis: int, turn: int) -> Saved | None:
        fields = self.hash(redis, keys.messages(CHAT))
        names = _fields(message_id(turn))
        values = [fields.get(name.encode()) for name in names]
        return _decode(values) if values[0] is not None else None

    def hinted(self, redis: int, turn: int) -> bool:
        value = self.memory[redis].get(keys.WAKE.encode())
        return isinstance(value, SortedSet) and work(turn).encode() in dict(value.scores)


def message_id(turn: int) -> str:
    return f"{turn:032x}"


def work(turn: int) -> str:
    return f"{CHAT} {message_id(turn)}"


def hint(turn: int) -> Command:
    """The announcement, as a set: a hint that is there twice is one that is taken twice for nothing."""
    return Command("ZADD", keys.WAKE, 0, work(turn))


def _unpack(packed: bytes) -> tuple[bytes, ...]:
    """Read the words out of a command as it goes over the wire."""
    words = []
    at = packed.index(b"\r\n") + 2
    while at < len(packed):
        end = packed.index(b"\r\n", at)
        size = int(packed[at + 1 : end])
        words.append(packed[end + 2 : end + 2 + size])
        at = end + 4 + size
    return tuple(words)
