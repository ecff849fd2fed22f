"""All states that can be reached, breadth first: so the first violation has a shortest trace."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from time import process_time
from typing import NamedTuple

from chatapp.storage import keys
from chatapp.storage.scripts import Command
from tests.model.checks import Checks, entries
from tests.model.continuer import Continuer
from tests.model.memory import Patch
from tests.model.people import Asker, Readers, Stopper
from tests.model.workers import Workers
from tests.model.world import CHAT, EPOCH, Config, State, Step, Violation, World, message_id

__all__ = ("Found", "Result", "search")


class Found(NamedTuple):
    """A violation, and the steps that lead to it."""

    what: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        steps = "".join(f"\n{number:3}. {label}" for number, label in enumerate(self.trace, 1))
        return f"{self.what}{steps}"


class Result(NamedTuple):
    found: Found | None
    states: int
    transitions: int
    databases: int
    seconds: float
    #: Whether every state that can be reached was.
    complete: bool

    def __str__(self) -> str:
        extent = "all" if self.complete else "the first"
        return (
            f"{extent} {self.states} states, {self.transitions} transitions, {self.databases} databases, "
            f"{self.seconds:.1f} s of CPU"
        )


class System:
    """Everything that can happen next."""

    def __init__(self, config: Config, patch: Patch | None) -> None:
        self.world = World(config, patch)
        self.workers = Workers(self.world)
        self.readers = Readers(self.world)
        self.parts: list[Asker | Stopper | Continuer | Workers] = [
            Asker(self.world), Stopper(self.world), Continuer(self.world), self.workers,
        ]  # fmt: skip
        self.checks = Checks(self.world, self.readers, self.workers)

    def steps(self, state: State) -> Iterator[Step]:
        for part in self.parts:
            yield from part.steps(state)
        if self.world.config.viewer:
            yield from self.readers.steps(state)
        yield from self._time(state)
        yield from self._storage(state)

    def _time(self, state: State) -> Iterator[Step]:
        """All leases run out. A fault where a worker has something to do: it was frozen for that long."""
        generation = self.world.generation(state.redis)
        leased = self.world.active(state.redis) and int(generation[b"lease"]) > state.now
        if leased or any(score > state.now for score in self.world.due(state.redis).values()):
            after = state._replace(now=(state.now // EPOCH + 1) * EPOCH)
            if self.world.config.recent:
                after = after._replace(snapshot=-1)
            if not self.workers.busy(state):
                yield Step("time passes", 1, after)
            elif state.faults:
                yield Step("FAULT a worker is frozen until all leases ran out", 0,
                           after._replace(faults=state.faults - 1))  # fmt: skip

    def _storage(self, state: State) -> Iterator[Step]:
        """Redis loses its tail, which a crash decides and an earlier fsync prepares; or evicts a log."""
        world = self.world
        if state.snapshot < 0 and state.rollbacks and state.faults:
            after = state._replace(
                snapshot=state.redis, faults=state.faults - 1, rollbacks=state.rollbacks - 1
            )
            yield Step("(what is in Redis now will be brought back)", 0, after)
        elif state.snapshot >= 0 and state.snapshot != state.redis:
            after = self._without(state, state.snapshot)
            now = state.now + world.config.restart_ms
            yield Step("FAULT Redis loses its tail", 0, after._replace(snapshot=-1, now=now))
        if state.evictions and state.faults and world.active(state.redis):
            turn = state.asker[0]
            if world.log(state.redis, turn):
                _, gone = world.send(state, Command("DEL", keys.log(CHAT, message_id(turn))))
                after = self._without(state, gone.redis)
                after = after._replace(faults=state.faults - 1, evictions=state.evictions - 1)
                yield Step("FAULT Redis evicts the log", 0, after)

    def _without(self, state: State, redis: int) -> State:
        there = set(entries(self.world, redis))
        lost = [entry for entry in entries(self.world, state.redis) if entry not in there]
        return state._replace(redis=redis, lost=state.lost.union(lost))


def search(config: Config, patch: Patch | None = None, *, limit: int | None = None) -> Result:
    """Search without the collector: a million states hold no circle, and it would look through them often."""
    gc.disable()
    try:
        return _search(config, patch, limit)
    finally:
        gc.enable()


def _search(config: Config, patch: Patch | None, limit: int | None) -> Result:
    """Visit every state, check each, and check that each comes to a good end when nothing disturbs it.

    Quiet ends: in every state the steps that are no fault and no whim are ranked, and the first is noted. A
    state whose chain of notes does not arrive at a good end is a violation. As every state has such a chain,
    and there are finitely many, no fair run without faults can avoid its end either.
    """
    begun = process_time()
    system = System(config, patch)
    start = system.world.start()
    numbers = {start: 0}
    states = [start]
    #: Where each state was first reached from, and how.
    parents: list[tuple[int, str]] = [(-1, "")]
    quiet: list[int] = []
    transitions = 0
    found: Found | None = None

    def trace(number: int, *more: str) -> tuple[str, ...]:
        labels = list(more[::-1])
        while number > 0:
            number, label = parents[number]
            labels.append(label)
        return tuple(labels[::-1])

    at = 0
    while at < len(states) and found is None and (limit is None or at < limit):
        state = states[at]
        best = 0
        note = -1
        label = ""
        try:
            for step in system.steps(state):
                if step.after == state:
                    continue
                transitions += 1
                number = numbers.get(step.after)
                if number is None:
                    number = numbers[step.after] = len(states)
                    states.append(step.after)
                    parents.append((at, step.label))
                    label = step.label
                    system.checks.check(step.after)
                    label = ""
                if step.rank > best:
                    best, note = step.rank, number
            if note < 0:
                system.checks.check_end(state)
        except Violation as violation:
            found = Found(str(violation), trace(at, *([label] if label else [])))
        quiet.append(note)
        at += 1
    complete = found is None and at == len(states)
    if complete and (stuck := _endless(quiet)) is not None:
        found = Found("I8: goes round for ever", trace(stuck))
    seconds = process_time() - begun
    databases = len(system.world.memory._databases)
    return Result(found, len(states), transitions, databases, seconds, complete)


def _endless(quiet: list[int]) -> int | None:
    """Return a state whose notes lead in a circle."""
    good = bytearray(len(quiet))
    for number in range(len(quiet)):
        chain = []
        at = number
        while at >= 0 and not good[at]:
            good[at] = 2
            chain.append(at)
            at = quiet[at]
            if at >= 0 and good[at] == 2:
                return number
        for member in chain:
            good[member] = 1
    return None
