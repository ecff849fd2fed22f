"""The writer against a Redis that forgets, breaks off and comes back: the log ends exact."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from chatapp.answers import outbox as outbox_module
from chatapp.answers import writer
from chatapp.answers.lease import Lease
from chatapp.answers.live import LiveAnswer
from chatapp.answers.log import read_log
from chatapp.answers.outbox import Outbox
from chatapp.answers.writer import Writer
from chatapp.models import Cursor, Entry, EntryType, Outcome, Status
from chatapp.storage import appends, keys
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from chatapp.storage.messages import read_saved
from chatapp.storage.scripts import BEGIN, CLAIM, STOP, Call, chat_keys, run
from chatapp.tasks import background
from tests.answers.conftest import asked, working
from tests.support.processes import RedisProcess
from tests.support.provider import ScriptedProvider
from tests.support.proxy import FaultProxy, _Link
from tests.support.script import Script

OWNER = "0" * 32
HEAD = b'{"id":"a","parent_id":null,"role":"assistant","model":"m","created_at":"2026-01-01T00:00:00Z"}'
DONE = Outcome(status=Status.COMPLETED, finish_reason="stop")


@pytest.fixture
async def connections(redis_url: str) -> AsyncIterator[Connections]:
    async with Connections(redis_url) as connections:
        yield connections


@asynccontextmanager
async def writing(connections: Connections) -> AsyncIterator[Writer]:
    writer = Writer(connections.writer, Durability(connections.disk))
    async with background(writer.run()):
        yield writer


async def claimed(connections: Connections) -> Lease:
    """Begin an answer and claim it."""
    chat_id, message_id, nonce = (secrets.token_hex(16) for _ in range(3))
    now = "2026-01-01T00:00:00+00:00"
    begin = (OWNER, "r", "f", 1, "", "q", HEAD, "?", message_id, HEAD, now, "title", "m")
    await run(connections.commands, Call(BEGIN, chat_keys(chat_id, message_id), *begin))
    claim = (message_id, nonce, 10_000, 3, b"{}", 600)
    _, fence, seq = await run(connections.commands, Call(CLAIM, chat_keys(chat_id, message_id), *claim))
    return Lease(chat_id, message_id, nonce, Cursor(int(fence), int(seq)))


async def log_of(connections: Connections, lease: Lease) -> list[Entry]:
    reading = read_log(connections.commands, lease.chat_id, lease.message_id)
    return [entry async for batch in reading for entry in batch]


async def closed(outbox: Outbox) -> None:
    await asyncio.wait_for(outbox.closed.wait(), 20)


async def assert_exact(connections: Connections, lease: Lease, text: str) -> None:
    """The log has no hole and nothing twice, and log and saved message say the same."""
    live = LiveAnswer()
    live.apply(await log_of(connections, lease))
    saved = await read_saved(connections.commands, lease.chat_id, lease.message_id)
    assert saved is not None
    assert live.text == saved.text == text
    assert live.outcome == saved.outcome
    assert live.status is Status.COMPLETED


async def test_texts_are_joined_and_end_exact(connections: Connections) -> None:
    lease = await claimed(connections)
    async with writing(connections) as writer:
        outbox = writer.open(lease, "")
        text = ""
        for number in range(500):
            piece = f"{number}é🦉 "
            outbox.add(piece)
            text += piece
            if number % 50 == 0:
                await asyncio.sleep(0)
        outbox.finish(DONE)
        await closed(outbox)
    await assert_exact(connections, lease, text)
    assert len(await log_of(connections, lease)) < 100


async def test_a_first_text_does_not_wait_for_the_round(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rounds that are longer than this test.
    monkeypatch.setattr(writer, "_FEW", 0)
    monkeypatch.setattr(writer, "_TICK_PER_ANSWER", 600)
    monkeypatch.setattr(writer, "_MAX_TICK", 600)

    async def texts(lease: Lease) -> list[bytes]:
        return [entry.data for entry in await log_of(connections, lease) if entry.type == EntryType.DELTA]

    early, late = await claimed(connections), await claimed(connections)
    async with writing(connections) as running:
        first = running.open(early, "")
        first.add("a")
        await asyncio.wait_for(first.written(), 5)
        # From now on there is a pause.
        first.add("b")
        second = running.open(late, "")
        second.add("c")
        await asyncio.wait_for(second.written(), 5)
        second.add("d")
        assert await texts(early) == [b"a"]
        assert await texts(late) == [b"c"]


async def test_what_redis_forgot_is_sent_again_with_the_same_ids(connections: Connections) -> None:
    lease = await claimed(connections)
    async with writing(connections) as writer:
        outbox = writer.open(lease, "")
        for piece in ("one ", "two ", "three ", "four "):
            outbox.add(piece)
            await outbox.written()
        before = await log_of(connections, lease)
        await forget(connections, lease, 2)
        outbox.add("five")
        outbox.finish(DONE)
        await closed(outbox)
    assert (await log_of(connections, lease))[: len(before)] == before
    await assert_exact(connections, lease, "one two three four five")


async def test_what_redis_forgot_is_sent_again_while_the_provider_is_silent(connections: Connections) -> None:
    lease = await claimed(connections)
    async with writing(connections) as writer:
        outbox = writer.open(lease, "")
        for piece in ("one ", "two "):
            outbox.add(piece)
            await outbox.written()
        before = await log_of(connections, lease)
        await forget(connections, lease, 1)
        async with asyncio.timeout(10):
            while await log_of(connections, lease) != before:
                await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
async def test_a_connection_that_breaks_a_hundred_times_doubles_nothing(redis_server: RedisProcess) -> None:
    """The reply is lost after the script ran, or half the pipeline never arrives."""
    rng = random.Random(1)
    async with (
        Connections(redis_server.url) as direct,
        FaultProxy("127.0.0.1", redis_server.port, http=False) as proxy,
        Connections(f"redis://127.0.0.1:{proxy.port}/0") as through,
    ):
        lease = await claimed(direct)
        text = ""
        async with writing(through) as writer:
            outbox = writer.open(lease, "")
            for number in range(100):
                piece = f"{number} " * rng.randint(1, 20)
                text += piece
                outbox.add(piece)
                if rng.random() < 0.5:
                    proxy.cut_after(rng.randint(0, 40), reset=rng.random() < 0.5)
                else:
                    proxy.cut_all(reset=rng.random() < 0.5)
                await asyncio.sleep(rng.random() * 0.02)
            proxy.heal()
            outbox.finish(DONE)
            await closed(outbox)
        await assert_exact(direct, lease, text)


async def test_redis_is_killed_and_started_again(redis_server: RedisProcess) -> None:
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisProcess())
        connections = await stack.enter_async_context(Connections(redis.url))
        lease = await claimed(connections)
        async with writing(connections) as writer:
            outbox = writer.open(lease, "")
            outbox.add("before ")
            await outbox.written()
            await asyncio.to_thread(redis.kill)
            outbox.add("meanwhile ")
            await asyncio.to_thread(redis.start)
            outbox.add("after")
            outbox.finish(DONE)
            await closed(outbox)
        await assert_exact(connections, lease, "before meanwhile after")


async def test_a_stopped_answer_is_noticed_within_a_second_of_silence(connections: Connections) -> None:
    lease = await claimed(connections)
    async with writing(connections) as writer:
        outbox = writer.open(lease, "")
        outbox.add("text")
        await outbox.written()
        stopped = msgspec.json.encode(Outcome(status=Status.STOPPED))
        call = Call(STOP, lease.keys, OWNER, lease.message_id, stopped, 600)
        assert (await run(connections.commands, call))[0] == "OK"
        await asyncio.wait_for(outbox.closed.wait(), 2)
        assert outbox.lost == "CLOSED"


async def test_a_large_text_becomes_entries_of_bounded_size(connections: Connections) -> None:
    lease = await claimed(connections)
    text = "🦉é" * 100_000
    async with writing(connections) as writer:
        outbox = writer.open(lease, "")
        outbox.add(text)
        outbox.finish(DONE)
        await closed(outbox)
    assert max(len(entry.data) for entry in await log_of(connections, lease)) <= 64 << 10
    await assert_exact(connections, lease, text)


async def test_a_provider_is_not_read_on_while_redis_is_away() -> None:
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisProcess())
        connections = await stack.enter_async_context(Connections(redis.url))
        lease = await claimed(connections)
        async with writing(connections) as writer:
            outbox = writer.open(lease, "")
            await asyncio.to_thread(redis.kill)
            outbox.add("x" * (2 << 20))
            waiting = asyncio.create_task(outbox.room())
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
            await asyncio.to_thread(redis.start)
            await asyncio.wait_for(waiting, 20)


async def test_a_provider_is_hung_up_on_when_redis_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_AWAY", 0.3)
    monkeypatch.setattr(writer, "_FLUSH_TIMEOUT", 0.2)
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisProcess())
        connections = await stack.enter_async_context(Connections(redis.url))
        provider = await stack.enter_async_context(ScriptedProvider())
        await stack.enter_async_context(working(connections, provider))
        answer = await asked(connections, "n=100000 rate=200 seed=5")
        await provider.until(lambda: provider.calls and provider.calls[0].sent > 100)
        redis.pause()
        monkeypatch.setattr(outbox_module, "_ROOM", 100)
        await asyncio.wait_for(provider.calls[0].client_gone.wait(), 5)
        redis.resume()
        saved = await answer.ended()
    assert saved.outcome is not None
    assert saved.outcome.error is not None
    assert (saved.outcome.status, saved.outcome.error.code) == (Status.INTERRUPTED, "storage_away")
    assert Script(n=50_000, seed=5).text.startswith(saved.text)
    assert len(provider.calls) == 1


async def test_a_provider_without_a_word_is_hung_up_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "LEASE", 2.0)
    monkeypatch.setattr(outbox_module, "_AWAY", 1.0)
    monkeypatch.setattr(writer, "_FLUSH_TIMEOUT", 0.2)
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisProcess())
        connections = await stack.enter_async_context(Connections(redis.url))
        provider = await stack.enter_async_context(ScriptedProvider())
        await stack.enter_async_context(working(connections, provider))
        answer = await asked(connections, "n=10 seed=5 fault=stall@5")
        await provider.until(lambda: provider.calls and provider.calls[0].sent == 5)
        await asyncio.sleep(4)
        assert not provider.calls[0].client_gone.is_set(), "Redis is there"
        redis.pause()
        await asyncio.wait_for(provider.calls[0].client_gone.wait(), 8)
        redis.resume()
        saved = await answer.ended()
    assert saved.outcome is not None
    assert saved.outcome.error is not None
    assert (saved.outcome.status, saved.outcome.error.code) == (Status.INTERRUPTED, "storage_away")
    assert len(provider.calls) == 1


async def test_all_answers_share_the_room(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_SHARED_ROOM", 1000)
    lost = [Lease("c" * 32, f"{number:032}", "n", Cursor(1, 1)) for number in range(10)]
    alone = Writer(connections.writer, Durability(connections.disk))
    first = alone.open(lost[0], "")
    first.add("x" * 500)
    await asyncio.wait_for(first.room(), 1)
    for lease in lost[1:]:
        alone.open(lease, "")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first.room(), 0.1)


async def forget(connections: Connections, lease: Lease, count: int) -> None:
    """Put Redis back to what it knew before the last entries: log and generation, as a lost tail does."""
    redis, key = connections.commands, keys.log(lease.chat_id, lease.message_id)
    entries: Any = await redis.xrange(key)
    kept = entries[:-count]
    text = b"".join(fields[b"d"] for _, fields in kept if fields[b"t"] == b"d")
    async with redis.pipeline() as pipe:
        pipe.delete(key)
        for entry_id, fields in kept:
            pipe.xadd(key, fields, id=entry_id)
        last = int(kept[-1][0].split(b"-")[1])
        pipe.hset(keys.generation(lease.chat_id), mapping={"seq": last, "bytes": len(text)})
        await pipe.execute()


class Narrow(FaultProxy):
    """A way to Redis of so many bytes a second."""

    def __init__(self, port: int, rate: float) -> None:
        super().__init__("127.0.0.1", port, http=False)
        self._rate = rate
        self._free_at = 0.0

    async def _send_up(self, link: _Link, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + len(data) / self._rate
        await asyncio.sleep(self._free_at - now)
        await super()._send_up(link, data)


async def test_much_at_once_gets_through_a_narrow_way(redis_server: RedisProcess, redis_url: str) -> None:
    """After an outage there is more than one round trip can carry: it must not begin anew for ever."""
    text = "0123456789" * 90_000
    async with (
        Narrow(redis_server.port, 4e6) as way,
        Connections(f"redis://127.0.0.1:{way.port}/0") as narrow,
        Connections(redis_url) as connections,
    ):
        leases = [await claimed(connections) for _ in range(14)]
        async with writing(narrow) as writer:
            outboxes = [writer.open(lease, "") for lease in leases]
            for outbox in outboxes:
                outbox.add(text)
                outbox.finish(DONE)
            async with asyncio.timeout(25):
                for outbox in outboxes:
                    await outbox.closed.wait()
                    assert outbox.lost is None
        for lease in leases:
            await assert_exact(connections, lease, text)


@pytest.mark.parametrize(
    "damage",
    [
        lambda redis, log, _: redis.set(log, "something else"),
        lambda redis, log, _: redis.xadd(log, {"t": "d", "d": "?"}, id="99999999999999-0"),
        lambda redis, _, generation: redis.set(generation, "something else"),
        lambda redis, _, generation: redis.hdel(generation, "seq"),
        lambda redis, _, generation: redis.hset(generation, "bytes", "many"),
    ],
    ids=["log", "later-entry", "generation", "no-number", "no-size"],
)
async def test_one_damaged_answer_does_not_keep_others_from_being_written(
    connections: Connections, damage: Callable[[Any, str, str], Awaitable[object]]
) -> None:
    damaged, well = [await claimed(connections) for _ in range(2)]
    log, generation = keys.log(damaged.chat_id, damaged.message_id), keys.generation(damaged.chat_id)
    await damage(connections.commands, log, generation)
    async with writing(connections) as writer:
        first, second = writer.open(damaged, ""), writer.open(well, "")
        for number in range(5):
            first.add(f"{number} ")
            second.add(f"{number} ")
            await asyncio.wait_for(second.written(), 10)
        second.finish(DONE)
        await closed(second)
        assert not first.closed.is_set()
        # What is evicted at last ends as such.
        await connections.commands.delete(log, generation)
        await closed(first)
        assert first.lost == "GONE"
    await assert_exact(connections, well, "".join(f"{number} " for number in range(5)))


async def test_one_that_cannot_be_written_does_not_keep_others_from_being_written(
    connections: Connections,
) -> None:
    broken, well = [await claimed(connections) for _ in range(2)]
    async with writing(connections) as writer:
        first, second = writer.open(broken, ""), writer.open(well, "")
        first.add("half a character: \ud83d")
        second.add("well")
        second.finish(DONE)
        await closed(second)
        await closed(first)
        assert first.lost == "GIVEN UP"
    await assert_exact(connections, well, "well")


async def test_a_round_of_more_answers_than_one_call_takes(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appends, "_BATCH", 7)
    leases = [await claimed(connections) for _ in range(30)]
    async with writing(connections) as writer:
        boxes = [writer.open(lease, "") for lease in leases]
        for word in ("one ", "two ", "three"):
            for box in boxes:
                box.add(word)
            await asyncio.gather(*(asyncio.wait_for(box.written(), 10) for box in boxes))
        for box in boxes:
            box.finish(DONE)
            await closed(box)
    for lease in leases:
        await assert_exact(connections, lease, "one two three")


async def test_a_flow_is_taken_from_until_its_task_has_to_see_to_it(connections: Connections) -> None:
    lease, other, third = [await claimed(connections) for _ in range(3)]
    async with writing(connections) as writer:
        outbox, broken, quiet = writer.open(lease, ""), writer.open(other, ""), writer.open(third, "")
        words = [f"{number} " for number in range(30)]
        left = list(words)

        def take() -> bool:
            outbox.add(left.pop(0))
            return bool(left)

        def fail() -> bool:
            raise ValueError("of one answer")

        asked = 0

        def nothing() -> bool:
            nonlocal asked
            asked += 1
            return True

        outbox.add("begins ")
        flowing = asyncio.gather(
            writer.flow(take), writer.flow(fail), writer.flow(nothing), return_exceptions=True
        )
        async with asyncio.timeout(10):
            taken, failed, ceased = await flowing
        assert (taken, ceased) == (None, None)
        assert isinstance(failed, ValueError)
        # In every round with the others, until nobody had anything for the next.
        assert asked >= len(words)
        for box in (outbox, broken, quiet):
            box.finish(DONE)
            await closed(box)
    await assert_exact(connections, lease, "begins " + "".join(words))


async def test_who_follows_is_told_what_was_written_and_what_was_there(connections: Connections) -> None:
    lease = await claimed(connections)
    told: list[Entry] = []

    class Feed:
        def feed(self, key: str, cursor: Cursor, kind: str, data: bytes) -> None:
            assert key == lease.keys[1]
            told.append(Entry(cursor, kind, data))

        def unfed(self, key: str) -> None:
            assert key == lease.keys[1]

    # As if the reply to it had got lost.
    first = appends.Append(lease.keys[:2], lease.nonce, lease.cursor.seq + 1, EntryType.DELTA, b"one ")
    assert await run(connections.commands, appends.Batch([first])) == ["OK"]
    writer = Writer(connections.writer, Durability(connections.commands), Feed())
    async with background(writer.run()):
        outbox = writer.open(lease, "")
        for word in ("one ", "two"):
            outbox.add(word)
            await asyncio.wait_for(outbox.written(), 10)
        outbox.finish(DONE)
        await closed(outbox)
    log = await log_of(connections, lease)
    assert told == [entry for entry in log if entry.type == EntryType.DELTA]
    await assert_exact(connections, lease, "one two")
