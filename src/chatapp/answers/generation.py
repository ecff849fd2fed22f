"""Run one claimed generation: from the claim to a confirmed end, whatever the provider does."""

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from redis.asyncio import Redis

from chatapp.answers.aftermath import Ended
from chatapp.answers.history import Asked, Past, read_asked, read_past
from chatapp.answers.intake import Intake
from chatapp.answers.lease import Lease
from chatapp.answers.outbox import Outbox, storage_away
from chatapp.answers.provider import OpenAIProvider, Prompt
from chatapp.answers.resume import Resume, Seam, Strategy, going_on
from chatapp.answers.upstream import Finish, Upstream
from chatapp.answers.wire import Place
from chatapp.answers.writer import Writer
from chatapp.errors import ProviderError
from chatapp.models import Failure, Outcome, Status
from chatapp.storage.messages import read_text
from chatapp.tasks import cancel

__all__ = ("ATTEMPTS", "CALLS", "Draining", "Generation", "Unfinished", "interrupted")

logger = logging.getLogger(__name__)

#: Attempts that added no text, and calls of the provider in all, after which an answer is given up.
ATTEMPTS = 3
CALLS = 4
#: Characters and seconds of one answer: a provider that never stops is stopped.
_MAX_TEXT = 4 << 20
_MAX_SECONDS = 3600.0
#: Seconds that the last words before a handover may take to be written.
_HANDOVER_TIMEOUT = 2.0
#: Seconds before the second attempt, doubled for the third.
_BACKOFF = 0.5
#: Seconds beyond what a provider asked for: the event loop's clock stands still while it works.
_LATER = 0.05


class Unfinished(Struct, frozen=True):
    """An attempt that did not end the answer: another goes on with it, here or elsewhere."""

    #: Whether this attempt counts: one that a deploy cut short does not.
    counted: bool
    delay: float = 0


class Draining:
    """Two signals at shutdown: `soon` for answers that another worker can go on with, `last` for all."""

    def __init__(self) -> None:
        self.soon = asyncio.Event()
        self.last = asyncio.Event()


