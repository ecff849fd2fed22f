"""What must be true of every answer after any fault: the invariants I1 to I8.

I1 the stored text is the expected one, or where the terms say so a beginning of it · I2 ids rise, every
viewer's text is the log's at the same id · I3 fences never fall, no id has two texts · I4 exactly one end,
and it is the last entry · I5 no more upstream calls than allowed, none that nobody owns · I6 no secret in
logs and errors · I7 idle processes hold no more than before · I8 text grows or a definite state is shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from tests.chaos.tracked import Broken, Figures, Tracked
from tests.chaos.viewer import Viewer, order
from tests.support.provider import Call, ScriptedProvider

__all__ = ("LEASE", "STUCK", "Oracle", "Saved")

#: Seconds of the worker's lease, and the time within which an answer must show a sign of life (I8).
LEASE = 10.0
STUCK = LEASE + 5.0
#: Seconds after which an upstream call that nobody owns must be closed (I5), and what a busy machine adds.
ORPHANED = 2.0
BUSY = 1.0
FINAL = ("completed", "stopped", "interrupted", "failed")


@dataclass
class Saved:
    """An answer as Redis has it."""

    exists: bool
    status: str
    text: str
    outcome: dict[str, Any] | None
    log: list[tuple[str, str, bytes]]

    @property
    def claims(self) -> int:
        return sum(kind == "c" for _, kind, _ in self.log)

    @property
    def logged(self) -> int:
        """Characters that the log has."""
        text = b""
        for _, kind, data in self.log:
            text = b"" if kind == "x" else text + data * (kind == "d")
        return len(text.decode())


class Oracle:
    """Judge answers by what Redis holds, what viewers saw, and what the provider was asked."""

    def __init__(self, redis: Redis, provider: ScriptedProvider) -> None:
        self.redis = redis
        self.provider = provider
        self.figures = Figures()
        #: Provider keys of processes that are stopped, and cannot hang up.
        self.frozen: set[str] = set()
        self._calls: dict[str, list[Call]] = {}
        self._indexed = 0

    def calls(self, answer: Tracked) -> list[Call]:
        """The upstream calls made for an answer: its prompt is asked by nobody else."""
        for call in self.provider.calls[self._indexed :]:
            asked = [message["content"] for message in call.messages if message["role"] == "user"]
            self._calls.setdefault(asked[-1], []).append(call)
        self._indexed = len(self.provider.calls)
        return self._calls.get(answer.prompt, [])

    async def unfinished(self) -> list[str]:
        """Return what is listed as due and has not ended; what has is listed for another minute."""
        unfinished = []
        listed: Any = await self.redis.zrange("generations:due", 0, -1)
        for work in listed:
            chat_id = _text(work).split()[0]
            state = _text(await self.redis.hget(f"chat:{{{chat_id}}}:generation", "state") or "")
            if state in ("queued", "running"):
                unfinished.append(_text(work))
        return unfinished

    async def read(self, answer: Tracked) -> Saved:
        """Read an answer and its log straight from Redis, and remember every entry."""
        name = answer.message_id
        fields = [name, f"{name}:text", f"{name}:end"]
        pipe: Any = self.redis.pipeline(transaction=True)
        pipe.hmget(f"chat:{{{answer.chat_id}}}:messages", fields)
        pipe.hget(answer.generation_key, "state")
        pipe.xrange(answer.log_key)
        (head, text, end), state, raw = await pipe.execute()
        log = [(i.decode(), f[b"t"].decode(), f[b"d"]) for i, f in raw]
        outcome = json.loads(end) if end else None
        status = outcome["status"] if outcome else (state or b"").decode()
        self._check_log(answer, log)
        return Saved(head is not None, status, (text or b"").decode(), outcome, log)

    async def state(self, answer: Tracked) -> str:
        """Say where an answer stands, for whoever has to find out why."""
        raw: Any = await self.redis.hgetall(answer.generation_key)
        generation = {name.decode(): value.decode() for name, value in raw.items()}
        due = await self.redis.zscore("generations:due", f"{answer.chat_id} {answer.message_id}")
        seconds, _ = await self.redis.time()
        looked = "not listed as due" if due is None else f"due {due / 1000 - seconds:+.0f} s from now"
        lease = float(generation.get("lease") or 0) / 1000 - seconds
        calls = [
            f"{(call.authorization or '')[15:22]} sent {call.sent}{' over' if call.over else ''}"
            for call in self.calls(answer)
        ]
        entries = await self.redis.xlen(answer.log_key)
        return f"{generation}, {looked}, lease {lease:+.0f} s, {entries} entries, calls {calls}"

    def _check_log(self, answer: Tracked, log: list[tuple[str, str, bytes]]) -> None:
        digest, fence = hashlib.sha256(), 0
        for number, (entry_id, kind, data) in enumerate(log):
            its_fence, seq = order(entry_id)
            if its_fence < fence:
                answer.broken.append(f"I3: fence falls from {fence} to {its_fence}")
            if seq != number:
                answer.broken.append(f"I2: entry {entry_id} is number {number} of its log")
            fence = its_fence
            if kind == "x":
                digest = hashlib.sha256()
            elif kind == "d":
                digest.update(data)
            elif kind == "e" and number != len(log) - 1:
                answer.broken.append(f"I4: the end {entry_id} is not the last entry")
            answer.learn(entry_id, digest.digest(), "the log")
            what = hashlib.sha256(kind.encode() + data).digest()
            if answer.entries.setdefault(entry_id, what) != what:
                answer.broken.append(f"I3: entry {entry_id} is not what it was")

    async def observe(self, answers: Iterable[Tracked]) -> None:
        """Check what can be known of answers that still run."""
        for answer in answers:
            await self.read(answer)
            self._raise(answer)

    async def ended(self, answer: Tracked, within: float = 30.0) -> Saved:
        """Wait for the definite end in Redis."""
        deadline = time.monotonic() + within
        while True:
            saved = await self.read(answer)
            gone = not saved.exists and answer.terms.may_vanish
            if saved.outcome is not None or gone:
                answer.ended_at = answer.ended_at or time.monotonic()
                return saved
            if time.monotonic() > deadline:
                self.figures.endless += 1
                state = await self.state(answer)
                raise Broken(f"I8: {answer} is {saved.status or 'nowhere'} after {within:.0f} s; {state}")
            await asyncio.sleep(0.05)

    async def check(self, *answers: Tracked, within: float = 30.0) -> None:
        """Wait for the answers' ends, and check everything about them."""
        for answer in answers:
            saved = await self.ended(answer, within)
            await self._viewers_end(answer, saved, max(within, STUCK))
            # Again: Redis may have forgotten meanwhile that it had ended.
            await self._judge(answer, await self.ended(answer, within))

    async def _viewers_end(self, answer: Tracked, saved: Saved, within: float) -> None:
        tasks = [viewer.task for viewer in answer.viewers]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=within)
            if pending:
                self.figures.endless += len(pending)
                states = [
                    f"{v.last_id or 'nothing'}, {v.connections} connections, refused {v.refusals[-3:]}"
                    for v in answer.viewers
                    if v.task in pending
                ]
                for viewer in answer.viewers:
                    await viewer.leave()
                raise Broken(
                    f"I8: {answer} ended as {saved.status}, but a viewer does not learn it: {states}"
                )

    async def _judge(self, answer: Tracked, saved: Saved) -> None:
        self._judge_end(answer, saved)
        for viewer in answer.viewers:
            self._judge_viewer(answer, viewer, saved)
        await self._judge_calls(answer, saved)
        self.figures.answers += 1
        self.figures.takeovers += max(0, saved.claims - 1)
        self._raise(answer)

    def _judge_end(self, answer: Tracked, saved: Saved) -> None:
        terms = answer.terms
        if not saved.exists and terms.may_vanish:
            return
        if saved.status not in terms.statuses and not (terms.may_reopen and saved.status in FINAL):
            answer.broken.append(
                f"ended as {saved.status} ({saved.outcome}), not as {sorted(terms.statuses)}"
            )
        if saved.status == "completed" and saved.text != answer.text:
            answer.broken.append(f"I1: completed with {len(saved.text)} of {len(answer.text)} characters")
        if not answer.begins_with(saved.text):
            answer.broken.append("I1: the stored text is no beginning of the answer")
        ends = [entry_id for entry_id, kind, _ in saved.log if kind == "e"]
        if saved.log and len(ends) != 1:
            answer.broken.append(f"I4: {len(ends)} ends")
        sha256 = (saved.outcome or {}).get("sha256")
        if saved.log and sha256 and sha256 != hashlib.sha256(saved.text.encode()).hexdigest():
            answer.broken.append("I1: the digest is of another text")

    def _judge_viewer(self, answer: Tracked, viewer: Viewer, saved: Saved) -> None:
        self.figures.events += viewer.events
        self.figures.resets += viewer.resets
        self.figures.connections += viewer.connections
        if viewer.doubled:
            self.figures.doubled += len(viewer.doubled)
            answer.broken.append(f"I2: ids did not rise: {viewer.doubled}")
        if viewer.resets > answer.terms.resets:
            answer.broken.append(f"I2: {viewer.resets} resets, allowed {answer.terms.resets}")
        if viewer.gone:
            if not answer.terms.may_vanish:
                answer.broken.append("I8: a viewer was told that there is no such answer")
            return
        if viewer.end is None or answer.terms.may_reopen:
            return
        if viewer.text != saved.text:
            lost = len(viewer.text) < len(saved.text)
            self.figures.lost += lost
            self.figures.doubled += not lost
            answer.broken.append(
                f"I2: a viewer has {len(viewer.text)} characters, stored are {len(saved.text)}"
            )
        if saved.outcome and viewer.end["status"] != saved.status:
            answer.broken.append(f"I4: a viewer saw {viewer.end['status']}, stored is {saved.status}")

    async def _judge_calls(self, answer: Tracked, saved: Saved) -> None:
        calls = self.calls(answer)
        if len(calls) > answer.terms.calls:
            answer.broken.append(f"I5: {len(calls)} upstream calls, allowed {answer.terms.calls}")
        deadline = time.monotonic() + ORPHANED + BUSY
        while open_calls := [call for call in calls if not (call.over or call.finished)]:
            if all(call.script.fault("ignoreclose") is not None for call in open_calls):
                break
            if any(key in (call.authorization or "") for call in open_calls for key in self.frozen):
                deadline = time.monotonic() + ORPHANED + BUSY
            if time.monotonic() > deadline:
                answer.broken.append(f"I5: {len(open_calls)} upstream calls still open after the end")
                break
            await asyncio.sleep(0.02)

    def _raise(self, answer: Tracked) -> None:
        if answer.broken:
            found = list(dict.fromkeys(answer.broken))
            answer.broken.clear()
            raise Broken(f"{answer}:\n  " + "\n  ".join(found))

    def check_secrets(self, logs: dict[str, str], secrets: Iterable[str]) -> None:
        """Nothing secret in what processes printed (I6); `secrets` also holds the questions asked."""
        for secret in set(secrets):
            for name, log in logs.items():
                if secret and secret in log:
                    line = next(line for line in log.splitlines() if secret in line)
                    raise Broken(f"I6: the log of {name} has {secret!r}: {line[:300]}")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
