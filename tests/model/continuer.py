"""Who lets an answer that was cut off go on as the same message: as `chats.service` and `.turns` do it."""

from __future__ import annotations

from collections.abc import Iterator

from chatapp.models import Status
from chatapp.storage import keys
from chatapp.storage.scripts import REOPEN, SCHEDULE, UNLIST, Call, chat_keys
from tests.model.checks import entries
from tests.model.world import CHAT, LISTED, OWNER, State, Step, World, hint, message_id, work

__all__ = ("Continuer",)


class Continuer:
    """Presses Continue under an answer that has ended with some text, and is not complete."""

    def __init__(self, world: World) -> None:
        self._world = world

    def steps(self, state: State) -> Iterator[Step]:
        turn, phase = state.asker
        match state.going_on:
            case () if state.reopens and phase == "done":
                saved = self._world.saved(state.redis, turn)
                if saved and saved.outcome and saved.text and saved.outcome.status is not Status.COMPLETED:
                    after = state._replace(going_on=("send", saved.raw_outcome))
                    yield Step("continuer: has read how it ended", 0, after)
            case ("send", outcome):
                yield from self._reopen(state, turn, outcome)
            case ("unlist", score):
                _, after = self._world.send(state, Call(UNLIST, [keys.DUE], work(turn), score))
                yield Step("continuer: unlists", 9, self._over(after))
        if state.going_on and state.faults:
            after = self._over(state)._replace(faults=state.faults - 1)
            yield Step("FAULT continuer's process crashes", 0, after)

    def _reopen(self, state: State, turn: int, outcome: bytes) -> Iterator[Step]:
        world, message = self._world, message_id(turn)
        attempt = f"a{state.reopens}"
        listed = Call(SCHEDULE, [keys.DUE], work(turn), LISTED, "")
        reopen = Call(
            REOPEN, chat_keys(CHAT, message), OWNER, f"on{state.reopens}", "print", attempt, message, outcome,
            "2026-01-01T00:00:00+00:00",
        )  # fmt: skip
        commands = listed, reopen, listed, hint(turn)
        replies, after = world.send(state, *commands)
        after = self._noted(state, after)
        verdict = replies[1]
        if verdict[0] == "OK" or verdict[2:] == [attempt.encode()]:
            after = self._over(after)
            if state.reader.phase == "done":
                # The page hears that its answer goes on, and comes back with what it has.
                after = after._replace(reader=state.reader._replace(phase="away"))
        else:
            after = after._replace(going_on=("unlist", replies[2][1].decode()))
        yield Step(f"continuer: goes on: {verdict[0]}", 9, after)
        for number, broken in world.partly(state, *commands):
            # The same call is sent again: a client repeats what got no reply.
            label = f"continuer: goes on, FAULT {number} of 4 done, no reply"
            yield Step(label, 0, self._noted(state, broken))

    def _noted(self, before: State, after: State) -> State:
        """Remember the entries of the old log: no new one may have the id of one of them."""
        there = set(entries(self._world, after.redis))
        old = [entry for entry in entries(self._world, before.redis) if entry not in there]
        return after._replace(lost=after.lost.union(old))

    def _over(self, state: State) -> State:
        return state._replace(going_on=(), reopens=state.reopens - 1)