class Generation:
    """One attempt at an answer: the work under one lease."""

    def __init__(
        self,
        lease: Lease,
        redis: Redis,
        provider: OpenAIProvider,
        resume: Resume,
        writer: Writer,
        draining: Draining,
    ) -> None:
        self._lease = lease
        self._redis = redis
        self._provider = provider
        self._resume = resume
        self._writer = writer
        self._draining = draining
        self._model = ""
        self._past = Past()
        #: What to ask, until it is asked: most conversations are longer than their next answer.
        self._prompt: Prompt | None = None
        self._intake: Intake | None = None

    async def run(self, read: Sequence[Any] = ()) -> Ended | Unfinished | None:
        """Stream the answer into its log until it has ended, is not ours any more, or is to be handed over.

        Whatever goes wrong becomes the answer's outcome. `read`: what `asking` has found, where that was sent
        with the claim. Returns None when the answer is not ours any more.
        """
        self._past = await read_past(self._redis, self._lease)
        # Before an outbox is open: a Redis that is away must not become this answer's failure.
        self._prompt, asked = await read_asked(self._redis, self._lease, read)
        del read
        self._model = self._prompt.model
        outbox = self._writer.open(self._lease, self._past.text, self._past.reasoning)
        try:
            result = await self._ask(outbox)
            if isinstance(result, Unfinished):
                with suppress(TimeoutError):
                    # At a deploy time is short; else what has arrived waits for Redis as long as it must.
                    async with asyncio.timeout(None if result.counted else _HANDOVER_TIMEOUT):
                        await outbox.written()
            else:
                outbox.finish(result)
                await outbox.closed.wait()
        finally:
            self._writer.close(outbox)
        if outbox.lost is None:
            return result if isinstance(result, Unfinished) else await self._ended(asked, result, outbox.text)
        logger.info("message %s is not ours any more: %s", self._lease.message_id, outbox.lost)
        if outbox.lost in ("CLOSED", "GONE"):
            await self._cancel_upstream()
        return None

    async def _ended(self, asked: Asked, outcome: Outcome, text: str) -> Ended:
        lease = self._lease
        # Read again: it may be longer than the answer that it would have been kept for.
        texts = (asked.title, text, await read_text(self._redis, lease.chat_id, asked.question_id))
        return Ended(asked.owner, lease.chat_id, lease.message_id, lease.cursor.fence, outcome.status, texts)

    async def _ask(self, outbox: Outbox) -> Outcome | Unfinished:
        """Put what the provider says into the outbox, and return what is to be done then."""
        streaming = asyncio.create_task(self._stream(outbox))
        # The lease may be lost at any moment, also while the provider is silent.
        parted = asyncio.create_task(outbox.parted())
        leaving = asyncio.create_task(self._leaving(outbox))
        tasks = (streaming, parted, leaving)
        try:
            await asyncio.wait(tasks, timeout=_MAX_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            left, away = leaving.done(), parted.done()
        finally:
            await cancel(tasks)
        if streaming.cancelled():
            if left or outbox.closed.is_set():
                return Unfinished(counted=False)
            return await (self._broken(outbox, storage_away()) if away else self._cut_off(outbox))
        match streaming.exception():
            case None:
                return streaming.result()
            case ProviderError() as error:
                logger.info("message %s: %s: %s", self._lease.message_id, error.code, error.message)
                return await self._broken(outbox, error)
            case error:
                logger.error("message %s failed", self._lease.message_id, exc_info=error)
                return _failed(outbox, "internal", "The server had an error of its own.")

    async def _leaving(self, outbox: Outbox) -> None:
        """Wait until this answer is to be handed over: at once what goes on unharmed, else after a while."""
        await self._draining.soon.wait()
        if outbox.started:
            with suppress(ProviderError):
                if await self._resume.strategy(self._model) in (Strategy.SERVER, Strategy.PREFILL):
                    return
            await self._draining.last.wait()

    async def _stream(self, outbox: Outbox) -> Outcome:
        upstream, seam, instead = await self._open(outbox)
        try:
            finish = await self._pass_on(upstream, seam, outbox)
        except ProviderError as error:
            if error.code != "not_found" or instead is None:
                raise
            if outbox.started:
                raise ProviderError(
                    "expired", "The provider does not keep this answer any more.", retryable=False
                ) from error
            finish = await self._pass_on(instead, seam, outbox)
        return _finished(outbox, finish) if finish is not None else await self._cut_off(outbox)

    async def _pass_on(self, upstream: Upstream, seam: Seam, outbox: Outbox) -> Finish | None:
        limit = _MAX_TEXT - len(self._past.text)
        self._intake = Intake(upstream, seam, outbox, self._writer, limit)
        return await self._intake.run()

    async def _open(self, outbox: Outbox) -> tuple[Upstream, Seam, Upstream | None]:
        """Choose how to begin, or to go on; the last is for when the first is not found."""
        past, prompt, self._prompt = self._past, self._prompt, None
        assert prompt is not None
        if past.reasoning is not None and not past.text:
            # The next attempt thinks anew.
            outbox.reset()
        anew = self._provider.stream(prompt)
        if not past.text and past.place is None:
            return anew, Seam(""), None
        strategy = await self._resume.strategy(prompt.model)
        if strategy is Strategy.SERVER and past.place is not None:
            return self._provider.reopen(past.place), Seam(past.beyond, certain=True), anew
        if not past.text:
            return anew, Seam(""), None
        if strategy is Strategy.PREFILL:
            return self._provider.stream(replace(prompt, begun=past.text)), Seam(past.text), None
        if past.asked:
            # A person wants this text to go on, and has no other way.
            return self._provider.stream(going_on(prompt, past.text)), Seam(past.text), None
        if strategy is Strategy.RESTART:
            outbox.reset()
            return anew, Seam(""), None
        raise ProviderError("worker_lost", "The server that wrote this answer was lost.", retryable=False)

    async def _broken(self, outbox: Outbox, error: ProviderError) -> Outcome | Unfinished:
        """Decide after a failure: another attempt where one is left and makes sense, else the end."""
        past = self._past
        progress = outbox.size > past.progress
        left = (progress or past.tries < ATTEMPTS) and (past.calls < CALLS or self._place is not None)
        if error.retryable and left and await self._can_go_on(outbox, error):
            delay = _BACKOFF * 2 ** (0 if progress else past.tries - 1) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
            if error.retry_after is not None:
                delay = error.retry_after + _LATER
            return Unfinished(counted=True, delay=delay)
        return _failed(outbox, error.code, error.message)

    async def _can_go_on(self, outbox: Outbox, error: ProviderError) -> bool:
        if self._past.asked:
            return True
        if not outbox.started:
            # A provider that was silent for so long would be again, while a person waits.
            return error.code != "timeout"
        try:
            strategy = await self._resume.strategy(self._model)
        except ProviderError:
            # The provider does not answer now; the next attempt asks again.
            return True
        return strategy is not Strategy.NONE and (strategy is not Strategy.SERVER or self._place is not None)

    async def _cut_off(self, outbox: Outbox) -> Outcome:
        """End an answer that has reached a limit of ours."""
        await self._cancel_upstream()
        if outbox.started:
            return Outcome(status=Status.COMPLETED, finish_reason="length")
        return _failed(outbox, "timeout", "The answer reached its limit of time or length without any text.")

    @property
    def _place(self) -> Place | None:
        """The latest place in the provider's own stream, where it has one."""
        return (self._intake and self._intake.place) or self._past.place

    async def _cancel_upstream(self) -> None:
        """Stop an answer that would go on at the provider without us."""
        if self._place is not None:
            await self._provider.cancel(self._place[0])


def _finished(outbox: Outbox, finish: Finish) -> Outcome:
    if outbox.started:
        return Outcome(status=Status.COMPLETED, finish_reason=finish.reason, usage=finish.usage)
    match finish.said:
        case "content_filter":
            empty = Failure("content_filter", "The provider's content filter held the answer back.")
        case "tool_calls" | "function_call":
            empty = Failure(
                "tool_calls", "The model asked for a tool instead of answering; there are none here."
            )
        case _:
            empty = Failure("empty_answer", "The model sent an empty answer.")
    return Outcome(status=Status.FAILED, finish_reason=finish.reason, usage=finish.usage, error=empty)


def _failed(outbox: Outbox, code: str, message: str) -> Outcome:
    """An answer that broke off: what is there stays, and nothing at all is a failure."""
    return Outcome(
        status=Status.INTERRUPTED if outbox.started else Status.FAILED, error=Failure(code, message)
    )


def interrupted(code: str, message: str) -> Outcome:
    """Return the outcome of an answer that was cut off and can go on."""
    return Outcome(status=Status.INTERRUPTED, error=Failure(code, message))
