"""Start an answer so that it cannot get lost: listed before it exists, looked after until it is on disk."""

import asyncio
import logging
from contextlib import suppress

from msgspec import Struct
from redis.asyncio import Redis

from chatapp.chats.limits import Limits
from chatapp.chats.starts import Start
from chatapp.storage import keys
from chatapp.storage.connections import UNREACHABLE
from chatapp.storage.durability import Durability
from chatapp.storage.events import publication
from chatapp.storage.hints import announcement
from chatapp.storage.scripts import SCHEDULE, UNLIST, Call, Command, Reply, run, run_in_order
from chatapp.storage.signatures import indexing
from chatapp.tasks import cancel

__all__ = ("Turn", "Turns")

logger = logging.getLogger(__name__)

#: After this the reaper looks for a turn whose hint was lost.
_HINT_MS = 2000


class Turn(Struct, frozen=True):
    """A question and its answer that has begun."""

    chat_id: str
    user_message_id: str
    message_id: str


class Turns:
    """Start answers, and make sure that Redis has kept them."""

    def __init__(self, redis: Redis, limits: Limits, durability: Durability) -> None:
        self._redis = redis
        self._limits = limits
        self._durability = durability
        self._looking: set[asyncio.Task[None]] = set()

    async def start(self, start: Start) -> Reply:
        """Run the script and return its reply; `OK` also when an earlier try did it and its reply was lost.

        Raises LimitReached.
        """
        server = self._durability.server
        await self._limits.admit(start.owner, start.chat_id)
        # In this order: listed as due before it exists, a turn is found by the reaper if Redis or we end
        # here. Listed once more behind it, because an ended answer is unlisted by whoever looks at it, and
        # this may be one that goes on. A hint of what was not begun harms nobody.
        listed = Call(SCHEDULE, [keys.DUE], start.work, _HINT_MS, "")
        reply: Reply
        _, _, reply, listing, _ = await run_in_order(
            self._redis,
            listed,
            Command("ZADD", keys.user_chats(start.owner), str(start.when.timestamp()), start.chat_id),
            start.call,
            listed,
            announcement(start.work),
        )
        # Sent again after a lost reply it finds this very turn, which must stay listed.
        if reply[0] == "OK" or reply[2:] == [start.token.encode()]:
            self._look_after(start, server)
            return ["OK", *reply[1:]]
        await run(self._redis, Call(UNLIST, [keys.DUE], start.work, listing[1]))
        return reply

    def _look_after(self, start: Start, server: bytes) -> None:
        """Publish a new turn, and begin the same one again if Redis loses it with its last second.

        `server`: which one it was before the turn began.
        """

        async def look_after(server: bytes) -> None:
            # What gets lost here is made up for at the answer's end: see `answers.aftermath`.
            with suppress(*UNREACHABLE):
                found = [await indexing(start.owner, start.chat_id, start.words)] if start.words else []
                await run_in_order(self._redis, *publication(start.owner, *start.events), *found)
            # Listed first: whatever happens then, the reaper finds it.
            listed = Call(SCHEDULE, [keys.DUE], start.work, _HINT_MS, "")
            while not await self._durability.settled(server):
                server = self._durability.server
                try:
                    _, reply = await run_in_order(self._redis, listed, start.call)
                    if reply[0] != "OK":
                        return
                    logger.warning("a turn that Redis had lost was begun again")
                    await run_in_order(self._redis, announcement(start.work))
                except UNREACHABLE:
                    # Redis is away again; the next round sees what it still has.
                    continue

        task = asyncio.create_task(look_after(server))
        self._looking.add(task)
        task.add_done_callback(self._looked)

    def _looked(self, task: "asyncio.Task[None]") -> None:
        self._looking.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.warning("looking after a new turn: %s", type(error).__name__)

    async def aclose(self) -> None:
        """Stop looking after new turns."""
        await cancel(self._looking)
