"""Who asks, who stops, and who reads: as `chats.service`, `answers.hub` and `answers.viewer` do it.

Positions, resets and holes are decided by the program's own `LiveAnswer` and `SavedAnswer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from chatapp.answers.lease import KEEP_LOG
from chatapp.answers.live import Hole, LiveAnswer, SavedAnswer
from chatapp.answers.loading import _LOST, needs_log
from chatapp.models import Outcome, Status
from chatapp.storage import keys
from chatapp.storage.scripts import BEGIN, DIGEST, SCHEDULE, STOP, UNLIST, Call, chat_keys
from tests.model.workers import entries_of
from tests.model.world import (
    CHAT,
    LISTED,
    OWNER,
    Reader,
    State,
    Step,
    Violation,
    World,
    hint,
    message_id,
    work,
)

__all__ = ("Asker", "Readers", "Stopper")

_STOPPED = msgspec.json.encode(Outcome(status=Status.STOPPED))
_DIGESTED = msgspec.json.encode(Outcome(status=Status.STOPPED, sha256="of the text"))


class Asker:
    """Asks one question after the other, each under a request id of its own."""

    def __init__(self, world: World) -> None:
        self._world = world

    def steps(self, state: State) -> Iterator[Step]:
        turn, phase = state.asker
        world = self._world
        match phase:
            case "ask":
                yield from self._ask(state, turn)
            case _ if phase.startswith("unlist"):
                _, after = world.send(state, Call(UNLIST, [keys.DUE], work(turn), phase.split()[1]))
                yield Step(f"asker: unlists turn {turn}", 9, after._replace(asker=(turn, "done")))
            case _ if turn < world.config.turns and not world.active(state.redis):
                yield Step(f"asker: goes on to turn {turn + 1}", 9, state._replace(asker=(turn + 1, "ask")))

    def _ask(self, state: State, turn: int) -> Iterator[Step]:
        world = self._world
        # What the chat says is its head: what `service` learns from reading it, or from STALE.
        head = world.hash(state.redis, keys.chat(CHAT)).get(b"head", b"").decode()
        listed = Call(SCHEDULE, [keys.DUE], work(turn), LISTED, "")
        commands = listed, self._begin(turn, head), listed, hint(turn)
        replies, after = world.send(state, *commands)
        verdict = replies[1][0]
        # As `service` does: what is there already may be this very turn, and stays listed.
        ours = verdict == "OK" or (
            replies[1][2:] == [message_id(turn).encode()] and "own turn unlisted" not in world.config.planted
        )
        phase = "done" if ours else f"unlist {replies[2][1].decode()}"
        yield Step(f"asker: begins turn {turn}: {verdict}", 9, after._replace(asker=(turn, phase)))
        for number, broken in world.partly(state, *commands):
            yield Step(f"asker: begins turn {turn}, FAULT {number} of 4 done, no reply", 0, broken)

    def _begin(self, turn: int, head: str) -> Call:
        answer, question = message_id(turn), f"{turn:031x}f"
        return Call(
            BEGIN, chat_keys(CHAT, answer), OWNER, f"r{turn}", "print", 1, head, question,
            _head(question), "?", answer, _head(answer), "2026-01-01T00:00:00+00:00", "title", "title",
        )  # fmt: skip


class Stopper:
    """Presses Stop, at any time after the turn has begun."""

    def __init__(self, world: World) -> None:
        self._world = world

    def steps(self, state: State) -> Iterator[Step]:
        world = self._world
        turn, phase = state.asker
        match state.stopper:
            case () if state.stops and phase == "done":
                yield from self._stop(state, turn)
                return
            case ("read",):
                saved = world.saved(state.redis, turn)
                then = ("digest", saved.raw_outcome) if saved and saved.outcome else ()
                yield Step("stopper: reads the text", 9, state._replace(stopper=then))
            case ("digest", outcome):
                call = Call(DIGEST, [keys.messages(CHAT)], message_id(turn), outcome, _DIGESTED)
                (reply,), after = world.send(state, call)
                yield Step(f"stopper: saves the digest: {reply[0]}", 9, after._replace(stopper=()))
        if state.stopper and state.faults:
            after = state._replace(stopper=(), faults=state.faults - 1)
            yield Step("FAULT stopper's process crashes", 0, after)

    def _stop(self, state: State, turn: int) -> Iterator[Step]:
        answer = message_id(turn)
        call = Call(STOP, chat_keys(CHAT, answer), OWNER, answer, _STOPPED, KEEP_LOG)
        (reply,), after = self._world.send(state, call)
        after = after._replace(stops=state.stops - 1)
        ours = reply[0] == "OK"
        yield Step(f"stopper: stops: {reply[0]}", 0, after._replace(stopper=("read",) if ours else ()))
        for _, broken in self._world.partly(state, call):
            yield Step("stopper: stops, FAULT no reply", 0, broken)


class Readers:
    """One viewer of the last turn, and the hub that reads for it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._turn = world.config.turns
        self._answers: dict[tuple[Any, ...], LiveAnswer | SavedAnswer | None] = {}

    def steps(self, state: State) -> Iterator[Step]:
        reader = state.reader
        match reader.phase:
            case "away":
                if state.asker == (self._turn, "done"):
                    yield self._connect(state)
            case "waiting" | "on":
                yield from self._follow(state)

    def text(self, raw: tuple[Any, ...], count: int) -> str:
        """The text of a log's first entries."""
        answer = self._answer(("live", raw[:count]))
        assert answer is not None
        return answer.text

    def _connect(self, state: State) -> Step:
        saved = self._world.saved(state.redis, self._turn)
        if saved is None:
            # Redis lost the question itself.
            return Step("viewer: 404", 6, state._replace(reader=state.reader._replace(phase="gone")))
        hub: tuple[Any, ...] = ("saved", saved.text, saved.outcome, saved.last, False)
        if saved.outcome is None or needs_log(self._made(hub), state.reader.cursor):
            hub = self._read(state)
        reader = self._found(state.reader._replace(hub=hub))
        return Step(f"viewer: connects: {_seen(reader)}", 6, state._replace(reader=reader))

    def _follow(self, state: State) -> Iterator[Step]:
        reader = state.reader
        assert reader.hub is not None
        if reader.hub[0] == "live" and self._made(reader.hub).outcome is None:
            raw = self._world.log(state.redis, self._turn)
            top = reader.hub[1][-1][0]
            news = tuple(entry for entry in raw if entry[0] > top)
            if news:
                hub: tuple[Any, ...] = ("live", reader.hub[1] + news)
                if self._answer(hub) is None:
                    hub = self._read(state)
                moved = self._found(reader._replace(hub=hub))
                yield Step(f"viewer: reads on: {_seen(moved)}", 6, state._replace(reader=moved))
            elif not raw or raw[-1][0] != top:
                moved = self._found(reader._replace(hub=self._read(state)))
                yield Step(f"viewer: audit, reads anew: {_seen(moved)}", 6, state._replace(reader=moved))
        if reader.phase == "waiting":
            moved = self._take(reader, None)
            yield Step(f"viewer: waited in vain: {_seen(moved)}", 5, state._replace(reader=moved))
        if state.reconnects:
            away = reader._replace(phase="away", hub=None)
            after = state._replace(reader=away, reconnects=state.reconnects - 1)
            yield Step("viewer: loses its connection", 0, after)

    def _read(self, state: State) -> tuple[Any, ...]:
        if raw := self._world.log(state.redis, self._turn):
            hub = ("live", raw)
            if self._answer(hub) is None:
                raise Violation("the log has a hole")
            return hub
        saved = self._world.saved(state.redis, self._turn)
        if saved is not None and saved.outcome is not None:
            return ("saved", saved.text, saved.outcome, saved.last, True)
        return ("saved", "", _LOST, None, True)

    def _found(self, reader: Reader) -> Reader:
        """Go on from the viewer's cursor in a hub that has changed, or been found."""
        assert reader.hub is not None
        if reader.cursor is None:
            return self._take(reader, 0)
        answer = self._made(reader.hub)
        position = answer.locate(reader.cursor)
        if position is None and reader.phase != "on":
            behind = answer.outcome is None and (answer.top is None or reader.cursor > answer.top)
            if behind:
                return reader._replace(phase="waiting")
        return self._take(reader, position)

    def _take(self, reader: Reader, position: int | None) -> Reader:
        """Take everything that is new, as `Viewer.take` and the page do."""
        assert reader.hub is not None
        answer = self._made(reader.hub)
        cursor, text = reader.cursor, reader.text
        while (update := answer.since(position)) is not None:
            if not update.reset and cursor is not None and update.cursor <= cursor:
                raise Violation(f"the viewer gets {update.cursor} after {cursor}")
            text = update.text if update.reset else text + update.text
            position, cursor = update.position, update.cursor
        over = answer.outcome is not None
        return Reader(
            "done" if over else "on", answer.top if over else cursor, text, None if over else reader.hub
        )

    def _made(self, hub: tuple[Any, ...]) -> LiveAnswer | SavedAnswer:
        answer = self._answer(hub)
        assert answer is not None
        return answer

    def _answer(self, hub: tuple[Any, ...]) -> LiveAnswer | SavedAnswer | None:
        """The program's own object for a hub, made once; None where entries leave a hole."""
        if hub[0] == "saved":
            _, text, outcome, last, log_read = hub
            return SavedAnswer(text, outcome, last, log_read=log_read)
        if hub not in self._answers:
            live: LiveAnswer | None = LiveAnswer()
            assert live is not None
            try:
                live.apply(entries_of(hub[1]))
            except Hole:
                live = None
            self._answers[hub] = live
        return self._answers[hub]


def _head(message: str) -> bytes:
    return (
        b'{"id":"%s","parent_id":null,"role":"assistant","model":"m","created_at":"2026-01-01T00:00:00Z"}'
        % (message.encode())
    )


def _seen(reader: Reader) -> str:
    return f"{reader.phase} {reader.cursor} {reader.text!r}"
