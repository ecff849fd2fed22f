"""What counts as being on Redis' disk."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatapp.storage import durability as durability_module
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from tests.support.processes import RedisProcess


@pytest.fixture
async def redis() -> AsyncIterator[RedisProcess]:
    async with RedisProcess() as redis:
        yield redis


async def calls(connections: Connections) -> int:
    """How often Redis was asked to wait for its disk."""
    stats = await connections.commands.info("commandstats")
    return int(stats.get("cmdstat_waitaof", {"calls": 0})["calls"])


async def test_a_full_memory_says_nothing_about_the_disk(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        durability = Durability(connections.disk)
        await connections.commands.config_set("maxmemory", 1)
        waiting = asyncio.create_task(durability.settled())
        await asyncio.sleep(1)
        assert not waiting.done()
        await connections.commands.config_set("maxmemory", 0)
        await asyncio.wait_for(waiting, 10)
        before = await calls(connections)
        await durability.settled()
        assert await calls(connections) > before


async def test_without_an_append_only_file_a_while_counts(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        await connections.commands.config_set("appendonly", "no")
        durability = Durability(connections.disk)
        await asyncio.wait_for(durability.settled(), 10)
        before = await calls(connections)
        await asyncio.wait_for(durability.settled(), 10)
        assert await calls(connections) == before


async def test_a_server_that_does_not_sync_is_not_asked_for_ever(
    redis: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability_module, "_UNSYNCED", 2)
    async with Connections(redis.url) as connections:
        await connections.commands.config_set("appendfsync", "no")
        durability = Durability(connections.disk)
        await asyncio.wait_for(durability.settled(), 15)
        before = await calls(connections)
        await asyncio.wait_for(durability.settled(), 10)
        assert await calls(connections) == before + 1 == 3
        await connections.commands.config_set("appendfsync", "always")
        # Now it tells again, and is believed at once.
        await asyncio.wait_for(durability.settled(), 1)


async def test_a_server_that_has_been_the_same_has_kept_it(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        durability = Durability(connections.disk)
        assert not await durability.settled(durability.server), "nobody knew which one it was"
        known = durability.server
        assert known
        assert await durability.settled(known)
        assert not await durability.settled(b"another")


async def test_a_server_that_was_restarted_may_have_lost_it(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        durability = Durability(connections.disk)
        await durability.settled()
        known = durability.server
        redis.restart()
        assert not await durability.settled(known)
        assert await durability.settled(durability.server)


async def test_a_server_that_does_not_sync_is_never_certain(redis: RedisProcess) -> None:
    async with Connections(redis.url) as connections:
        durability = Durability(connections.disk)
        await durability.settled()
        known = durability.server
        await connections.commands.config_set("appendonly", "no")
        assert not await asyncio.wait_for(durability.settled(known), 10)
        assert not durability.server
