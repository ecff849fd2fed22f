"""The random run: many answers and viewers at once, and faults of every kind among them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import count

from redis.exceptions import RedisError

from tests.chaos import strikes_links, strikes_processes  # noqa: F401  # they register themselves
from tests.chaos.oracle import LEASE
from tests.chaos.plan import Fault, plan
from tests.chaos.strike import forgotten, shake, strike
from tests.chaos.tracked import Broken, Figures, Terms, Tracked
from tests.chaos.world import World, world
from tests.support.script import KINDS, Script

__all__ = ("Result", "Storm", "storm")

#: An answer of ten seconds, struck again and again, must have its end by then.
PATIENCE = 75.0
KINDS_OF_TEXT = sorted(KINDS)


@dataclass
class Result:
    """What a run did and found."""

    seed: int
    figures: Figures
    injected: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        ends = ", ".join(f"{n} {status}" for status, n in self.ends.most_common())
        return f"storm of seed {self.seed}: {self.figures} in {self.seconds:.0f} s; {ends}"


class Storm:
    """A world under fire."""

    def __init__(self, made: World, seed: int, answers: int) -> None:
        self.world = made
        self.result = Result(seed, made.oracle.figures)
        self.running: dict[str, Tracked] = {}
        #: Words that the next questions carry: faults that the provider makes.
        self.scripted: list[tuple[str, str]] = []
        #: Held while Redis is down or being put back: one fault at a time.
        self.redis_lock = asyncio.Lock()
        #: When owners were last taken away, and what Redis forgot (from, until): a question that was on its
        #: way at that moment is excused too.
        self.shaken_at = 0.0
        self.losses: list[tuple[float, float]] = []
        self._seed = seed
        self._slots = answers
        self._numbers = count()
        self._looked = asyncio.Event()
        self._over = False

    def note(self, fault: str, *answers: Tracked) -> None:
        """Note whom a fault has hit."""
        self.result.hit[fault] += len(answers)
        for answer in answers:
            answer.faults.append(fault)

    async def run(self, faults: list[Fault]) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            slots = [group.create_task(self._slot(number)) for number in range(self._slots)]
            looking = group.create_task(self._look())
            strikes: set[asyncio.Task[None]] = set()
            for fault in faults:
                await asyncio.sleep(fault.pause)
                task = group.create_task(self._strike(fault))
                strikes.add(task)
                task.add_done_callback(strikes.discard)
                # Faults may last, and overlap; but not without bound.
                while len(strikes) > 12:
                    await asyncio.wait(strikes, return_when=asyncio.FIRST_COMPLETED)
            if strikes:
                await asyncio.wait(strikes)
            self._over = True
            await asyncio.wait(slots)
            looking.cancel()
        await self._aftermath()
        self.result.seconds = time.monotonic() - began

    async def _strike(self, fault: Fault) -> None:
        try:
            await strike(self, fault)
        except Exception as error:
            self.find(f"fault {fault.number} ({fault.kind}): {type(error).__name__}: {error}")
        self.result.injected[fault.kind] += 1
        self.result.figures.faults += 1
        self._looked.set()

    def find(self, what: str) -> None:
        """Record a finding and go on."""
        self.result.findings.append(f"after {self.result.figures.faults} faults: {what}")

    async def _look(self) -> None:
        """After every fault, check what can be known of all that run."""
        while True:
            await self._looked.wait()
            self._looked.clear()
            for answer in list(self.running.values()):
                try:
                    with suppress(RedisError, OSError):
                        await self.world.oracle.observe([answer])
                except Broken as broken:
                    self.find(str(broken))

    async def _slot(self, slot: int) -> None:
        """Ask one question after another."""
        rng = random.Random(self._seed * 1000 + slot)
        while not self._over:
            number = next(self._numbers)
            try:
                await self._one(rng, number)
            except Exception as error:
                self.find(f"{type(error).__name__}: {error}")

    async def _one(self, rng: random.Random, number: int) -> None:
        rate = rng.choice((15, 25, 40))
        script = Script(
            n=rng.randint(2, 9) * rate,
            rate=rate,
            seed=self._seed * 100_000 + number,
            kind=rng.choice(KINDS_OF_TEXT),
        )
        fault, words = self.scripted.pop(0) if self.scripted else ("", "")
        answer = await self.world.ask(f"{script.prompt} {words}", terms=terms_of(words))
        self.world.answers.remove(answer)
        self.running[answer.message_id] = answer
        if answer.begun_at < self.shaken_at:
            shake(self, [answer])
        for marked_at, lost_at in self.losses[-3:]:
            if answer.begun_at < lost_at:
                forgotten(self, [answer], marked_at)
        if fault:
            self.note(fault, answer)
        try:
            saved = await self.world.oracle.ended(answer, PATIENCE)
            answer.ended_at = time.monotonic()
            self.result.ends[saved.status or "vanished"] += 1
            await self.world.oracle.check(answer, within=45)
        finally:
            self.running.pop(answer.message_id, None)
            for viewer in answer.viewers:
                await viewer.leave()

    async def _aftermath(self) -> None:
        """When all is quiet: nothing leaks, nothing secret was printed, nothing waits any more."""
        try:
            self.world.check_secrets()
            await self.world.idle({}, within=30)
            deadline = time.monotonic() + 2 * LEASE
            while left := await self.world.oracle.unfinished():
                if time.monotonic() > deadline:
                    raise Broken(f"I7: still listed as due, and not ended: {left}")
                await asyncio.sleep(0.2)
        except AssertionError as error:
            self.find(str(error))


def terms_of(words: str) -> Terms:
    """What the provider's scripted fault may make of an answer."""
    terms = Terms()
    if "fault=" in words and any(f"={name}" in words for name in ("rst", "eof", "error", "badjson", "nofin")):
        terms.excuse("interrupted", "failed", calls=2)
    if "status=" in words:
        terms.excuse(calls=2)
    return terms


async def storm(seed: int, faults: int, *, rate: float = 6.0, answers: int = 12) -> Result:
    """Inject so many faults into a world of three processes, and return what came of it."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(world(["--appendfsync", "everysec"]))
        await asyncio.gather(made.web("web1"), made.web("web2", inline=False), made.worker("worker"))
        # One session for all: questions that are asked at once would get one each.
        await made.persist("GET", "/")
        run = Storm(made, seed, answers)
        await run.run(plan(seed, faults, rate))
        return run.result
