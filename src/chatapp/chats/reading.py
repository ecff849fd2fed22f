"""Read chats: whose they are, what is in them, and how far a running answer has got.

Every method takes the owner and answers NotFound for what is not theirs.
"""

import hmac
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from chatapp.answers.hub import Hub
from chatapp.chats.input import require_id
from chatapp.errors import Damaged, NotFound
from chatapp.models import Chat, Message
from chatapp.storage import keys
from chatapp.storage.messages import Saved, branch, branch_of, read_branch, read_on, read_saved
from chatapp.storage.scripts import Command, run, run_in_order

__all__ = ("Reading", "Transcript")

_OWNERS_KEPT = 2_000
#: Messages of a transcript, those of one round trip where all are wanted, and those shown above a wanted one.
_SHOWN = 50
_BATCH = 500
_ABOVE = 10


class Transcript(Struct, frozen=True):
    """A chat with messages of its visible branch; `running` is the active answer's id, if it is among them.

    `older`: the id to read on from (`before`) where there are messages above these.
    The text of a running answer is read with its `last_event_id`: together they are one snapshot.
    """

    chat: Chat
    messages: Sequence[Message]
    running: str | None
    older: str | None = None


class Reading:
    """The chats in Redis, and the hub that knows the running answers."""

    def __init__(self, redis: Redis, hub: Hub) -> None:
        self._redis = redis
        self._hub = hub
        self._owners: dict[str, str] = {}

    async def chat(self, owner: str, chat_id: str) -> Chat:
        """Return a chat of this owner."""
        require_id(chat_id)
        return self._chat(owner, chat_id, *await run_in_order(self._redis, _fields(chat_id)))

    def _chat(self, owner: str, chat_id: str, values: Sequence[bytes | None]) -> Chat:
        """Return a chat from its `_fields`, when it is this owner's."""
        # An empty number stands for the provider's default.
        known = zip(_FIELDS, values, strict=True)
        fields = {n: v.decode(errors="replace") for n, v in known if v or (v is not None and n in _TEXTS)}
        if not hmac.compare_digest(fields.get("owner", ""), owner) or "deleted_at" in fields:
            self._owners.pop(chat_id, None)
            raise NotFound
        self._remember(chat_id, owner)
        try:
            return msgspec.convert({"id": chat_id, **fields}, Chat, strict=False)
        except msgspec.ValidationError:
            raise Damaged from None

    def _remember(self, chat_id: str, owner: str) -> None:
        """Keep whose chat this is; it never changes."""
        self._owners[chat_id] = owner
        if len(self._owners) > _OWNERS_KEPT:
            del self._owners[next(iter(self._owners))]

    async def require(self, owner: str, chat_id: str, message_id: str) -> Chat:
        """Raise NotFound unless the chat is this owner's and the message's id is well-formed."""
        chat = await self.chat(owner, chat_id)
        require_id(message_id)
        return chat

    async def transcript(
        self,
        owner: str,
        chat_id: str,
        *,
        before: str | None = None,
        at: str | None = None,
        limit: int | None = _SHOWN,
    ) -> Transcript:
        """Return a chat with messages of its visible branch, a running answer as far as it has got.

        The newest `limit` of them (None: all), or those `before` a message, or as many more as it takes to
        have the one `at`.
        """
        require_id(chat_id, *(message_id for message_id in (before, at) if message_id is not None))
        # In one round trip: whoever may not see the chat gets nothing of what was read of it.
        values, rows = await run_in_order(
            self._redis, _fields(chat_id), branch(chat_id, before, _wanted(before, at, limit) or _BATCH)
        )
        chat = self._chat(owner, chat_id, values)
        return await self._transcript(chat, branch_of(rows), before, at, limit)

    async def window(self, chat: Chat) -> Transcript:
        """Return all messages of the branch that leads to the chat's `head`."""
        first = branch_of(await run(self._redis, branch(chat.id, chat.head, _BATCH)))
        return await self._transcript(chat, first, None, None, None)

    async def _transcript(
        self, chat: Chat, first: list[Saved], before: str | None, at: str | None, limit: int | None
    ) -> Transcript:
        """Return a chat with messages of a branch of which the `first` are there: see `transcript`."""
        saved = await self._window(chat.id, first, before, at, limit)
        messages = [await self._current(chat.id, message) for message in saved]
        running = next((m.id for m in messages if m.status.active), None)
        older = messages[0].id if messages and messages[0].parent_id else None
        return Transcript(chat, messages, running, older)

    async def _window(
        self, chat_id: str, first: list[Saved], before: str | None, at: str | None, limit: int | None
    ) -> list[Saved]:
        """Return a part of a branch, the oldest message first."""
        skipped, wanted = int(before is not None), _wanted(before, at, limit)
        found: list[Saved] = []
        async for batch in read_on(self._redis, chat_id, first, wanted or _BATCH):
            for saved in batch:
                found.append(saved)
                if saved.head.id == at:
                    wanted = max((limit or 0) + skipped, len(found) + _ABOVE)
            if wanted is not None and len(found) >= wanted:
                break
        if before is not None and not found:
            raise NotFound
        if wanted is None and limit is not None:
            # The one to be shown is not there, or not on this branch.
            wanted = limit + skipped
        return found[skipped:wanted][::-1]

    async def message(self, owner: str, chat_id: str, message_id: str) -> Message:
        """Return one message."""
        await self.require(owner, chat_id, message_id)
        async for batch in read_branch(self._redis, chat_id, message_id, 1):
            return await self._current(chat_id, batch[0])
        raise NotFound

    async def require_reader(self, owner: str, chat_id: str, message_id: str) -> None:
        """Raise NotFound unless the chat is this owner's; what there is of the answer, the hub will say.

        Reads nothing where that is known: a thousand readers that come back at once cost Redis nothing.
        """
        if self._owners.get(chat_id) != owner:
            await self.chat(owner, chat_id)
        require_id(message_id)

    async def answer_head(self, chat_id: str, message_id: str) -> Message:
        """Return an answer of a chat as it is saved, its text perhaps older than its log."""
        require_id(message_id)
        async for batch in read_branch(self._redis, chat_id, message_id, 1):
            if batch[0].head.role != "user":
                return batch[0].message()
            break
        raise NotFound

    async def _current(self, chat_id: str, saved: Saved) -> Message:
        """Return a message with what runs of it now."""
        if saved.head.role == "user" or saved.outcome is not None:
            return saved.message()
        async with self._hub.follow(chat_id, saved.head.id, None) as watched:
            answer = watched.answer
            assert answer is not None
            if answer.outcome is not None:
                # It has ended since it was read: what was saved with the end says more than its log.
                ended = await read_saved(self._redis, chat_id, saved.head.id)
                if ended is not None and ended.outcome is not None:
                    return msgspec.structs.replace(ended, variants=saved.variants).message()
            message = msgspec.structs.replace(
                saved.message(),
                status=answer.status,
                text=answer.text,
                last_event_id=str(answer.top) if answer.top else None,
                reasoning=answer.reasoning(),
            )
            return message.ended(answer.outcome) if answer.outcome else message


#: The fields of the hash under the key of a chat.
_FIELDS = (*(name for name in Chat.__struct_fields__ if name != "id"), "deleted_at")
#: The fields of a chat that mean something when they are empty.
_TEXTS = ("title", "system", "model")


def _fields(chat_id: str) -> Command:
    return Command("HMGET", keys.chat(chat_id), *_FIELDS)


def _wanted(before: str | None, at: str | None, limit: int | None) -> int | None:
    """Return how many messages a transcript takes from a branch; None where only reading it tells."""
    # `before` itself is read for its parent, and left out.
    return limit + int(before is not None) if limit is not None and at is None else None
