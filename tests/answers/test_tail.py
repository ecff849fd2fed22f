"""The blocked read of all streams: it takes in new ones at once, and a damaged one holds up no other."""

import asyncio
import secrets
from collections.abc import Awaitable
from typing import Any

from chatapp.storage.connections import Connections
from chatapp.storage.tail import RawEntries, Tail
from chatapp.tasks import background


class Notes:
    """A follower that notes what it is told."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.told: list[tuple[str, bytes]] = []

    def take(self, key: str, raw: RawEntries) -> Awaitable[None] | None:
        self.told += [(key, entry_id) for entry_id, _ in raw]
        self.changed.set()
        return None

    async def check(self) -> None:
        pass

    def doubt(self) -> None:
        pass

    def pause(self) -> float:
        return 0

    async def told_of(self, key: str, entry_id: bytes, timeout: float) -> None:
        async with asyncio.timeout(timeout):
            while (key, entry_id) not in self.told:
                self.changed.clear()
                await self.changed.wait()


async def added(connections: Connections, tail: Tail, notes: Notes, timeout: float = 2) -> str:
    """Let a stream be followed, write to it, and wait until that is told."""
    key = secrets.token_hex(8)
    tail.watch(key, "0-0", notes)
    await tail.ring()
    entry_id: Any = await connections.commands.xadd(key, {"a": "b"})
    await notes.told_of(key, entry_id, timeout)
    return key


async def test_streams_are_told_of_at_once(connections: Connections) -> None:
    tail, notes = Tail(connections.commands, connections.hub), Notes()
    tail.join(notes)
    async with background(tail.run()):
        for _ in range(5):
            await added(connections, tail, notes)


async def test_a_bell_that_another_server_does_not_have(connections: Connections) -> None:
    """The clock of a server that takes over may be behind: what rings there comes before what was heard."""
    tail, notes = Tail(connections.commands, connections.hub), Notes()
    tail.join(notes)
    redis = connections.commands
    async with background(tail.run()):
        await added(connections, tail, notes)
        found: Any = await redis.keys("hub:*:doorbell")
        [bell] = found
        await redis.xadd(bell, {"": ""}, id="99999999999999-0")
        async with asyncio.timeout(5):
            while tail._positions[bell.decode()] != b"99999999999999-0":
                await asyncio.sleep(0.01)
        await redis.delete(bell)
        readers: Any = [each["id"] for each in await redis.client_list() if each["cmd"] == "xread"]
        for number in readers:
            await redis.client_kill_filter(_id=number)
        await asyncio.sleep(0.7)
        for _ in range(3):
            await added(connections, tail, notes)


async def test_a_damaged_stream_holds_up_no_other(connections: Connections) -> None:
    tail, notes = Tail(connections.commands, connections.hub), Notes()
    tail.join(notes)
    redis = connections.commands
    async with background(tail.run()):
        keys = [await added(connections, tail, notes) for _ in range(3)]
        await redis.set(keys[1], "something else")
        await added(connections, tail, notes, timeout=5)
        entry_id: Any = await redis.xadd(keys[2], {"a": "b"})
        await notes.told_of(keys[2], entry_id, 2)
