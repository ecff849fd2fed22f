"""The workers: claim, read, write, end, hand over, as `answers.runner`, `generation` and `outbox` do it.

What is written, and what a verdict means, is decided by the program's own `Outbox`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from chatapp.answers.generation import CALLS, interrupted
from chatapp.answers.lease import KEEP_LOG
from chatapp.answers.lease import Lease as OutboxLease
from chatapp.answers.live import Hole, LiveAnswer
from chatapp.answers.log import decode
from chatapp.answers.outbox import Outbox
from chatapp.models import Cursor, Entry, EntryType, Outcome, Status
from chatapp.storage import keys
from chatapp.storage.appends import Append, Batch, verdicts
from chatapp.storage.scripts import BEAT, CLAIM, DUE, RELEASE, SCHEDULE, UNLIST, Call, Command, chat_keys
from tests.model.world import CHAT, LEASE, State, Step, Worker, World, hint, message_id, work

__all__ = ("Workers", "entries_of", "name")

_GIVEN_UP = msgspec.json.encode(interrupted("no_progress", "Several times over."))
_TAKEN_OVER = interrupted("worker_lost", "Lost.")
_COMPLETED = Outcome(status=Status.COMPLETED, finish_reason="stop")


class Workers:
    def __init__(self, world: World) -> None:
        self._world = world
        self._config = world.config
        self._outboxes: dict[tuple[Worker, bool], tuple[list[Call], int]] = {}
        self._taken: dict[tuple[Worker, str], Worker] = {}

    def steps(self, state: State) -> Iterator[Step]:
        for at, worker in enumerate(state.workers):
            if at and worker == state.workers[at - 1]:
                continue
            match worker.phase:
                case "idle":
                    yield from self._look(state, at)
                    continue
                case "claiming":
                    yield from self._claim(state, at, worker.turn, worker.nonce, "claims again")
                case "reading":
                    yield self._read(state, at)
                case "writing":
                    yield from self._write(state, at)
                case "unlisting":
                    yield self._unlist(state, at)
                case "putting off":
                    yield self._put_off(state, at)
                case "released":
                    yield from self._announce(state, at)
            if state.faults:
                after = _put(state, at, Worker())._replace(faults=state.faults - 1)
                yield Step(f"FAULT worker {name(worker)} crashes", 0, after)

    def busy(self, state: State) -> bool:
        """Whether a worker would do something long before a lease runs out: all but one that is fenced."""
        owner = self._world.generation(state.redis).get(b"owner", b"")
        return any(
            worker.phase != "idle" and (worker.phase != "writing" or name(worker).encode() == owner)
            for worker in state.workers
        )

    def _look(self, state: State, at: int) -> Iterator[Step]:
        """Take a hint, or what is due."""
        due = self._world.send(state, Call(DUE, [keys.DUE], 100, 300_000))[0][0][1:]
        for turn in range(1, self._config.turns + 1):
            if self._world.hinted(state.redis, turn):
                _, taken = self._world.send(state, Command("ZREM", keys.WAKE, work(turn)))
                yield from self._claim(taken, at, turn, state.nonces, "takes the hint, claims")
                if state.faults:
                    yield Step("FAULT the hint gets lost", 0, taken._replace(faults=state.faults - 1))
            if work(turn).encode() in due:
                yield from self._claim(state, at, turn, state.nonces, "reaps, claims")

    def _claim(self, state: State, at: int, turn: int, nonce: int, verb: str) -> Iterator[Step]:
        label = f"worker n{nonce}: {verb}"
        message = message_id(turn)
        claim = Call(
            CLAIM, chat_keys(CHAT, message), message, f"n{nonce}", LEASE, self._config.attempts, _GIVEN_UP,
            KEEP_LOG, CALLS,
        )  # fmt: skip
        # Claims come at different milliseconds, though the clock of this world stands still.
        (verdict, *_), _ = self._world.send(state, claim)
        later = LEASE + {"GONE": 99, "CLOSED": 97}.get(verdict[0], nonce)
        look_again = Call(SCHEDULE, [keys.DUE], work(turn), later, "")
        (listed, reply), after = self._world.send(state, look_again, claim)
        after = self._count(after, nonce)
        match reply:
            case ["OK", fence, seq]:
                # The first claim needs to read nothing.
                phase = "writing" if int(seq) == 1 else "reading"
                worker = Worker(phase, turn, nonce, int(fence), int(seq))
            case ["HELD", left]:
                worker = Worker("putting off", turn, seq=int(left))
            case ["CLOSED", _, age] if age < LEASE:
                # An end this young may yet be lost: stays listed as it is.
                put_off = "ended put off" in self._config.planted
                worker = Worker("putting off", turn, seq=6 * LEASE) if put_off else Worker()
            case _:
                worker = Worker("unlisting", turn, seq=int(listed[1]))
        yield Step(f"{label}: {_shown(reply)}", 7, _put(after, at, worker))
        for number, broken in self._world.partly(state, look_again, claim):
            worker = Worker("claiming", turn, nonce)
            lost = _put(broken, at, worker)._replace(nonces=max(state.nonces, nonce + 1))
            yield Step(f"{label}, FAULT {number} of 2 done, no reply", 0, lost)

    def _unlist(self, state: State, at: int) -> Step:
        worker = state.workers[at]
        if worker.seq < 0:
            call: Command = Command("ZREM", keys.DUE, work(worker.turn))
        else:
            call = Call(UNLIST, [keys.DUE], work(worker.turn), worker.seq)
        _, after = self._world.send(state, call)
        return Step("worker: unlists", 8, _put(after, at, Worker()))

    def _put_off(self, state: State, at: int) -> Step:
        """List work for when its lease is over; by what was heard, which need not be so any more."""
        worker = state.workers[at]
        call = Call(SCHEDULE, [keys.DUE], work(worker.turn), worker.seq, "XX")
        _, after = self._world.send(state, call)
        return Step(f"worker: puts it off by {worker.seq} ms", 8, _put(after, at, Worker()))

    def _count(self, state: State, nonce: int) -> State:
        """Use up a nonce whose claim took effect; one that Redis never kept is as good as new."""
        used = self._world.generation(state.redis).get(b"owner") == b"n%d" % nonce
        return state._replace(nonces=max(state.nonces, nonce + 1)) if used else state

    def _read(self, state: State, at: int) -> Step:
        worker = state.workers[at]
        live = LiveAnswer()
        mine = Cursor(worker.fence, worker.seq)
        entries = entries_of(self._world.log(state.redis, worker.turn))
        try:
            live.apply(entry for entry in entries if entry.cursor <= mine)
        except Hole:
            return Step(f"worker {name(worker)}: cannot read the log", 8, _put(state, at, Worker()))
        asked = self._world.generation(state.redis).get(b"asked") == b"1"
        after = worker._replace(phase="writing", base=live.text, asked=asked)
        return Step(f"worker {name(worker)}: has read {live.text!r}", 8, _put(state, at, after))

    def _write(self, state: State, at: int) -> Iterator[Step]:
        worker = state.workers[at]
        all_ = len(self._plan(worker))
        sizes = {min(worker.sealed + 1, all_), all_}
        if worker.confirmed < worker.sealed:
            sizes.add(worker.sealed)
        for sealed in sorted(sizes):
            sending = worker._replace(sealed=sealed)
            calls = self._calls(sending, beat=False)
            if not calls:
                continue
            replies, after = self._world.send(state, *calls)
            label = f"worker {name(worker)}: sends {self._shown(sending)}"
            after = _put(after, at, self._take(sending, calls, replies))
            yield Step(
                f"{label}: {', '.join(_shown(reply) for reply in replies)}", 8 if sealed == all_ else 0, after
            )
            for number, broken in self._world.partly(state, *calls):
                lost = f"{label}, FAULT {number} of {len(calls)} done, no reply"
                yield Step(lost, 0, _put(broken, at, sending))
        if worker.sealed == worker.confirmed:
            calls = self._calls(worker, beat=True)
            replies, after = self._world.send(state, *calls)
            after = _put(after, at, self._take(worker, calls, replies))
            yield Step(f"worker {name(worker)}: beats: {_shown(replies[0])}", 0, after)
        if state.handovers:
            yield from self._release(state, at)

    def _release(self, state: State, at: int) -> Iterator[Step]:
        """Give the lease back: at a deploy, which uses up no attempt, or after a failure, which does."""
        worker = state.workers[at]
        message = message_id(worker.turn)
        state = state._replace(handovers=state.handovers - 1)
        for counted, why in ((0, "a deploy"), (1, "a failure")):
            call = Call(RELEASE, chat_keys(CHAT, message), message, worker.fence, name(worker), counted)
            (reply,), after = self._world.send(state, call)
            gone = Worker("released", worker.turn)
            label = f"worker {name(worker)}: releases after {why}"
            yield Step(f"{label}: {_shown(reply)}", 0, _put(after, at, gone))
            for _, broken in self._world.partly(state, call):
                # Not tried again for ever: the lease runs out.
                yield Step(f"{label}, FAULT no reply, leaves", 0, _put(broken, at, Worker()))

    def _announce(self, state: State, at: int) -> Iterator[Step]:
        turn = state.workers[at].turn
        commands = Call(SCHEDULE, [keys.DUE], work(turn), 0, ""), hint(turn)
        _, after = self._world.send(state, *commands)
        yield Step("worker: announces what it released", 8, _put(after, at, Worker()))

    def _plan(self, worker: Worker) -> list[tuple[EntryType, str]]:
        """All that this worker would ever write; every claim gets another text from its provider."""
        if self._gives_up(worker):
            return [(EntryType.END, "")]
        letter = chr(ord("A") + worker.nonce)
        texts = [(EntryType.DELTA, f"{letter}{number}") for number in range(self._config.texts)]
        restarts = worker.base and self._config.strategy == "restart" and not worker.asked
        again = [(EntryType.RESET, "")] if restarts else []
        return [*again, *texts, (EntryType.END, "")]

    def _gives_up(self, worker: Worker) -> bool:
        """Whether it ends what it has taken over."""
        return bool(worker.base) and self._config.strategy == "none" and not worker.asked

    def _outbox(self, worker: Worker, *, beat: bool) -> Outbox:
        lease = OutboxLease(CHAT, message_id(worker.turn), name(worker), Cursor(worker.fence, worker.seq))
        outbox = Outbox(lease, worker.base, lambda _: None, ())
        for kind, text in self._plan(worker)[: worker.sealed]:
            if kind is EntryType.DELTA:
                outbox.add(text)
            elif kind is EntryType.RESET:
                outbox.reset()
            else:
                outbox.finish(_TAKEN_OVER if self._gives_up(worker) else _COMPLETED)
            outbox._seal()
        for sent in outbox.unsent()[: worker.confirmed]:
            outbox.take(sent, ["OK"])
        outbox._renewed = float("-inf") if beat else float("inf")
        return outbox

    def _calls(self, worker: Worker, *, beat: bool) -> list[Call]:
        known = self._outboxes.get((worker, beat))
        if known is None:
            # A call each: what the worker sends in one is done as a whole or not at all, so that is less.
            calls = [
                Batch([unsent]) if isinstance(unsent, Append) else unsent
                for unsent in self._outbox(worker, beat=beat).unsent()
            ]
            known = self._outboxes[worker, beat] = calls, 0
        return known[0]

    def _take(self, worker: Worker, calls: list[Call], replies: list[Any]) -> Worker:
        key = worker, repr(replies)
        known = self._taken.get(key)
        if known is None:
            outbox = self._outbox(worker, beat=False)
            entries = iter(outbox.unsent())
            for call, reply in zip(calls, replies, strict=True):
                [answer] = verdicts(call, reply) if isinstance(call, Batch) else [reply]
                sent = call if call.script is BEAT else next(entries)
                if not outbox.closed.is_set() and not isinstance(answer, Exception):
                    outbox.take(sent, answer)
            if not outbox.closed.is_set():
                known = worker._replace(confirmed=outbox._confirmed)
            else:
                unlists = outbox.lost is None and "ended unlisted" in self._config.planted
                known = Worker("unlisting", worker.turn, seq=-1) if unlists else Worker()
            self._taken[key] = known
        return known

    def _shown(self, worker: Worker) -> str:
        plan = self._plan(worker)
        return " ".join(
            f"{worker.fence}-{worker.seq + 1 + number} {plan[number][1] or plan[number][0].name.lower()}"
            for number in range(worker.confirmed, worker.sealed)
        )


def entries_of(raw: tuple[Any, ...]) -> list[Entry]:
    return decode([(b"%d-%d" % at, fields) for at, fields in raw])


def name(worker: Worker) -> str:
    return f"n{worker.nonce}"


def _put(state: State, at: int, worker: Worker) -> State:
    """Workers are alike: sorted, states that differ in their order alone are one."""
    others = state.workers[:at] + state.workers[at + 1 :]
    return state._replace(workers=tuple(sorted((*others, worker))))


def _shown(reply: list[Any]) -> str:
    return " ".join(word.decode() if isinstance(word, bytes) else str(word) for word in reply)
