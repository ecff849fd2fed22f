"""A person's events: whoever comes back with a cursor gets each of them once, or is told to look anew."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatapp.answers.viewer import Pause
from chatapp.chats import feed as feeds
from chatapp.chats.feed import Feed, FeedEvent, Reader
from chatapp.models import ChatEvent, Cursor
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.events import publish
from chatapp.storage.tail import Tail
from chatapp.tasks import background
from tests.answers.conftest import OWNER
from tests.support.processes import RedisProcess


@asynccontextmanager
async def following(connections: Connections) -> AsyncIterator[Feed]:
    tail = Tail(connections.commands, connections.hub)
    feed = Feed(connections.commands, tail)
    async with background(tail.run()):
        yield feed


async def tell(connections: Connections, number: int, owner: str = OWNER) -> None:
    await publish(connections.commands, owner, ChatEvent(type="changed", chat_id=str(number)))


async def some(reader: Reader, count: int) -> list[FeedEvent]:
    """Wait for so many events."""
    found: list[FeedEvent] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += reader.take()
            if len(found) < count:
                assert await reader.wait() is None
    return found


def numbers(events: list[FeedEvent]) -> list[int]:
    return [int(json.loads(h.data)["chat_id"]) for h in events if h.name == "changed"]


async def test_from_now_on(connections: Connections) -> None:
    await tell(connections, 1)
    async with following(connections) as feed, feed.follow(OWNER, None) as reader:
        [first] = await some(reader, 1)
        assert (first.name, first.data) == ("open", b"{}")
        assert first.cursor == await feed.position(OWNER)
        for number in (2, 3):
            await tell(connections, number)
        await tell(connections, 4, "f" * 32)
        assert numbers(await some(reader, 2)) == [2, 3]


@pytest.mark.parametrize("before", [0, 1])
async def test_cut_connections_of_two_processes(connections: Connections, before: int) -> None:
    """Every event once, wherever the connection is cut, and whichever process takes the reader then."""
    dice = random.Random(626)
    for number in range(before):
        await tell(connections, -1 - number)
    sent, got = 0, list[int]()
    async with (
        Connections(connections.url) as others,
        following(connections) as one,
        following(others) as two,
    ):
        cursor = await one.position(OWNER)
        while sent < 120 or len(got) < sent:
            async with dice.choice((one, two)).follow(OWNER, cursor) as reader:
                for _ in range(dice.randrange(3) if sent < 118 else 120 - sent):
                    await tell(connections, sent)
                    sent += 1
                # Some are cut before they get anything, or in the middle of it.
                if len(got) < sent and dice.random() < 0.8:
                    for happening in await some(reader, 1):
                        got += numbers([happening])
                        cursor = happening.cursor
                        if dice.random() < 0.3:
                            break
    assert got == list(range(120))


async def test_a_cursor_that_is_not_known(connections: Connections) -> None:
    async with following(connections) as feed:
        for number in range(5):
            await tell(connections, number)
        entries: Any = await connections.commands.xrange(keys.user_events(OWNER))
        known = [Cursor(*map(int, entry_id.split(b"-"))) for entry_id, _ in entries]
        await connections.commands.xtrim(keys.user_events(OWNER), minid=str(known[2]), approximate=False)
        top = await feed.position(OWNER)
        strange = (known[0], Cursor(5, 5), Cursor(top.fence + 9, 0), Cursor(10**19 * 2, 0))
        for cursor in strange:
            async with feed.follow(OWNER, cursor) as reader:
                [first] = await some(reader, 1)
                assert (first.name, first.cursor, first.data) == ("reset", top, b"{}")
        async with feed.follow(OWNER, known[2]) as reader:
            assert numbers(await some(reader, 2)) == [3, 4]


async def test_from_before_the_first_event(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "EVENTS_KEPT", 4)
    async with following(connections) as feed:
        start = await feed.position(OWNER)
        for number in range(3):
            await tell(connections, number)
        async with feed.follow(OWNER, start) as reader:
            assert numbers(await some(reader, 3)) == [0, 1, 2]
        await tell(connections, 3)
        # From here on some may have been forgotten.
        async with feed.follow(OWNER, start) as reader:
            assert [h.name for h in await some(reader, 1)] == ["reset"]


async def test_a_slow_reader(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_KEPT", 10)
    async with following(connections) as feed, feed.follow(OWNER, None) as slow:
        async with feed.follow(OWNER, None) as quick:
            assert len(await some(slow, 1)) == 1
            await some(quick, 1)
            for number in range(12):
                await tell(connections, number)
                assert numbers(await some(quick, 1)) == [number]
        [told] = await some(slow, 1)
        assert (told.name, told.cursor) == ("reset", await feed.position(OWNER))
        await tell(connections, 12)
        assert numbers(await some(slow, 1)) == [12]


async def test_one_connection_for_all(connections: Connections) -> None:
    async with following(connections) as feed:
        owners = [f"{number:032x}" for number in range(50)]

        async def read(owner: str) -> list[int]:
            async with feed.follow(owner, None) as reader:
                await some(reader, 1)
                ready.append(owner)
                return numbers(await some(reader, 3))

        ready: list[str] = []
        tasks = [asyncio.create_task(read(owner)) for owner in owners * 4]
        async with asyncio.timeout(10):
            while len(ready) < len(tasks):
                await asyncio.sleep(0.01)
        for number in range(3):
            for owner in owners:
                await tell(connections, number, owner)
        assert await asyncio.gather(*tasks) == [[0, 1, 2]] * 200
        assert (await connections.commands.info("clients"))["connected_clients"] <= 6


async def test_the_end_of_the_process(connections: Connections) -> None:
    async with following(connections) as feed, feed.follow(OWNER, None) as reader:
        await some(reader, 1)
        waiting = asyncio.create_task(reader.wait())
        await asyncio.sleep(0)
        feed.close()
        async with asyncio.timeout(5):
            assert await waiting is Pause.COME_BACK


async def test_redis_restarts() -> None:
    with RedisProcess() as redis:
        async with (
            Connections(redis.url) as connections,
            following(connections) as feed,
            feed.follow(OWNER, None) as reader,
        ):
            await some(reader, 1)
            await tell(connections, 1)
            assert numbers(await some(reader, 1)) == [1]
            await asyncio.to_thread(redis.kill)
            await asyncio.to_thread(redis.start)
            await tell(connections, 2)
            assert numbers(await some(reader, 1)) == [2]
