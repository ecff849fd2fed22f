"""What must hold in every state, and how a quiet world must end."""

from __future__ import annotations

from typing import Any

from chatapp.storage import keys
from tests.model.memory import Stream
from tests.model.people import Readers
from tests.model.workers import Workers
from tests.model.world import CHAT, JITTER, LEASE, State, Violation, World, message_id, work

__all__ = ("Checks",)


class Checks:
    def __init__(self, world: World, readers: Readers, workers: Workers) -> None:
        self._world = world
        self._readers = readers
        self._workers = workers
        self._fine: set[int] = set()

    def check(self, state: State) -> None:
        """Raise a Violation if this state must not be."""
        if state.redis not in self._fine:
            for turn in range(1, self._world.config.turns + 1):
                self._check_log(state.redis, turn)
            self._fine.add(state.redis)
        if state.lost:
            self._check_ids(state)
        self._check_reader(state)
        self._check_listing(state)
        config = self._world.config
        spent = config.faults - state.faults + config.handovers - state.handovers
        spent += config.reopens - state.reopens
        if state.nonces > config.turns + spent:
            raise Violation(f"I5: {state.nonces} claims after {spent} faults and handovers")

    def check_end(self, state: State) -> None:
        """Raise a Violation if a world in which nothing happens any more is not at its end."""
        world = self._world
        if state.asker != (world.config.turns, "done"):
            raise Violation("I8: a question is never asked")
        if world.active(state.redis):
            raise Violation("I8: the answer never ends")
        if state.stopper or state.going_on or any(worker.phase != "idle" for worker in state.workers):
            raise Violation("I8: somebody never comes to an end")
        if world.config.viewer and state.reader.phase not in ("done", "gone"):
            raise Violation("I8: the viewer waits for ever")

    def _check_log(self, redis: int, turn: int) -> None:
        world = self._world
        raw = world.log(redis, turn)
        generation = world.generation(redis)
        ours = generation.get(b"message") == message_id(turn).encode()
        active = ours and world.active(redis)
        saved = world.saved(redis, turn)
        if saved is not None and saved.outcome is not None and active:
            raise Violation("I4: the saved message has an end, and the answer runs")
        if not raw:
            return
        if [at[1] for at, _ in raw] != list(range(len(raw))):
            raise Violation("I2: the log has a hole, or was made anew")
        fences = [at[0] for at, _ in raw]
        if fences != sorted(fences):
            raise Violation("I3: a fence falls along the log")
        ends = [number for number, (_, fields) in enumerate(raw) if fields[1] == b"e"]
        if ends not in ([], [len(raw) - 1]):
            raise Violation("I4: an end that is not the last entry")
        if saved is None:
            raise Violation("I4: a log without its message")
        if bool(ends) is active:
            raise Violation("I4: a log with an end that runs, or one without that does not")
        if ours and (int(generation[b"fence"]), int(generation[b"seq"])) != raw[-1][0]:
            raise Violation("I3: the generation does not stand where its log does")
        text = self._readers.text(raw, len(raw))
        if ends and (saved.outcome is None or saved.text != text):
            raise Violation(f"I4: saved {saved.text!r}, logged {text!r}")
        if active and int(generation[b"bytes"]) != len(text):
            raise Violation("I4: the count of bytes is wrong")

    def _check_ids(self, state: State) -> None:
        lost = {(key, at): fields for key, at, fields in state.lost}
        for key, at, fields in entries(self._world, state.redis):
            if lost.get((key, at), fields) != fields:
                raise Violation(f"I3: {at[0]}-{at[1]} was {lost[key, at]} and is {fields}")

    def _check_listing(self, state: State) -> None:
        """An answer that runs is looked at within a lease, whoever has just seen it as something else."""
        if not self._world.active(state.redis):
            return
        due = self._world.due(state.redis).get(work(state.asker[0]).encode())
        if due is not None and due > state.now + LEASE + JITTER:
            raise Violation(f"I8: nobody looks at it for {due - state.now:.0f} ms")

    def _check_reader(self, state: State) -> None:
        reader = state.reader
        if reader.cursor is None or reader.phase == "gone":
            return
        raw = self._world.log(state.redis, self._world.config.turns)
        seq = reader.cursor.seq
        if seq < len(raw) and raw[seq][0] == tuple(reader.cursor):
            text = self._readers.text(raw, seq + 1)
            if reader.text != text:
                raise Violation(f"I2: the viewer at {reader.cursor} has {reader.text!r}, the log {text!r}")


def entries(world: World, redis: int) -> list[tuple[bytes, tuple[int, int], tuple[bytes, ...]]]:
    """Every entry of every log of a database."""
    found: list[Any] = []
    for turn in range(1, world.config.turns + 1):
        key = keys.log(CHAT, message_id(turn)).encode()
        value = world.memory[redis].get(key)
        if isinstance(value, Stream):
            found += [(key, at, fields) for at, fields in value.entries]
    return found
