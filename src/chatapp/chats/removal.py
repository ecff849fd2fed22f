"""Delete a chat, take that back for a while, and then remove every trace of it."""

import asyncio
import logging
from datetime import datetime
from typing import Any

import msgspec
from redis.asyncio import Redis

from chatapp.answers.aftermath import add_digest, see_to_end
from chatapp.answers.lease import KEEP_LOG
from chatapp.chats.input import require_id
from chatapp.errors import NotFound
from chatapp.models import ChatEvent, Outcome, Status
from chatapp.storage import keys
from chatapp.storage.events import publication, publish
from chatapp.storage.messages import read_generation
from chatapp.storage.scripts import (
    DELETE,
    DUE,
    RESTORE,
    SCHEDULE,
    UNLIST,
    Call,
    Command,
    chat_keys,
    run,
    run_in_order,
)
from chatapp.storage.signatures import forget

__all__ = ("Purge", "Removal")

logger = logging.getLogger(__name__)

#: Milliseconds in which a deletion can be taken back, and after which nothing is left of the chat: a little
#: later, so that the two never meet.
_UNDO_MS = 30_000
_PURGE_MS = 32_000
#: Milliseconds: a chat that is listed further ahead shows that the clock was set back. Generous, because what
#: is removed too early cannot be restored.
_FARTHEST_MS = 300_000
_PURGE_EVERY = 5.0
#: Chats removed each time.
_PURGED = 100
_STOPPED = msgspec.json.encode(Outcome(status=Status.STOPPED))


class Removal:
    """Delete chats, and take that back, for their owner."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def delete(self, owner: str, chat_id: str) -> None:
        """Delete a chat, and stop its running answer; raise NotFound where there is none."""
        require_id(chat_id)
        # Listed first: if we end here, the purge finds a chat that was not deleted, and leaves it alone.
        listed = Call(SCHEDULE, [keys.DELETED], chat_id, _PURGE_MS, "")
        message_id, _ = await read_generation(self._redis, chat_id)
        while True:
            delete = Call(DELETE, chat_keys(chat_id, message_id), owner, message_id, _STOPPED, KEEP_LOG)
            [_, score], reply = await run_in_order(self._redis, listed, delete)
            match reply:
                case ["OK"]:
                    unlist = Command("ZREM", keys.user_chats(owner), chat_id)
                    event = ChatEvent(type="deleted", chat_id=chat_id)
                    await run_in_order(self._redis, unlist, *publication(owner, event))
                    return
                case ["RUNNING", running]:
                    message_id = running.decode()
                case _:
                    await run(self._redis, Call(UNLIST, [keys.DELETED], chat_id, score))
                    raise NotFound

    async def restore(self, owner: str, chat_id: str) -> None:
        """Take a deletion back; raise NotFound when that is too late."""
        require_id(chat_id)
        reply = await run(self._redis, Call(RESTORE, chat_keys(chat_id, ""), owner, _UNDO_MS))
        if reply[0] != "OK":
            raise NotFound
        await _list_again(self._redis, chat_id)
        # The deletion may have stopped an answer; nothing that follows an end has been done for it yet.
        message_id, _ = await read_generation(self._redis, chat_id)
        await add_digest(self._redis, chat_id, message_id)
        await see_to_end(self._redis, chat_id, message_id)
        await publish(self._redis, owner, ChatEvent(type="restored", chat_id=chat_id))


class Purge:
    """Remove what was deleted; every process does, and it harms nobody when several do at once."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def run(self) -> None:
        """Look for deleted chats until cancelled."""
        while True:
            await asyncio.sleep(_PURGE_EVERY)
            try:
                due = await run(self._redis, Call(DUE, [keys.DELETED], _PURGED, _FARTHEST_MS))
                for chat_id in due[1:]:
                    await self.purge(chat_id.decode())
            except Exception as error:  # nothing may end this loop
                logger.warning("removing deleted chats: %s; trying again", type(error).__name__)

    async def purge(self, chat_id: str) -> None:
        """Remove one chat, if it is deleted; put it back into its list if it is not."""
        fields: Any = await self._redis.hmget(keys.chat(chat_id), ["owner", "deleted_at", "share"])
        owner, deleted_at, share = fields
        if owner is not None and deleted_at is None:
            # Never deleted, or restored by somebody who ended before this.
            await _list_again(self._redis, chat_id)
            return
        names: Any = await self._redis.hkeys(keys.messages(chat_id))
        logs = [keys.log(chat_id, name.decode()) for name in names if b":" not in name]
        if owner is not None:
            await self._redis.zrem(keys.user_chats(owner.decode()), chat_id)
            if share is not None:
                await self._redis.unlink(keys.share(share.decode()))
            await forget(self._redis, owner.decode(), chat_id)
        # Nobody writes to a chat that is marked as deleted, so removing its keys needs no script.
        await self._redis.unlink(*logs, *chat_keys(chat_id, "")[:1], *chat_keys(chat_id, "")[2:])
        await self._redis.zrem(keys.DELETED, chat_id)


async def _list_again(redis: Redis, chat_id: str) -> None:
    """Put a chat that is not deleted back into its owner's list."""
    fields: Any = await redis.hmget(keys.chat(chat_id), ["owner", "updated_at"])
    owner, updated_at = fields
    if owner is not None and updated_at is not None:
        score = datetime.fromisoformat(updated_at.decode()).timestamp()
        # `nx`: a chat that was used since keeps its place.
        await redis.zadd(keys.user_chats(owner.decode()), {chat_id: score}, nx=True)
    await redis.zrem(keys.DELETED, chat_id)
