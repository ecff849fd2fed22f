"""Read an answer for those who follow it: from its log, or where that is enough, from its saved message."""

import asyncio
from contextlib import suppress

from redis.asyncio import Redis

from chatapp.answers.live import LiveAnswer, SavedAnswer
from chatapp.answers.log import beginning, read_log, read_top
from chatapp.answers.watched import RESEND, Watched
from chatapp.errors import NotFound
from chatapp.models import Cursor, Failure, Outcome, Status
from chatapp.storage.connections import UNREACHABLE
from chatapp.storage.messages import Saved, read_saved, saved_of
from chatapp.storage.messages import saved as saved_message
from chatapp.storage.scripts import run_all
from chatapp.storage.tail import RawEntries
from chatapp.tasks import shared

__all__ = ("complete", "has_lost", "load", "needs_log", "read")

_LOST = Outcome(
    status=Status.INTERRUPTED,
    error=Failure("log_lost", "The storage lost this answer before it was saved."),
)


async def load(redis: Redis, chat_id: str, message_id: str, after: Cursor | None) -> LiveAnswer | SavedAnswer:
    """Read an answer from its saved message where that is enough for a viewer at `after`, else as `read`.

    Raises NotFound when the chat has no such answer.
    """
    ids = (chat_id, message_id)
    message, first = await run_all(redis, (saved_message(*ids), beginning(*ids)))
    if isinstance(message, Exception):
        raise message
    saved = saved_of(message)
    if saved is None or saved.head.role == "user":
        raise NotFound
    answer = _ended(saved, log_read=False)
    if answer is not None and not needs_log(answer, after):
        return answer
    # A damaged log matters only where it is needed.
    return await read(redis, chat_id, message_id, None if isinstance(first, Exception) else first)


async def read(
    redis: Redis, chat_id: str, message_id: str, first: RawEntries | None = None
) -> LiveAnswer | SavedAnswer:
    """Read the whole log, of which the `first` entries may be there.

    Where there is no log, what is saved is all there will ever be.
    """
    live = LiveAnswer()
    async for entries in read_log(redis, chat_id, message_id, first):
        live.apply(entries)
    if live.top is not None:
        return await complete(redis, chat_id, message_id, live)
    # Read again: the end may have come since, and the log may have expired.
    saved = await read_saved(redis, chat_id, message_id)
    # An answer that was continued has its earlier text saved.
    return _ended(saved) or SavedAnswer(saved.text if saved else "", _LOST, None, log_read=True)


async def complete(redis: Redis, chat_id: str, message_id: str, live: LiveAnswer) -> LiveAnswer | SavedAnswer:
    """Return the answer; where its log has lost the beginning, the saved message once there is one."""
    if live.trimmed and live.outcome is not None:
        return _ended(await read_saved(redis, chat_id, message_id), known=False) or live
    return live


def needs_log(answer: LiveAnswer | SavedAnswer, after: Cursor | None) -> bool:
    """Whether only the log can tell what a viewer at `after` misses."""
    return (
        isinstance(answer, SavedAnswer)
        and not answer.log_read
        and after is not None
        and answer.locate(after) is None
    )


async def has_lost(redis: Redis, watched: Watched, cursor: Cursor) -> bool:
    """Return whether Redis certainly lacks the entry `cursor`; False when it does not answer in time.

    Who asks at the same moment is answered by the same reading.
    """
    if watched.asking_top is None:
        watched.asking_top = shared(_ask_top(redis, watched))
    done, _ = await asyncio.wait({watched.asking_top}, timeout=RESEND)
    return any(top is not None and top < cursor for top in (task.result() for task in done))


async def _ask_top(redis: Redis, watched: Watched) -> Cursor | None:
    """Return the id of the log's last entry in Redis; None where Redis cannot be reached."""
    try:
        with suppress(*UNREACHABLE):
            return await read_top(redis, watched.chat_id, watched.message_id)
        return None
    finally:
        watched.asking_top = None


def _ended(saved: Saved | None, *, log_read: bool = True, known: bool = True) -> SavedAnswer | None:
    """Return an answer as it was saved; None where it has not ended."""
    if saved is None or saved.outcome is None:
        return None
    return SavedAnswer(
        saved.text, saved.outcome, saved.last, log_read=log_read, known=known, reasoning=saved.reasoning
    )
