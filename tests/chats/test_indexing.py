"""What nobody has indexed is found all the same: at once with few chats, soon with many."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatapp.chats import indexing as module
from chatapp.chats.indexing import Indexing
from chatapp.chats.listing import Listing
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.signatures import BYTES, index
from tests.answers.conftest import OWNER
from tests.chats.conftest import listed


@pytest.fixture
async def indexing(connections: Connections) -> AsyncIterator[Indexing]:
    indexing = Indexing(connections.commands)
    yield indexing
    await indexing.aclose()


async def find(connections: Connections, indexing: Indexing, q: str) -> list[str]:
    page = await Listing(connections.commands, indexing).page(OWNER, q=q)
    return [chat.id for chat in page.chats]


async def is_done(connections: Connections) -> bool:
    return bool(await connections.commands.hexists(keys.user_slots(OWNER), keys.INDEXED))


async def test_the_first_search_finds_it(connections: Connections, indexing: Indexing) -> None:
    old = await listed(connections, "An old pear", score=1)
    # Of before, and something was said in it since.
    half = await listed(connections, "A pear of before", score=2)
    await index(connections.commands, OWNER, half.chat_id, ["t", "something new"])
    new = await listed(connections, "A new pear", score=3)
    await index(connections.commands, OWNER, new.chat_id, ["t", "A new pear"])
    await connections.commands.zadd(keys.user_chats(OWNER), {"f" * 32: 9})
    assert await find(connections, indexing, "pear") == [new.chat_id, half.chat_id, old.chat_id]
    assert await is_done(connections)
    # The title too, and each has one place.
    assert len(await find(connections, indexing, "t")) == 3
    assert await connections.commands.strlen(keys.user_signatures(OWNER)) == 3 * BYTES


async def test_all_branches_of_a_chat(connections: Connections, indexing: Indexing) -> None:
    asked = await listed(connections, "An apple")
    await connections.commands.hset(keys.messages(asked.chat_id), f"{asked.message_id}:text", "or a plum")
    assert await find(connections, indexing, "apple plum") == [asked.chat_id]


async def test_it_happens_once(connections: Connections, indexing: Indexing) -> None:
    assert await find(connections, indexing, "pear") == []
    late = await listed(connections, "A pear that nobody indexes")
    assert await find(connections, indexing, "pear") == []
    await index(connections.commands, OWNER, late.chat_id, ["A pear"])
    assert await find(connections, indexing, "pear") == [late.chat_id]


async def test_not_what_is_deleted(connections: Connections, indexing: Indexing) -> None:
    asked = await listed(connections, "A pear")
    await connections.commands.hset(keys.chat(asked.chat_id), "deleted_at", "1")
    assert await find(connections, indexing, "pear") == []
    assert not await connections.commands.hexists(keys.user_slots(OWNER), asked.chat_id)


async def test_many_are_done_in_the_background(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    monkeypatch.setattr(module, "_REST", 100.0)
    asked = [await listed(connections, "A pear", score=number) for number in range(30)]
    first = Indexing(connections.commands)
    async with asyncio.timeout(10):
        while not (found := await find(connections, first, "pear")):
            await asyncio.sleep(0)
    # The last used one first.
    assert found[0] == asked[-1].chat_id
    # The process ends in the middle of it; the next one begins anew.
    await first.aclose()
    assert not await is_done(connections)
    monkeypatch.setattr(module, "_REST", 1.0)
    second = Indexing(connections.commands)
    async with asyncio.timeout(10):
        while not await is_done(connections):
            assert await find(connections, second, "pear")
            await asyncio.sleep(0.01)
    found = await find(connections, second, "pear")
    assert found == [one.chat_id for one in reversed(asked)]
    assert await connections.commands.strlen(keys.user_signatures(OWNER)) == 30 * BYTES
    await second.aclose()


async def test_two_processes_at_once(connections: Connections) -> None:
    asked = [await listed(connections, "A pear", score=number) for number in range(5)]
    both = Indexing(connections.commands), Indexing(connections.commands)
    found = await asyncio.gather(*[find(connections, one, "pear") for one in both for _ in range(3)])
    for one in both:
        await one.aclose()
    assert found == [[one.chat_id for one in reversed(asked)]] * 6
    assert await connections.commands.strlen(keys.user_signatures(OWNER)) == 5 * BYTES
