"""Show a chat to everybody who has its link, as it was when it was shared, until that is taken back."""

import secrets
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace
from redis.asyncio import Redis

from chatapp.chats.input import require_id
from chatapp.chats.reading import Reading, Transcript
from chatapp.errors import NotFound
from chatapp.storage import keys
from chatapp.storage.scripts import SHARE, UNSHARE, Call, run

__all__ = ("Sharing",)


class Sharing:
    """The public links of chats; a link names the last message of the branch that it shows."""

    def __init__(self, redis: Redis, chats: Reading) -> None:
        self._redis = redis
        self._chats = chats

    async def share(self, owner: str, chat_id: str) -> str:
        """Return the token of the chat's link, which from now on shows the branch as it is now."""
        require_id(chat_id)
        reply = await run(self._redis, Call(SHARE, [keys.chat(chat_id)], owner, secrets.token_hex(16)))
        if reply[0] != "OK":
            raise NotFound
        token: str = reply[1].decode()
        head = reply[2].decode()
        link: dict[Any, Any] = {"chat": chat_id, "owner": owner, "head": head}
        await self._redis.hset(keys.share(token), mapping=link | {"at": datetime.now(UTC).isoformat()})
        return token

    async def unshare(self, owner: str, chat_id: str) -> None:
        """Take the chat's link back; it leads nowhere from now on."""
        require_id(chat_id)
        reply = await run(self._redis, Call(UNSHARE, [keys.chat(chat_id)], owner))
        if reply[0] != "OK":
            raise NotFound
        if reply[1] is not None:
            await self._redis.unlink(keys.share(reply[1].decode()))

    async def shared(self, token: str) -> Transcript:
        """Return the messages behind a link, and of the chat only what everybody may know."""
        require_id(token)
        raw: Any = await self._redis.hgetall(keys.share(token))
        link = {name.decode(): value.decode() for name, value in raw.items()}
        if "owner" not in link:
            raise NotFound
        chat = await self._chats.chat(link["owner"], link["chat"])
        if chat.share != token:
            # Taken back by somebody who ended before the link was gone.
            raise NotFound
        transcript = await self._chats.window(replace(chat, head=link["head"]))
        public = replace(transcript.chat, owner="", system="", share=None)
        return replace(transcript, chat=public)
