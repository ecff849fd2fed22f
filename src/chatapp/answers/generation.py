"""Run one claimed generation: from the claim to a confirmed end, whatever the provider does."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing, suppress
from enum import Enum
from typing import Any

from redis.asyncio import Redis

from chatapp.answers.live import LiveAnswer
from chatapp.answers.log import read_log
from chatapp.answers.provider import Delta, OpenAIProvider, Prompt, Turn
from chatapp.answers.writer import Lease, Outbox, Writer
from chatapp.errors import ProviderError
from chatapp.models import Failure, Outcome, Status
from chatapp.storage import keys
from chatapp.storage.messages import Saved, branch, read_saved_messages
from chatapp.tasks import cancel

__all__ = ("Result", "generate", "interrupted")

logger = logging.getLogger(__name__)

#: Characters of history that are sent along, newest first: what today's models take in, and a bound.
_HISTORY_LIMIT = 400_000
#: Seconds that the last words before a handover may take to be written.
_HANDOVER_TIMEOUT = 2.0
#: The entry number of the first claim: only the opening is before it.
_FIRST_CLAIM = 1


class Result(Enum):
    """How a generation left this worker."""

    ENDED = "ended"
    #: Somebody else owns it or has ended it.
    LOST = "lost"
    #: To be handed over.
    OPEN = "open"


async def generate(
    lease: Lease, redis: Redis, provider: OpenAIProvider, writer: Writer, handover: asyncio.Event
) -> Result:
    """Stream the answer into its log until it has ended, is not ours any more, or is to be handed over.

    Total: whatever goes wrong becomes the answer's outcome. Once `handover` is set, what has arrived is
    written and the answer is left open, for another worker to go on with.
    """
    text = await _written(lease, redis)
    outbox = writer.open(lease, text)
    try:
        if text:
            outbox.finish(interrupted("worker_lost", "The server that wrote this answer was lost."))
        elif not await _ask(lease, redis, provider, writer, outbox, handover):
            with suppress(TimeoutError):
                async with asyncio.timeout(_HANDOVER_TIMEOUT):
                    await outbox.written()
            return Result.LOST if outbox.lost else Result.OPEN
        await outbox.closed.wait()
        if outbox.lost is None:
            return Result.ENDED
        logger.info("message %s is not ours any more: %s", lease.message_id, outbox.lost)
        return Result.LOST
    finally:
        writer.close(outbox)


async def _written(lease: Lease, redis: Redis) -> str:
    """Read the text that the log holds before this claim."""
    if lease.cursor.seq == _FIRST_CLAIM:
        return ""
    live = LiveAnswer()
    async for entries in read_log(redis, lease.chat_id, lease.message_id):
        # What is beyond our claim was written by somebody who has fenced us: the writer will learn it.
        live.apply(entry for entry in entries if entry.cursor <= lease.cursor)
    return live.text


async def _ask(
    lease: Lease,
    redis: Redis,
    provider: OpenAIProvider,
    writer: Writer,
    outbox: Outbox,
    handover: asyncio.Event,
) -> bool:
    """Call the provider, put what comes into the outbox, and end it with what happened.

    Returns False when somebody else is to go on.
    """
    streaming = asyncio.create_task(_stream(lease, redis, provider, writer, outbox))
    # The lease may be lost at any moment, also while the provider is silent.
    waiting = [asyncio.create_task(event.wait()) for event in (outbox.closed, handover)]
    try:
        await asyncio.wait((streaming, *waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel((streaming, *waiting))
    if streaming.cancelled():
        return outbox.closed.is_set()
    if (error := streaming.exception()) is None:
        outbox.finish(streaming.result())
    elif isinstance(error, ProviderError):
        logger.info("message %s: %s: %s", lease.message_id, error.code, error.message)
        outbox.finish(_broken(outbox, error.code, error.message))
    else:
        logger.error("message %s failed", lease.message_id, exc_info=error)
        outbox.finish(_broken(outbox, "internal", "The server had an error of its own."))
    return True


async def _stream(
    lease: Lease, redis: Redis, provider: OpenAIProvider, writer: Writer, outbox: Outbox
) -> Outcome:
    prompt = await _prompt(lease, redis)
    async with aclosing(provider.stream(prompt)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Delta):
                outbox.add(piece.text)
                await outbox.room()
                # Not read again before the writer comes round: what arrives meanwhile is read in one piece.
                await writer.round()
                continue
            if outbox.started:
                return Outcome(status=Status.COMPLETED, finish_reason=piece.reason, usage=piece.usage)
            empty = Failure("empty_answer", "The model sent an empty answer.")
            if piece.reason == "content_filter":
                empty = Failure("content_filter", "The provider's content filter held the answer back.")
            return Outcome(status=Status.FAILED, finish_reason=piece.reason, usage=piece.usage, error=empty)
    raise ProviderError(
        "upstream_eof", "The provider closed the stream before the answer's end.", retryable=True
    )


async def _prompt(lease: Lease, redis: Redis) -> Prompt:
    """Build what to ask from the chat: its system prompt, and the branch that leads to this answer."""
    system: Any = await redis.hget(keys.chat(lease.chat_id), "system")
    saved = await read_saved_messages(redis, lease.chat_id)
    answer = saved[lease.message_id].head
    turns = _history(saved, answer.parent_id or "")
    if system:
        turns.insert(0, Turn("system", system.decode()))
    return Prompt(answer.model or "", turns)


def _history(saved: Mapping[str, Saved], last: str) -> list[Turn]:
    """Return the newest messages that fit, oldest first; answers without text tell the model nothing."""
    turns: list[Turn] = []
    left = _HISTORY_LIMIT
    for message in reversed(branch(saved, last)):
        left -= len(message.text)
        if left < 0 and turns:
            break
        if message.text:
            turns.append(Turn(message.head.role, message.text))
    return turns[::-1]


def _broken(outbox: Outbox, code: str, message: str) -> Outcome:
    """An answer that broke off: what is there stays, and nothing at all is a failure."""
    return Outcome(
        status=Status.INTERRUPTED if outbox.started else Status.FAILED, error=Failure(code, message)
    )


def interrupted(code: str, message: str) -> Outcome:
    """Return the outcome of an answer that was cut off and can go on."""
    return Outcome(status=Status.INTERRUPTED, error=Failure(code, message))
