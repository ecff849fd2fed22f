"""Deleting: what a crash between two steps leaves, and what the purge makes of it."""

import asyncio
import hashlib
from typing import Any

import pytest

from chatapp.answers.aftermath import see_to_end
from chatapp.chats import removal
from chatapp.chats.listing import Listing
from chatapp.chats.removal import Purge, Removal
from chatapp.errors import NotFound
from chatapp.models import EntryType, Outcome, Status
from chatapp.storage import keys
from chatapp.storage.appends import Append, Batch
from chatapp.storage.connections import Connections
from chatapp.storage.messages import read_saved
from chatapp.storage.scripts import CLAIM, DELETE, SCHEDULE, Call, chat_keys, run
from chatapp.tasks import background
from tests.answers.conftest import HEAD, OWNER, Asked
from tests.chats.conftest import listed
from tests.chats.desk import Desk

STRANGER = "f" * 32


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute is tested once, with the whole program: see tests/chaos."""
    monkeypatch.setattr(removal, "_PURGE_EVERY", 0.01)


async def left(connections: Connections, asked: Asked) -> list[bytes]:
    """Every key of the chat that there is."""
    found: Any = await connections.commands.keys(f"*{asked.chat_id}*")
    return list(found)


async def test_nothing_is_left(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_PURGE_MS", 50)
    asked, other = await listed(connections), await listed(connections)
    await Removal(connections.commands).delete(OWNER, asked.chat_id)
    # Older answers have logs, too.
    await connections.commands.xadd(keys.log(asked.chat_id, "e" * 32), {"t": "o", "d": ""}, id="1-0")
    head = HEAD % (b"e" * 32, b"null", b"assistant")
    await connections.commands.hset(keys.messages(asked.chat_id), "e" * 32, head)
    async with background(Purge(connections.commands).run()), asyncio.timeout(5):
        while await left(connections, asked):
            await asyncio.sleep(0.01)
        while await connections.commands.zcard(keys.DELETED):
            await asyncio.sleep(0.01)
    assert len(await left(connections, other)) == 5
    # Whoever comes too late makes nothing anew.
    await asked.stop()
    with pytest.raises(NotFound):
        await Removal(connections.commands).restore(OWNER, asked.chat_id)
    assert await left(connections, asked) == []


async def test_taken_back(connections: Connections) -> None:
    asked, later = await listed(connections), await listed(connections)
    deleting = Removal(connections.commands)
    await deleting.delete(OWNER, asked.chat_id)
    await deleting.delete(OWNER, asked.chat_id)
    assert [chat.id for chat in (await Listing(connections.commands).page(OWNER)).chats] == [later.chat_id]
    for _ in range(2):
        await deleting.restore(OWNER, asked.chat_id)
        page = await Listing(connections.commands).page(OWNER)
        assert {chat.id: chat.status for chat in page.chats}[asked.chat_id] == "stopped"
    assert await connections.commands.zcard(keys.DELETED) == 0


async def test_too_late(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_UNDO_MS", -1)
    asked = await listed(connections)
    await Removal(connections.commands).delete(OWNER, asked.chat_id)
    with pytest.raises(NotFound):
        await Removal(connections.commands).restore(OWNER, asked.chat_id)


@pytest.mark.parametrize("name", ["delete", "restore"])
async def test_of_somebody_else(connections: Connections, name: str) -> None:
    asked = await listed(connections)
    for chat_id in (asked.chat_id, "0" * 32, "nonsense", "*"):
        with pytest.raises(NotFound):
            await getattr(Removal(connections.commands), name)(STRANGER, chat_id)
    assert len((await Listing(connections.commands).page(OWNER)).chats) == 1
    assert await connections.commands.zcard(keys.DELETED) == 0


async def test_a_crash_before_the_deletion(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await listed(connections)
    await run(connections.commands, Call(SCHEDULE, [keys.DELETED], asked.chat_id, 0, ""))
    async with background(Purge(connections.commands).run()), asyncio.timeout(5):
        while await connections.commands.zcard(keys.DELETED):
            await asyncio.sleep(0.01)
    assert len((await Listing(connections.commands).page(OWNER)).chats) == 1


async def test_a_crash_in_the_middle(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted or restored, but the list says something else."""
    gone, back = await listed(connections), await listed(connections)
    for asked in (gone, back):
        await run(connections.commands, Call(SCHEDULE, [keys.DELETED], asked.chat_id, 0, ""))
    delete = Call(DELETE, gone.keys, OWNER, gone.message_id, b'{"status":"stopped"}', 600)
    await run(connections.commands, delete)
    await connections.commands.zrem(keys.user_chats(OWNER), back.chat_id)
    assert (await Listing(connections.commands).page(OWNER)).chats == []
    async with background(Purge(connections.commands).run()), asyncio.timeout(5):
        while await connections.commands.zcard(keys.DELETED):
            await asyncio.sleep(0.01)
    assert [c.id for c in (await Listing(connections.commands).page(OWNER)).chats] == [back.chat_id]
    assert await connections.commands.zrange(keys.user_chats(OWNER), 0, -1) == [back.chat_id.encode()]


async def test_an_answer_that_began_meanwhile(connections: Connections) -> None:
    asked = await listed(connections)
    stale = Call(DELETE, chat_keys(asked.chat_id, "e" * 32), OWNER, "e" * 32, b'{"status":"stopped"}', 600)
    assert await run(connections.commands, stale) == ["RUNNING", asked.message_id.encode()]
    assert (await asked.generation())["state"] == "queued"


async def test_nobody_streams_an_ended_answer_that_was_in_memory(desk: Desk) -> None:
    turn = await desk.open("q", "a")
    assert await desk.look(turn) == "a"
    await Removal(desk.redis).delete(OWNER, turn.chat_id)
    for _ in range(2):
        with pytest.raises(NotFound):
            await desk.look(turn)
    await Removal(desk.redis).restore(OWNER, turn.chat_id)
    assert await desk.look(turn) == "a"


async def test_an_answer_that_the_deletion_stopped(connections: Connections, desk: Desk) -> None:
    """Taken back, it is as one that its owner stopped: told, found by its words, and with its digest."""
    turn = await desk.chats.open(OWNER, "q")
    at = chat_keys(turn.chat_id, turn.message_id)
    claimed = await run(desk.redis, Call(CLAIM, at, turn.message_id, "nonce", 10_000, 3, "{}", 600))
    add = Batch([Append(at[:2], "nonce", int(claimed[2]) + 1, EntryType.DELTA, b"a quince")])
    assert await run(desk.redis, add) == ["OK"]
    deleting = Removal(connections.commands)
    await deleting.delete(OWNER, turn.chat_id)
    # As its worker does then.
    await see_to_end(connections.commands, turn.chat_id, turn.message_id)
    await deleting.restore(OWNER, turn.chat_id)
    saved = await read_saved(connections.commands, turn.chat_id, turn.message_id)
    assert saved is not None
    assert saved.outcome == Outcome(status=Status.STOPPED, sha256=hashlib.sha256(b"a quince").hexdigest())
    found = await Listing(connections.commands).page(OWNER, q="quince")
    assert [chat.id for chat in found.chats] == [turn.chat_id]
    events: Any = await connections.commands.xrange(keys.user_events(OWNER))
    # That it began is told by another task.
    told = [fields[b"t"].decode() for _, fields in events]
    assert [kind for kind in told if kind not in ("new", "running")] == ["deleted", "finished", "restored"]
