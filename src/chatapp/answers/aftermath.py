"""What follows an answer's end, whoever ended it, and however soon that process died.

Who ends an answer does it at once; whoever looks at the ended answer later does what was left undone.
"""

from typing import Any

from redis.asyncio import Redis

from chatapp.models import ChatEvent, Status
from chatapp.storage import keys
from chatapp.storage.events import publish
from chatapp.storage.scripts import TOLD, Call, Command, run, run_in_order

__all__ = ("see_to_end",)


async def see_to_end(redis: Redis, chat_id: str, message_id: str) -> None:
    """Tell the owner's readers that this answer has ended, if it has and nobody has told them."""
    generation: Any
    chat: Any
    generation, chat = await run_in_order(
        redis,
        Command("HMGET", keys.generation(chat_id), "message", "state", "fence", "told"),
        Command("HMGET", keys.chat(chat_id), "owner", "deleted_at"),
    )
    message, state, fence, told = generation
    owner, deleted_at = chat
    if owner is None or message != message_id.encode() or told == fence or Status(state.decode()).active:
        return
    event = ChatEvent(type="finished", chat_id=chat_id, message_id=message_id, status=Status(state.decode()))
    if deleted_at is None:
        await publish(redis, owner.decode(), event)
    await run(redis, Call(TOLD, [keys.generation(chat_id)], fence))
