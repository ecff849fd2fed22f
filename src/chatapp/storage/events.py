"""Publish what happened to a person's chats in a stream of theirs, for the list and other tabs and devices.

A reader of an event reads the chat itself anew. So an event that comes twice, or that tells of something that
did not happen after all, does no harm.
"""

from typing import Any

import msgspec
from redis.asyncio import Redis

from chatapp.models import ChatEvent, Cursor
from chatapp.storage import keys
from chatapp.storage.scripts import Command, run_in_order

__all__ = ("EVENTS_KEPT", "START", "cursor_of", "newest", "publication", "publish")

#: Events that a reader may have missed and still gets, and seconds without one after which all are forgotten.
EVENTS_KEPT = 1000
_KEEP = 7 * 24 * 3600
#: Where a stream is read from that has never had an event.
START = Cursor(0, 0)


def publication(owner: str, *events: ChatEvent) -> list[Command]:
    """Return the commands that tell events to this owner's readers."""
    key = keys.user_events(owner)
    adding = [
        Command(
            "XADD", key, "MAXLEN", "~", EVENTS_KEPT, "*", "t", event.type, "d", msgspec.json.encode(event)
        )
        for event in events
    ]
    return [*adding, Command("EXPIRE", key, _KEEP)]


async def publish(redis: Redis, owner: str, *events: ChatEvent) -> None:
    """Tell events to this owner's readers."""
    await run_in_order(redis, *publication(owner, *events))


def newest(owner: str) -> Command:
    """Return the command that reads this owner's last event; `cursor_of` takes its reply."""
    return Command("XREVRANGE", keys.user_events(owner), "+", "-", "COUNT", 1)


def cursor_of(reply: Any) -> Cursor:
    """Return where the stream ends: who follows from here misses nothing of what comes after."""
    return (Cursor.parse(reply[0][0].decode()) if reply else None) or START
