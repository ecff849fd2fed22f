"""Write the logs of a process' running answers: all of them in one round trip a tick.

A generation puts text into its `Outbox`; the writer turns what has gathered there into one entry each
time it comes round, so that texts are joined by load alone: at once while there is little to do, after up
to 40 ms while there is much.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from time import monotonic
from typing import Protocol

from redis.asyncio import Redis

from chatapp.answers.lease import BEAT_SECONDS, Lease
from chatapp.answers.outbox import Outbox
from chatapp.models import Cursor, Reasoning
from chatapp.storage.appends import Append, in_batches, verdicts
from chatapp.storage.connections import UNREACHABLE, RedisError
from chatapp.storage.durability import Durability
from chatapp.storage.scripts import Call, run_all
from chatapp.tasks import background, cancel

__all__ = ("Feed", "Take", "Writer")

logger = logging.getLogger(__name__)

#: Seconds between two rounds: none for a few answers, then so much for each, up to a limit. Every round costs
#: the same whatever it holds, so many answers pay with a little age.
_FEW = 10
_TICK_PER_ANSWER = 0.0003
_MAX_TICK = 0.040
_RETRY = (0.05, 1.0)
_FLUSH_TIMEOUT = 5.0
#: Bytes of one round trip: so much gets through in that time, on a slow way too; what does not is
#: sent again from its beginning.
_ROUND_LIMIT = 4 << 20


#: Takes in what has arrived for an answer; False where its task must see to the answer itself.
Take = Callable[[], bool]


class Feed(Protocol):
    """Who follows logs in this process, and need not read what it writes itself."""

    def feed(self, key: str, cursor: Cursor, kind: str, data: bytes) -> None:
        """Take in an entry that was written to a log."""

    def unfed(self, key: str) -> None:
        """Note that a log is not written here any more."""


class Writer:
    """Flush the outboxes of the process, one pipeline at a time."""

    def __init__(self, redis: Redis, durability: Durability, feed: Feed | None = None) -> None:
        """`feed`: who is told of everything that was written."""
        self._redis = redis
        self._feed = feed
        self._durability = durability
        self._outboxes: set[Outbox] = set()
        #: Outboxes whose end is confirmed but perhaps not on disk yet, and who sees to that.
        self._kept: dict[Outbox, asyncio.Task[None]] = {}
        #: Outboxes that have something to write, in the order in which they said so.
        self._due: dict[Outbox, None] = {}
        self._wake = asyncio.Event()
        #: Set when one of them has its first text.
        self._begun = asyncio.Event()
        # Asked for once: Python asks the system for the process' id each time.
        self._loop = asyncio.get_running_loop()
        #: What takes in what has arrived for an answer, each round, and who waits until it cannot.
        self._flows: dict[asyncio.Future[None], Take] = {}

    def open(self, lease: Lease, text: str, reasoning: Reasoning | None = None) -> Outbox:
        """Begin to write for a lease whose log already holds `text`, and perhaps the reasoning before it."""
        outbox = Outbox(lease, text, self._note, self._outboxes, reasoning)
        outbox.server = self._durability.server
        self._outboxes.add(outbox)
        # From now on the lease must be renewed.
        self._note(outbox)
        return outbox

    def close(self, outbox: Outbox) -> None:
        """Stop writing for an outbox; one with a confirmed end is kept until that is on Redis' disk."""
        self._outboxes.discard(outbox)
        self._due.pop(outbox, None)
        if self._feed is not None:
            self._feed.unfed(outbox.lease.keys[1])
        if outbox.ended:
            self._kept[outbox] = task = asyncio.create_task(self._keep(outbox))
            task.add_done_callback(lambda _: self._kept.pop(outbox, None))

    async def flow(self, take: Take) -> None:
        """Call `take` whenever the writer comes round, by load, as long as there is no more to do than that.

        So a round costs no answer's task a turn of its own.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._flows[waiter] = take
        await waiter

    async def run(self) -> None:
        """Write until cancelled; Redis may come and go meanwhile."""
        try:
            async with background(self._renew()):
                await self._run()
        finally:
            await cancel(self._kept.values())

    async def _run(self) -> None:
        delay = _RETRY[0]
        last = monotonic()
        while True:
            try:
                self._wake.clear()
                due, self._due = self._due, {}
                await self._flush(due)
                await self._pause(last + self._tick())
                delay = _RETRY[0]
            except Exception as error:  # nothing may end this loop: every answer depends on it
                known = isinstance(error, (*UNREACHABLE, RedisError))
                logger.log(
                    logging.WARNING if known else logging.ERROR,
                    "writing the logs: %s; sending again",
                    type(error).__name__,
                    exc_info=None if known else error,
                )
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY[1])
                # Generations that wait for a round read on without one, as far as there is room.
                self._come_round()
                continue
            last = monotonic()
            # All who wait read now; what they put in goes out with this round.
            self._come_round()
            await asyncio.sleep(0)
            await self._wake.wait()

    async def _pause(self, until: float) -> None:
        """Wait for the next round. A first text does not: somebody looks at an empty page."""
        while (left := until - monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._begun.wait()
            self._begun.clear()
            await self._flush({outbox: self._due.pop(outbox) for outbox in list(self._due) if outbox.begins})

    async def _renew(self) -> None:
        """Look at all leases now and then, also while their providers are silent."""
        while True:
            await asyncio.sleep(BEAT_SECONDS / 2)
            for outbox in self._outboxes:
                self._note(outbox)

    async def _keep(self, outbox: Outbox) -> None:
        while outbox.ended:
            if await self._durability.settled(outbox.server):
                return
            outbox.server = self._durability.server
            await outbox.check()
            if outbox.ended:
                return
            # Redis had lost it, and gets it once more.
            await outbox.closed.wait()

    def _tick(self) -> float:
        """Seconds between two rounds, by load."""
        return min(_MAX_TICK, _TICK_PER_ANSWER * max(0, len(self._outboxes) - _FEW))

    def _has(self, outbox: Outbox) -> bool:
        return outbox in self._outboxes or outbox in self._kept

    def _note(self, outbox: Outbox) -> None:
        self._due[outbox] = None
        self._wake.set()
        if outbox.begins:
            self._begun.set()

    def _come_round(self) -> None:
        flows, self._flows = self._flows, {}
        for waiter, take in flows.items():
            if waiter.done():
                # Cancelled.
                continue
            try:
                if take():
                    self._flows[waiter] = take
                else:
                    waiter.set_result(None)
            except Exception as error:
                # An answer's own; the others go on.
                waiter.set_exception(error)
        if not self._due:
            # There will be no round before something arrives, which only their tasks can wait for.
            flows, self._flows = self._flows, {}
            for waiter in flows:
                waiter.set_result(None)

    async def _flush(self, due: dict[Outbox, None]) -> None:
        appends: list[tuple[Outbox, Append]] = []
        calls: list[tuple[Outbox, Call]] = []
        size, later = 0, dict[Outbox, None]()
        try:
            for outbox in due:
                if size > _ROUND_LIMIT:
                    later[outbox] = None
                    continue
                for unsent in _unsent(outbox):
                    if isinstance(unsent, Append):
                        appends.append((outbox, unsent))
                        size += len(unsent.data)
                    else:
                        calls.append((outbox, unsent))
                        size += len(unsent.packed)
            if appends or calls:
                await self._send(appends, calls)
        except BaseException:
            self._due = {outbox: None for outbox in due if self._has(outbox)} | self._due
            raise
        if later:
            self._due = {outbox: None for outbox in later if self._has(outbox)} | self._due
            self._wake.set()
        for outbox in due:
            if outbox.pending and self._has(outbox):
                # Asked for again, or too much for one flush.
                self._note(outbox)

    async def _send(
        self, appends: Sequence[tuple[Outbox, Append]], calls: Sequence[tuple[Outbox, Call]]
    ) -> None:
        """Send the entries and then the calls, and let the outboxes take in what was answered."""
        batches = list(in_batches([append for _, append in appends]))
        async with asyncio.timeout(_FLUSH_TIMEOUT):
            replies = await run_all(self._redis, [*batches, *(call for _, call in calls)])
        answers = chain(
            *(verdicts(batch, reply) for batch, reply in zip(batches, replies, strict=False)),
            replies[len(batches) :],
        )
        failure: Exception | None = None
        sent: Iterable[tuple[Outbox, Append | Call]] = chain(appends, calls)
        for (outbox, unit), answer in zip(sent, answers, strict=True):
            if isinstance(answer, Exception):
                # Not written; it is sent again, and what came after it answers GAP.
                failure = answer
            else:
                outbox.take(unit, answer)
                # DUP: it is there since a reply got lost.
                if self._feed is not None and isinstance(unit, Append) and answer[0] in ("OK", "DUP"):
                    cursor = Cursor(outbox.lease.cursor.fence, unit.seq)
                    self._feed.feed(unit.keys[1], cursor, unit.kind, unit.data)
        if failure is not None:
            raise failure


def _unsent(outbox: Outbox) -> list[Append | Call]:
    """Return what an outbox has to send; one that cannot say it is given up, and the others are written."""
    try:
        return outbox.unsent()
    except Exception as error:
        logger.error("message %s cannot be written", outbox.lease.message_id, exc_info=error)
        outbox.lose("GIVEN UP")
        return []
