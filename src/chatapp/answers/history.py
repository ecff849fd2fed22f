"""Read what a worker needs before it asks: the conversation, and what earlier attempts left."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from chatapp.answers.lease import Lease
from chatapp.answers.live import LiveAnswer
from chatapp.answers.log import read_log
from chatapp.answers.provider import Prompt, Turn
from chatapp.answers.wire import Place
from chatapp.models import Reasoning
from chatapp.storage import keys
from chatapp.storage.messages import branch, branch_of, read_on
from chatapp.storage.scripts import Call, Command, run_in_order

__all__ = ("Asked", "Past", "asking", "read_asked", "read_past")

#: Characters of history that are sent to the model at most; the oldest messages are left out first.
_HISTORY_LIMIT = 400_000
_BATCH = 200
#: The entry number of the first claim: only the opening is before it.
_FIRST_CLAIM = 1


class Past(Struct, frozen=True):
    """What the log and the generation hold of the attempts so far, including the one that begins."""

    text: str = ""
    #: Attempts since the text last grew, and calls of the provider in all.
    tries: int = 1
    calls: int = 1
    #: Bytes of the longest text before this attempt.
    progress: int = 0
    #: Where the provider's own stream can be opened again, and the end of the text that lies behind it.
    place: Place | None = None
    beyond: str = ""
    reasoning: Reasoning | None = None
    #: Whether a person has asked for the text to go on.
    asked: bool = False


async def read_past(redis: Redis, lease: Lease) -> Past:
    """Read what earlier attempts left, up to this claim."""
    if lease.cursor.seq == _FIRST_CLAIM:
        return Past()
    live = LiveAnswer()
    async for entries in read_log(redis, lease.chat_id, lease.message_id):
        # Entries beyond our claim are by a worker that has fenced us, which the writer will learn.
        live.apply(entry for entry in entries if entry.cursor <= lease.cursor)
    fields = ("tries", "calls", "progress", "asked", "up")
    found: Any = await redis.hmget(keys.generation(lease.chat_id), fields)
    tries, calls, progress, asked = (int(value or 0) for value in found[:4])
    place, beyond = _place(found[4] or b"", live.text)
    return Past(live.text, tries, calls, progress, place, beyond, live.reasoning(), bool(asked))


def _place(written: bytes, text: str) -> tuple[Place | None, str]:
    if not written:
        return None, ""
    response_id, number, size = written.decode().split(" ")
    return (response_id, int(number)), text.encode()[int(size) :].decode(errors="replace")


class Asked(Struct, frozen=True):
    """What the answer's end will need of what was asked: whose chat it is in, its title, which question."""

    owner: str
    title: str
    question_id: str


def asking(chat_id: str, message_id: str) -> tuple[Command, Call]:
    """Return the commands that read what `read_asked` needs first, for its `read`."""
    settings = Command("HMGET", keys.chat(chat_id), "system", "temperature", "max_tokens", "owner", "title")
    return settings, branch(chat_id, message_id, _BATCH)


async def read_asked(redis: Redis, lease: Lease, read: Sequence[Any] = ()) -> tuple[Prompt, Asked]:
    """Build what to ask from the chat: its system prompt, and the branch that leads to this answer.

    Of that the newest messages that fit, oldest first; answers without text tell the model nothing.
    """
    settings, rows = read or await run_in_order(redis, *asking(lease.chat_id, lease.message_id))
    system, temperature, max_tokens, owner, title = settings
    model, question_id, turns, left = None, "", list[Turn](), _HISTORY_LIMIT
    async for batch in read_on(redis, lease.chat_id, branch_of(rows), _BATCH):
        for message in batch:
            if model is None:
                # The answer itself: what is there of it is not history.
                model, question_id = message.head.model or "", message.head.parent_id or ""
                continue
            left -= len(message.text)
            if message.text and left >= 0:
                turns.append(Turn(message.head.role, message.text))
        if left < 0:
            break
    if model is None:
        raise LookupError("the answer is not there any more")
    if system:
        turns.append(Turn("system", system.decode()))
    prompt = Prompt(
        model,
        turns[::-1],
        temperature=float(temperature) if temperature else None,
        max_tokens=int(max_tokens) if max_tokens else None,
    )
    return prompt, Asked((owner or b"").decode(), (title or b"").decode(errors="replace"), question_id)
