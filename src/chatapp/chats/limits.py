"""Limit how many answers of one person run at once, and questions a minute; exact over all processes.

Only its generation says whether an answer runs. The set that is kept here names the chats to look at, so
there is no counter that a process could leave wrong when it dies. It is looked through only when it is full.
"""

from typing import Any

from redis.asyncio import Redis

from chatapp.errors import LimitReached
from chatapp.models import Status
from chatapp.storage import keys
from chatapp.storage.scripts import ADMIT, UNLIST, Call, Command, run, run_in_order

__all__ = ("Limits",)

#: Questions a minute, for every answer that may run at once.
_PACE = 6
#: After this long a turn that was let in and has not begun never will (its process died), in ms.
_BEGINS_MS = 10_000
#: Seconds after which trying again is worth it: nobody knows when an answer ends.
_RETRY = 5


class Limits:
    """What one person may have; `running`: answers at once, 0 for no limit at all."""

    def __init__(self, redis: Redis, running: int) -> None:
        self._redis = redis
        self._running = running

    async def admit(self, owner: str, chat_id: str) -> None:
        """Let this owner begin an answer in a chat, or raise LimitReached."""
        if not self._running:
            return
        a_minute = _PACE * self._running
        listed = keys.user_running(owner)
        admit = Call(
            ADMIT, [listed, keys.user_pace(owner)], chat_id, self._running, 60_000 // a_minute, a_minute
        )
        reply = await run(self._redis, admit)
        if reply[0] == "FULL":
            await self._forget_ended(listed)
            reply = await run(self._redis, admit)
        match reply:
            case ["SOON", milliseconds]:
                seconds = -(-int(milliseconds) // 1000)
                raise LimitReached(
                    f"Too many questions in a short time. Please send this again in {seconds} s.", seconds
                )
            case ["FULL"]:
                raise LimitReached(
                    f"No more than {self._running} of your answers can run at once. "
                    "Stop one, or wait until one is done.",
                    _RETRY,
                )

    async def _forget_ended(self, listed: str) -> None:
        """Take those chats off the list in which nothing runs and nothing is about to begin."""
        seconds, _ = await self._redis.time()
        noted: Any = await self._redis.zrange(listed, 0, -1, withscores=True)
        if not noted:
            return
        look = (Command("HMGET", keys.generation(chat.decode()), "state", "fence") for chat, _ in noted)
        found = await run_in_order(self._redis, *look)
        ended = []
        for (chat, score), (state, fence) in zip(noted, found, strict=True):
            running = state is not None and Status(state.decode()).active
            # A fence is a time: this one is so late that the admitted turn has begun.
            begun = fence is not None and int(fence) >= score
            if not running and (begun or seconds * 1000 - score > _BEGINS_MS):
                # By its score: meanwhile the next turn of this chat may have been let in.
                ended.append(Call(UNLIST, [listed], chat, int(score)))
        if ended:
            await run_in_order(self._redis, *ended)
