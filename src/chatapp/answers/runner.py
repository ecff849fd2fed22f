"""Find waiting generations, claim them, and run each as a task of one task group.

Work is announced by hints in a stream (quick) and listed in a sorted set of due times (certain): a lost
hint, a crash between two steps, or a dead owner is found by the reaper. What decides is the lease alone.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from chatapp.answers.aftermath import looking, see_to_end, tell_end
from chatapp.answers.generation import ATTEMPTS, CALLS, Draining, Generation, Unfinished, interrupted
from chatapp.answers.history import asking
from chatapp.answers.lease import KEEP_LOG, LEASE, Lease
from chatapp.answers.provider import OpenAIProvider
from chatapp.answers.resume import Resume
from chatapp.answers.titles import Titles
from chatapp.answers.writer import Feed, Writer
from chatapp.models import ID_PATTERN, Cursor
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from chatapp.storage.hints import announcement, forget_worker, next_hints
from chatapp.storage.scripts import (
    CLAIM,
    DUE,
    RELEASE,
    SCHEDULE,
    UNLIST,
    Call,
    Command,
    chat_keys,
    run,
    run_in_order,
)
from chatapp.tasks import cancel

__all__ = ("Runner",)

logger = logging.getLogger(__name__)

#: Generations one process runs at most; the rest waits for another process, or for its turn.
_CAPACITY = 1000
_REAP_EVERY = 1.0
#: Seconds in which others renew their leases once Redis is back: more than they wait between two attempts.
_PRECEDENCE = 1.5
#: Work looked at each time: every answer is looked at twice after its end.
_REAPED = 300
_LEASE_MS = int(LEASE * 1000)
#: Nobody lists work further ahead than this: a Retry-After is 20 s at most, and so is the rest of a lease.
_FARTHEST_MS = 21_000
#: How old an end must be before nobody looks at the answer any more. Older than the listing of the look that
#: finds it: should Redis lose the end then, it loses that listing too, and has the one before it.
_CERTAIN_MS = _LEASE_MS
#: Seconds after the end was announced: until answers that go on elsewhere unharmed leave, until all others
#: do, and that their last words may take. A PaaS kills after 30.
_SOON = 2.0
_LAST = 18.0
_HANDOVER = 4.0
_RETRY = 0.5
#: Seconds that an answer which may kill its worker has for itself.
_QUARANTINE = 1.0


class Runner:
    """The generations that this process runs."""

    def __init__(
        self,
        connections: Connections,
        provider: OpenAIProvider,
        resume: Resume,
        durability: Durability,
        titles: Titles | None = None,
        feed: Feed | None = None,
    ) -> None:
        """Without `titles` no chat is named by the model; `feed`: who follows here what is written."""
        self._redis = connections.commands
        self._wake = connections.wake
        self._provider = provider
        self._resume = resume
        self._titles = titles
        self._writer = Writer(connections.writer, durability, feed)
        self._name = secrets.token_hex(8)
        self._again: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._suspects = asyncio.Lock()
        self._draining = Draining()
        self._ending_since: float | None = None
        self._group: asyncio.TaskGroup | None = None
        self._loops: list[asyncio.Task[None]] = []

    @property
    def running(self) -> int:
        """The number of generations now."""
        return len(self._running)

    async def run(self) -> None:
        """Work until `drain` has ended it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            loops = (self._writer.run(), self._take_hints(), self._reap())
            self._loops = [group.create_task(loop) for loop in loops]

    async def drain(self) -> None:
        """Let what is nearly done finish, and hand the rest over: each when it is best for the answer."""
        self._ending_since = self._ending_since or monotonic()
        # First of all: what is handed over is announced, and must not be announced to us.
        await cancel(self._loops[1:])
        if tasks := list(self._running.values()):
            # Not by cancelling: each has last words to write and a lease to give back.
            for after, leave in ((_SOON, self._draining.soon), (_LAST, self._draining.last)):
                await asyncio.wait(tasks, timeout=max(0.0, self._ending_since + after - monotonic()))
                leave.set()
            await asyncio.wait(tasks, timeout=_HANDOVER)
            await cancel(tasks)
        await cancel(self._loops)
        if self._titles is not None:
            await self._titles.aclose()
        with suppress(Exception):
            await forget_worker(self._redis, self._name)

    def hurry(self) -> None:
        """Hand everything over now."""
        self._draining.soon.set()
        self._draining.last.set()

    async def _take_hints(self) -> None:
        while True:
            try:
                if self._ending_since or len(self._running) >= _CAPACITY:
                    await asyncio.sleep(_RETRY)
                    continue
                for work in await next_hints(self._wake, self._name):
                    if work in self._running:
                        # An answer goes on while who ended it still looks after it.
                        self._again.add(work)
                    self._start(work)
            except Exception as error:  # nothing may end this loop
                logger.warning("waiting for work: %s; trying again", type(error).__name__)
                await asyncio.sleep(_RETRY)

    async def _reap(self) -> None:
        """Look again at everything whose time has come: lost hints, dead owners, crashes half-way."""
        heard = monotonic()
        while True:
            await asyncio.sleep(_REAP_EVERY)
            try:
                if self._ending_since:
                    continue
                due, _ = await run_in_order(
                    self._redis,
                    Call(DUE, [keys.DUE], _REAPED, _FARTHEST_MS),
                    Call(SCHEDULE, [keys.WORKERS], self._name, 0, ""),
                )
                if monotonic() - heard > 3 * _REAP_EVERY:
                    # Redis was away: those who live could not renew their leases, and go first.
                    await asyncio.sleep(_PRECEDENCE)
                    heard = monotonic()
                    continue
                heard = monotonic()
                works = [work.decode() for work in due[1:]]
                if ours := [work for work in works if work in self._running]:
                    # In good hands; at the list's head they would keep others from being seen.
                    later = (Call(SCHEDULE, [keys.DUE], work, _LEASE_MS, "XX") for work in ours)
                    await run_in_order(self._redis, *later)
                for work in works:
                    self._start(work, reaped=True)
            except Exception as error:  # nothing may end this loop
                logger.warning("looking for abandoned work: %s; trying again", type(error).__name__)

    def _start(self, work: str, *, reaped: bool = False) -> None:
        if (
            self._ending_since
            or work in self._running
            or len(self._running) >= _CAPACITY
            or self._group is None
        ):
            return
        chat_id, _, message_id = work.partition(" ")
        if not (ID_PATTERN.fullmatch(chat_id) and ID_PATTERN.fullmatch(message_id)):
            logger.warning("ignored a hint that is not ours")
            return
        attempt = self._work(work, chat_id, message_id, reaped=reaped)
        try:
            task = self._group.create_task(attempt)
        except RuntimeError:
            # The group is ending: an attempt that was put off begins elsewhere.
            attempt.close()
            return
        self._running[work] = task
        task.add_done_callback(lambda _: self._over(work))

    def _over(self, work: str) -> None:
        self._running.pop(work, None)
        if work in self._again:
            self._again.discard(work)
            self._start(work)

    async def _work(self, work: str, chat_id: str, message_id: str, *, reaped: bool) -> None:
        """Claim and run one generation; raise nothing: an error here would cancel all its siblings."""
        try:
            if reaped:
                # What cannot be read is no suspect, and must not stay due for ever: the claim lists it anew.
                with suppress(ResponseError, TypeError, ValueError):
                    await self._quarantine(chat_id)
            # Most of what is reaped has ended, and most of what is announced is to begin.
            reading = looking(chat_id) if reaped else asking(chat_id, message_id)
            lease, read = await self._claim(work, chat_id, message_id, reading)
            if lease is None:
                await see_to_end(self._redis, chat_id, message_id, read if reaped else ())
                return
            generation = Generation(
                lease, self._redis, self._provider, self._resume, self._writer, self._draining
            )
            running = generation.run(() if reaped else read)
            # It holds the conversation, which nobody needs once it is asked.
            del read
            left = await running
            # An ended answer stays listed: Redis may come back without the end.
            if isinstance(left, Unfinished):
                await self._release(work, lease, left)
                return
            ids = (chat_id, message_id)
            await (tell_end(self._redis, left) if left is not None else see_to_end(self._redis, *ids))
            if self._titles is not None and not self._ending_since:
                self._titles.ask(chat_id, message_id)
        except Exception as error:
            # The lease runs out and the reaper, here or elsewhere, looks again.
            logger.warning("message %s: %s: %s", message_id, type(error).__name__, error, exc_info=error)

    async def _quarantine(self, chat_id: str) -> None:
        """Start suspects one at a time: answers that lost their worker again and again.

        One of them may be what kills the workers, and must not use up the attempts of those beside it.
        """
        fields = ("state", "lease", "tries", "bytes", "progress")
        (state, *numbers), (seconds, _) = await run_in_order(
            self._redis, Command("HMGET", keys.generation(chat_id), *fields), Command("TIME")
        )
        if state != b"running":
            return
        lease, tries, size, progress = map(int, numbers)
        held = 1000 < lease - int(seconds) * 1000 <= 2 * _LEASE_MS
        if tries >= ATTEMPTS - 1 and size <= progress and not held:
            await self._suspects.acquire()
            asyncio.get_running_loop().call_later(_QUARANTINE, self._suspects.release)

    async def _claim(
        self, work: str, chat_id: str, message_id: str, reading: Sequence[Command]
    ) -> tuple[Lease | None, Sequence[Any]]:
        """Take the lease, if that can be; return it with the replies to `reading`."""
        nonce = secrets.token_hex(8)
        given_up = interrupted("no_progress", "The answer broke off several times over, without getting on.")
        terms = (_LEASE_MS, ATTEMPTS, msgspec.json.encode(given_up), KEEP_LOG, CALLS)
        claim = Call(CLAIM, chat_keys(chat_id, message_id), message_id, nonce, *terms)
        look_again = Call(SCHEDULE, [keys.DUE], work, _LEASE_MS, "")
        # In this order: what goes on again after the claim is listed after us, and stays so.
        listed, reply, *read = await run_in_order(self._redis, look_again, claim, *reading)
        match reply:
            case ["OK", fence, seq]:
                return Lease(chat_id, message_id, nonce, Cursor(int(fence), int(seq))), read
            case ["HELD", left]:
                await run(self._redis, Call(SCHEDULE, [keys.DUE], work, int(left), "XX"))
            case ["CLOSED", _, age] if age < _CERTAIN_MS:
                # Stays listed as it is: put off by what we have heard, it might be an answer that runs again,
                # because Redis has lost its end meanwhile.
                pass
            case _:
                await run(self._redis, Call(UNLIST, [keys.DUE], work, listed[1]))
        return None, read

    async def _release(self, work: str, lease: Lease, left: Unfinished) -> None:
        """Give a generation to its next attempt: by whoever is quick, or after a delay, here or elsewhere."""
        identity = (lease.message_id, lease.cursor.fence, lease.nonce)
        try:
            await run(self._redis, Call(RELEASE, lease.keys, *identity, int(left.counted)))
            await run(self._redis, Call(SCHEDULE, [keys.DUE], work, int(left.delay * 1000), ""))
            if left.delay:
                # No earlier than that, even if an old hint came twice.
                self._again.discard(work)
                asyncio.get_running_loop().call_later(left.delay, self._start, work)
            else:
                await run_in_order(self._redis, announcement(work))
        except Exception as error:
            logger.warning("message %s not handed over: %s", lease.message_id, type(error).__name__)
