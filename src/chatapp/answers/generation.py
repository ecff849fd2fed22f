"""Run one claimed generation: from the claim to a confirmed end, whatever the provider does."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing, suppress
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

__all__ = ("generate", "interrupted")

logger = logging.getLogger(__name__)

#: Characters of history that are sent along, newest first: what today's models take in, and a bound.
_HISTORY_LIMIT = 400_000


async def generate(lease: Lease, redis: Redis, provider: OpenAIProvider, writer: Writer) -> Outbox:
    """Stream the answer into its log; return when its end is written, or when it is not ours any more.

    Total: whatever goes wrong becomes the answer's outcome. Cancelling it (drain) writes what has
    arrived and leaves the answer open, for `release`.
    """
    live = LiveAnswer()
    async for entries in read_log(redis, lease.chat_id, lease.message_id):
        # What is beyond our claim was written by somebody who has fenced us: the writer will learn it.
        live.apply(entry for entry in entries if entry.cursor <= lease.cursor)
    outbox = writer.open(lease, live.text)
    try:
        if live.text:
            outbox.finish(interrupted("worker_lost", "The server that wrote this answer was lost."))
        else:
            await _ask(lease, redis, provider, outbox)
        await outbox.closed.wait()
    except asyncio.CancelledError:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await outbox.written()
        raise
    finally:
        writer.close(outbox)
    return outbox


async def _ask(lease: Lease, redis: Redis, provider: OpenAIProvider, outbox: Outbox) -> None:
    """Call the provider and put what comes into the outbox; end it with what happened."""
    streaming = asyncio.create_task(_stream(lease, redis, provider, outbox))
    closed = asyncio.create_task(outbox.closed.wait())
    try:
        # The lease may be lost at any moment, also while the provider is silent.
        await asyncio.wait((streaming, closed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        closed.cancel()
        if not streaming.done():
            streaming.cancel()
        await asyncio.wait((streaming, closed))
    if streaming.cancelled():
        return
    if (error := streaming.exception()) is None:
        outbox.finish(streaming.result())
    elif isinstance(error, ProviderError):
        logger.info("message %s: %s: %s", lease.message_id, error.code, error.message)
        outbox.finish(_broken(outbox, error.code, error.message))
    else:
        logger.error("message %s failed", lease.message_id, exc_info=error)
        outbox.finish(_broken(outbox, "internal", "The server had an error of its own."))


async def _stream(lease: Lease, redis: Redis, provider: OpenAIProvider, outbox: Outbox) -> Outcome:
    prompt = await _prompt(lease, redis)
    async with aclosing(provider.stream(prompt)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Delta):
                outbox.add(piece.text)
                await outbox.room()
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
