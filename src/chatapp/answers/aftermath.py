"""Do what every ended answer needs: index its text, and tell its owner's readers.

Whoever ends an answer does this at once. If that process dies first, the next one that looks at the ended
answer makes up for it.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from chatapp.models import ChatEvent, Status
from chatapp.storage import keys
from chatapp.storage.events import publication
from chatapp.storage.messages import read_branch, read_saved
from chatapp.storage.scripts import DIGEST, TOLD, Call, Command, run, run_in_order
from chatapp.storage.signatures import indexing

__all__ = ("Ended", "add_digest", "looking", "see_to_end", "tell_end")


class Ended(msgspec.Struct, frozen=True):
    """An ended answer as what follows needs it; `texts`: the chat's title, answer and question."""

    owner: str
    chat_id: str
    message_id: str
    fence: int
    status: Status
    texts: Sequence[str]


def looking(chat_id: str) -> tuple[Command, Command]:
    """Return the commands that read what `see_to_end` needs first, for its `read`."""
    return (
        Command("HMGET", keys.generation(chat_id), "message", "state", "fence", "told"),
        Command("HMGET", keys.chat(chat_id), "owner", "title", "deleted_at"),
    )


async def see_to_end(redis: Redis, chat_id: str, message_id: str, read: Sequence[Any] = ()) -> None:
    """Index an ended answer for the search and publish its `finished` event, unless that was done before."""
    generation, chat = read or await run_in_order(redis, *looking(chat_id))
    message, state, fence, told = generation
    owner, title, deleted_at = chat
    if owner is None or message != message_id.encode() or told == fence or Status(state.decode()).active:
        return
    if deleted_at is not None:
        # Nobody finds a deleted chat; `Removal.restore` calls this again.
        return
    texts = [title.decode(), *await _texts(redis, chat_id, message_id)]
    ended = Ended(owner.decode(), chat_id, message_id, int(fence), Status(state.decode()), texts)
    await tell_end(redis, ended)


async def tell_end(redis: Redis, ended: Ended) -> None:
    """Index an ended answer, publish its `finished` event, and note that this was done."""
    event = ChatEvent(
        type="finished", chat_id=ended.chat_id, message_id=ended.message_id, status=ended.status
    )
    await run_in_order(
        redis,
        *publication(ended.owner, event),
        await indexing(ended.owner, ended.chat_id, ended.texts),
        # The last of them: should Redis end before it, all is done again.
        Call(TOLD, [keys.generation(ended.chat_id)], ended.fence),
    )


async def add_digest(redis: Redis, chat_id: str, message_id: str) -> None:
    """Add the SHA-256 of the text to an outcome that a script wrote: Lua in Redis cannot compute it."""
    saved = await read_saved(redis, chat_id, message_id)
    if saved and saved.outcome and saved.raw_outcome and saved.outcome.sha256 is None:
        digest = hashlib.sha256(saved.text.encode()).hexdigest()
        outcome = msgspec.json.encode(msgspec.structs.replace(saved.outcome, sha256=digest))
        await run(redis, Call(DIGEST, [keys.messages(chat_id)], message_id, saved.raw_outcome, outcome))


async def _texts(redis: Redis, chat_id: str, message_id: str) -> list[str]:
    """Return the texts of an answer and its question."""
    texts: list[str] = []
    async for batch in read_branch(redis, chat_id, message_id, 2):
        texts += [saved.text for saved in batch]
        if len(texts) >= 2:
            break
    return texts
