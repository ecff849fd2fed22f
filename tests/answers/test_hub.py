"""Viewers of one hub on a real Redis: whatever happens, each ends with the text of the log."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatapp.answers import fed as fed_module
from chatapp.answers import hub as hub_module
from chatapp.answers.hub import Hub
from chatapp.answers.live import Update
from chatapp.answers.loading import load
from chatapp.answers.viewer import End, Pause, Viewer
from chatapp.answers.watched import RESEND, Watched
from chatapp.errors import NotFound
from chatapp.models import Cursor, EntryType, Outcome, Status
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.scripts import Command, run_in_order
from chatapp.storage.tail import Tail
from chatapp.tasks import background
from tests.support.processes import RedisProcess
from tests.support.proxy import FaultProxy

COMPLETED = msgspec.json.encode(Outcome(status=Status.COMPLETED, finish_reason="stop"))
HEAD = '{"id":"%s","parent_id":null,"role":"assistant","model":"m","created_at":"2026-01-01T00:00:00Z"}'


class Log:
    """An answer's log written straight into Redis, and the text it stands for."""

    def __init__(self, connections: Connections) -> None:
        self.redis = connections.commands
        self.chat_id = secrets.token_hex(16)
        self.message_id = secrets.token_hex(16)
        self.text = ""
        self.top = Cursor(100, -1)

    async def create(self) -> None:
        await self.redis.hset(keys.messages(self.chat_id), self.message_id, HEAD % self.message_id)
        await self.write(EntryType.OPEN)

    async def write(self, kind: EntryType, data: str = "", *, fence: int | None = None) -> None:
        last, self.top = self.top, Cursor(fence or self.top.fence, self.top.seq + 1)
        key = keys.log(self.chat_id, self.message_id)
        fields: dict[Any, Any] = {"t": str(kind), "d": data}
        if self.top.fence > last.fence:
            fields["p"] = str(last)
        await self.redis.xadd(key, fields, id=str(self.top))
        if kind is EntryType.RESET:
            self.text = ""
        elif kind is EntryType.DELTA:
            self.text += data

    async def end(self) -> None:
        last = str(self.top)
        await self.write(EntryType.END, COMPLETED.decode())
        last += f" {self.top}"
        fields: dict[Any, Any] = {f"{self.message_id}:text": self.text, f"{self.message_id}:end": COMPLETED}
        await self.redis.hset(
            keys.messages(self.chat_id), mapping={**fields, f"{self.message_id}:last": last}
        )


@dataclass
class Reader:
    """What one viewer has on its screen."""

    hub: Hub
    log: Log
    text: str = ""
    cursor: Cursor | None = None
    resets: int = 0
    outcome: Outcome | None = None
    #: How many of the updates that are pushed to it it takes before it has to be woken; None: none are.
    takes: int | None = None
    pushed: int = 0
    #: Whether it has waited for news.
    waiting: bool = False

    def take(self, update: Update) -> None:
        """Show an update."""
        assert update.reset or self.cursor is None or update.cursor > self.cursor
        self.text = update.text if update.reset else self.text + update.text
        self.resets += update.reset
        self.cursor = update.cursor

    def push(self, update: Update) -> bool:
        """Show an update at once, now and then as one that was not quick enough for more."""
        assert self.takes is not None
        self.take(update)
        self.pushed += 1
        return self.pushed % self.takes != 0

    async def read(self, updates: int | None = None) -> None:
        """Follow the answer to its end, or until so many updates were seen; then hang up."""
        async with self.hub.follow(self.log.chat_id, self.log.message_id, self.cursor) as watched:
            viewer = Viewer(self.hub, watched, self.cursor)
            await viewer.start()
            while True:
                match viewer.take():
                    case Update() as update:
                        self.take(update)
                        if updates is not None and (updates := updates - 1) <= 0:
                            return
                    case End() as end:
                        self.outcome = end.outcome
                        return
                    case _:
                        pusher = None if self.takes is None else self
                        self.waiting = True
                        if await viewer.wait(pusher) is Pause.COME_BACK:
                            return


@asynccontextmanager
async def running_hub(url: str) -> AsyncIterator[tuple[Hub, Connections]]:
    async with Connections(url) as connections:
        tail = Tail(connections.commands, connections.hub)
        hub = Hub(connections.commands, tail)
        async with background(hub.run()), background(tail.run()):
            yield hub, connections


step = st.one_of(
    st.tuples(st.just("write"), st.text(alphabet="ab \n🦉é", min_size=1, max_size=4)),
    st.tuples(st.just("reset"), st.just("")),
    st.tuples(st.just("take over"), st.just("")),
    st.tuples(st.just("look"), st.sampled_from(("1", "2"))),
)


@pytest.mark.timeout(120)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=16), late=st.booleans())
async def test_viewers_that_come_and_go(
    redis_server: RedisProcess, steps: list[tuple[str, str]], late: bool
) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        steady, restless = Reader(hub, log), Reader(hub, log)
        quick, quicker = Reader(hub, log, takes=2), Reader(hub, log, takes=100)
        tasks = [asyncio.create_task(reader.read()) for reader in (steady, quick, quicker)]
        for kind, argument in steps:
            match kind:
                case "write":
                    await log.write(EntryType.DELTA, argument)
                case "reset":
                    await log.write(EntryType.RESET)
                case "take over":
                    await log.write(EntryType.CLAIM, fence=log.top.fence + 5)
                case _:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.01):
                            await restless.read(int(argument))
        await log.end()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)
        if late:
            # A log expires long after its end, when whoever watched it has seen that.
            await connections.commands.delete(keys.log(log.chat_id, log.message_id))
        async with asyncio.timeout(10):
            await restless.read()
        fresh = Reader(hub, log)
        await fresh.read()
        readers = (steady, quick, quicker, restless, fresh)
        assert [reader.text for reader in readers] == [log.text] * len(readers)
        assert all(r.outcome and r.outcome.status is Status.COMPLETED for r in readers)


async def until(reader: Reader, text: str) -> None:
    async with asyncio.timeout(15):
        while reader.text != text:
            await asyncio.sleep(0.005)


async def test_pushed_text_is_all_of_it(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        reader = Reader(hub, log, takes=1000)
        task = asyncio.create_task(reader.read())
        for number in range(20):
            await log.write(EntryType.DELTA, f"{number} ")
            await until(reader, log.text)
        assert reader.pushed >= 19
        # More than one update holds: what is left after the first must not wait for the next entry.
        for _ in range(5):
            await log.write(EntryType.DELTA, "x" * 50_000)
        await until(reader, log.text)
        await log.end()
        async with asyncio.timeout(10):
            await task
        assert reader.text == log.text


async def test_a_viewer_that_cannot_be_pushed_to_harms_no_other(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        first, broken, last = (Reader(hub, log, takes=1000) for _ in range(3))

        def fail(_: Update) -> bool:
            raise ValueError("broken")

        broken.push = fail  # type: ignore[method-assign, assignment]  # only this one
        tasks = []
        for reader in (first, broken, last):
            tasks.append(asyncio.create_task(reader.read()))
            async with asyncio.timeout(10):
                while not reader.waiting:
                    await asyncio.sleep(0.005)
        await log.write(EntryType.DELTA, "text")
        async with asyncio.timeout(10):
            with pytest.raises(ValueError, match="broken"):
                await tasks[1]
        await log.end()
        async with asyncio.timeout(10):
            await asyncio.gather(tasks[0], tasks[2])
        assert first.text == last.text == "text"


async def test_reasoning_is_silence_to_who_gets_the_text_alone(
    redis_server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatapp.answers.viewer.HEARTBEAT", 0.5)
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()

        async def think() -> None:
            while True:
                await log.write(EntryType.REASONING, "100 so ")
                await asyncio.sleep(0.02)

        async with hub.follow(log.chat_id, log.message_id, None) as watched, background(think()):
            viewer = Viewer(hub, watched, None)
            await viewer.start()
            while viewer.take() is not None:
                pass
            async with asyncio.timeout(10):
                assert await viewer.wait(Reader(hub, log, takes=1000)) is Pause.SILENCE


async def test_many_viewers_read_redis_once(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        for number in range(500):
            await log.write(EntryType.DELTA, f"{number} ")
        readers = [Reader(hub, log) for _ in range(300)]
        before = (await connections.commands.info("commandstats")).get("cmdstat_xrange", {}).get("calls", 0)
        async with asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader.read())
            for number in range(20):
                await log.write(EntryType.DELTA, f"live {number} ")
            await log.end()
        after = (await connections.commands.info("commandstats"))["cmdstat_xrange"]["calls"]
        assert {reader.text for reader in readers} == {log.text}
        assert after - before <= 3


async def test_a_viewer_ahead_of_the_log_is_told(redis_server: RedisProcess) -> None:
    """The host lost its last second, and the worker with it: what was shown is not the truth any more."""
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        await log.write(EntryType.DELTA, "kept ")
        kept, text = log.top, log.text
        await log.write(EntryType.DELTA, "lost")
        reader = Reader(hub, log)
        task = asyncio.create_task(reader.read())
        await until(reader, "kept lost")
        key = keys.log(log.chat_id, log.message_id)
        await rewind(connections, key, 1)
        log.top, log.text = kept, text
        await log.write(EntryType.CLAIM, fence=log.top.fence + 1)
        await log.write(EntryType.DELTA, "instead")
        await log.end()
        async with asyncio.timeout(15):
            await task
        assert (reader.text, reader.resets) == ("kept instead", 1)


async def test_a_lost_claim_whose_place_its_predecessor_has_filled(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        await log.write(EntryType.DELTA, "kept ")
        kept, text = log.top, log.text
        await log.write(EntryType.CLAIM, fence=105)
        await log.write(EntryType.DELTA, "lost")
        reader = Reader(hub, log)
        task = asyncio.create_task(reader.read())
        await until(reader, "kept lost")
        await rewind(connections, keys.log(log.chat_id, log.message_id), 2)
        log.top, log.text = kept, text
        # Behind the reader's position, so that it is not told; what comes then follows on by number.
        for piece in ("instead ", "of it"):
            await log.write(EntryType.DELTA, piece)
        await log.write(EntryType.CLAIM, fence=110)
        await log.end()
        async with asyncio.timeout(15):
            await task
        assert (reader.text, reader.resets) == ("kept instead of it", 1)


async def test_a_tail_that_is_sent_again_is_no_news(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        for piece in ("one ", "two ", "three "):
            await log.write(EntryType.DELTA, piece)
        reader = Reader(hub, log)
        task = asyncio.create_task(reader.read())
        await until(reader, "one two three ")
        # Lost and written again with the same ids, as a living worker does after GAP.
        await rewind(connections, keys.log(log.chat_id, log.message_id), 2)
        log.top, log.text = Cursor(log.top.fence, log.top.seq - 2), "one "
        for piece in ("two ", "three ", "four"):
            await log.write(EntryType.DELTA, piece)
        await log.end()
        async with asyncio.timeout(15):
            await task
        assert (reader.text, reader.resets) == ("one two three four", 0)


@asynccontextmanager
async def one_unheard(
    redis: RedisProcess,
) -> AsyncIterator[tuple[Hub, Log, FaultProxy, Reader, asyncio.Task[None]]]:
    """A hub with a reader of one word, and its way to Redis, on which nothing comes through any more."""
    async with (
        FaultProxy("127.0.0.1", redis.port, http=False) as way,
        running_hub(f"redis://127.0.0.1:{way.port}/0") as (hub, _),
        Connections(redis.url) as direct,
    ):
        log = Log(direct)
        await log.create()
        await log.write(EntryType.DELTA, "one ")
        behind = Reader(hub, log)
        task = asyncio.create_task(behind.read())
        await until(behind, "one ")
        way.blackhole()
        yield hub, log, way, behind, task


async def test_who_is_ahead_of_a_process_that_redis_does_not_reach(redis_server: RedisProcess) -> None:
    """The reader has read on with another process: this one knows of no loss, only that it hears nothing."""
    async with one_unheard(redis_server) as (hub, log, way, behind, task):
        await log.write(EntryType.DELTA, "two ")
        ahead = Reader(hub, log, log.text, log.top)
        waiting = asyncio.create_task(ahead.read())
        # Longer than it waits for the log, and then for Redis' word.
        await asyncio.sleep(2 * RESEND + 1)
        way.heal()
        await log.write(EntryType.DELTA, "three")
        await log.end()
        async with asyncio.timeout(15):
            await asyncio.gather(task, waiting)
        assert (behind.text, behind.resets) == (log.text, 0)
        assert (ahead.text, ahead.resets) == (log.text, 0)


async def test_a_cursor_that_never_was_in_a_log_that_grows(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        reader = Reader(hub, log, "not of this log", Cursor(log.top.fence + 50, 7))
        task = asyncio.create_task(reader.read())
        async with asyncio.timeout(2 * RESEND):
            while not reader.resets:
                await log.write(EntryType.DELTA, "word ")
        await log.end()
        async with asyncio.timeout(5):
            await task
        assert (reader.text, reader.resets) == (log.text, 1)


async def test_who_is_ahead_leaves_with_the_process(redis_server: RedisProcess) -> None:
    async with one_unheard(redis_server) as (hub, log, way, _, task):
        ahead = Reader(hub, log, "one two ", Cursor(log.top.fence, log.top.seq + 1))
        waiting = asyncio.create_task(ahead.read())
        await asyncio.sleep(RESEND + 0.5)
        hub.close()
        async with asyncio.timeout(2 * RESEND + 1):
            await asyncio.gather(task, waiting)
        assert (ahead.text, ahead.resets) == ("one two ", 0)
        way.heal()


async def test_a_log_that_vanishes_ends_the_view(
    redis_server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatapp.answers.hub._AUDIT", 0.2)
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        await log.write(EntryType.DELTA, "text")
        reader = Reader(hub, log)
        task = asyncio.create_task(reader.read())
        await until(reader, "text")
        await connections.commands.delete(keys.log(log.chat_id, log.message_id))
        async with asyncio.timeout(15):
            await task
        assert reader.outcome is not None
        assert reader.outcome.status is Status.INTERRUPTED


async def test_a_log_that_cannot_be_read_holds_up_no_other(redis_server: RedisProcess) -> None:
    """Its end may come from a newer version of the program, in the middle of a deploy."""
    async with running_hub(redis_server.url) as (hub, connections):
        strange, other = Log(connections), Log(connections)
        tasks = []
        for log in (strange, other):
            await log.create()
            await log.write(EntryType.DELTA, "text")
            reader = Reader(hub, log)
            tasks.append(asyncio.create_task(reader.read()))
            await until(reader, "text")
        await strange.write(EntryType.END, '{"status":"of tomorrow"}')
        await other.write(EntryType.DELTA, " and more")
        await until(reader, "text and more")
        await other.end()
        async with asyncio.timeout(10):
            await tasks[1]
        tasks[0].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[0]


async def test_an_answer_that_is_not_there(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, _):
        with pytest.raises(NotFound):
            async with hub.follow("0" * 32, "1" * 32, None):
                pass


async def test_closing_sends_viewers_away(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        reader = Reader(hub, log)
        task = asyncio.create_task(reader.read())
        async with asyncio.timeout(10):
            while not hub.viewers:
                await asyncio.sleep(0.005)
            hub.close()
            await task
        assert reader.outcome is None


async def test_closing_sends_viewers_away_for_whom_there_is_always_more(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        await log.write(EntryType.DELTA, "before ")
        async with hub.follow(log.chat_id, log.message_id, None) as watched:
            viewer = Viewer(hub, watched, None)
            await viewer.start()
            hub.close()
            item, given = viewer.take(), 0
            while isinstance(item, Update):
                given += 1
                assert given == 1, "kept as long as the answer grows"
                await log.write(EntryType.DELTA, "more ")
                async with asyncio.timeout(10):
                    while watched.answer is None or watched.answer.top != log.top:
                        await asyncio.sleep(0.005)
                item = viewer.take()
            assert item is None
            assert await viewer.wait() is Pause.COME_BACK


async def test_redis_restarts_under_the_viewers() -> None:
    with RedisProcess() as redis:
        async with running_hub(redis.url) as (hub, connections):
            log = Log(connections)
            await log.create()
            await log.write(EntryType.DELTA, "before ")
            reader = Reader(hub, log)
            task = asyncio.create_task(reader.read())
            await until(reader, "before ")
            await asyncio.to_thread(redis.kill)
            await asyncio.to_thread(redis.start)
            await log.write(EntryType.DELTA, "after")
            await log.end()
            async with asyncio.timeout(15):
                await task
            assert (reader.text, reader.resets) == ("before after", 0)


async def rewind(connections: Connections, key: str, count: int) -> None:
    """Make Redis forget a stream's last entries, its notion of the last id included."""
    entries: Any = await connections.commands.xrange(key)
    async with connections.commands.pipeline() as pipe:
        pipe.delete(key)
        for entry_id, fields in entries[:-count]:
            pipe.xadd(key, fields, id=entry_id)
        await pipe.execute()


async def test_who_looks_now_and_then_is_read_for_now_and_then(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        logs = [Log(connections) for _ in range(3)]
        for log in logs:
            await log.create()
        async with AsyncExitStack() as stack:
            for log in logs:
                await stack.enter_async_context(hub.follow(log.chat_id, log.message_id, None, paced=True))
            pages = hub.pause()
            async with hub.follow(logs[0].chat_id, logs[0].message_id, None):
                assert hub.pause() < pages
            assert hub.pause() == pages > 0
        assert hub.paced == hub.viewers == 0


async def fed(hub: Hub, log: Log, data: str) -> None:
    """Write text, and tell the hub of it as a writer in its own process does."""
    await log.write(EntryType.DELTA, data)
    hub.feed(keys.log(log.chat_id, log.message_id), log.top, EntryType.DELTA, data.encode())


async def test_what_this_process_writes_is_not_read_back(
    redis_server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this process is, its writer is never silent.
    monkeypatch.setattr(fed_module, "_SILENCE", 5)
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        async with hub.follow(log.chat_id, log.message_id, None) as watched:
            await log.write(EntryType.CLAIM)
            async with asyncio.timeout(5):
                while watched.answer is None or watched.answer.position < 2:
                    await asyncio.sleep(0.01)
            await fed(hub, log, "a")
            # The blocked read may have been on its way to the first of them.
            await asyncio.sleep(0.1)
            before = (await connections.commands.info("commandstats"))["cmdstat_xread"]["calls"]
            for _ in range(50):
                await fed(hub, log, "b")
                assert watched.answer.prefix(watched.answer.position) == log.text
            after = (await connections.commands.info("commandstats"))["cmdstat_xread"]["calls"]
            assert after - before <= 1
        reader = Reader(hub, log)
        hub.unfed(keys.log(log.chat_id, log.message_id))
        await log.end()
        await asyncio.wait_for(reader.read(), 5)
        assert reader.text == log.text
        assert reader.outcome is not None


async def test_somebody_elses_end_of_an_answer_that_is_written_here(
    redis_server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read when the writer has been silent for a moment, or says that it is not its any more."""
    async with running_hub(redis_server.url) as (hub, connections):
        for leaves in (False, True):
            if leaves:
                # From now on nobody looks by himself.
                monkeypatch.setattr(fed_module, "_LOOK", 60)
                await asyncio.sleep(0.5)
            log = Log(connections)
            await log.create()
            await log.write(EntryType.CLAIM)
            reader = Reader(hub, log)
            reading = asyncio.create_task(reader.read())
            async with asyncio.timeout(5):
                while reader.text != "a":
                    if not log.text:
                        await asyncio.sleep(0.1)
                        await fed(hub, log, "a")
                    await asyncio.sleep(0.01)
            await log.end()
            if leaves:
                hub.unfed(keys.log(log.chat_id, log.message_id))
            await asyncio.wait_for(reading, 2)
            assert (reader.text, reader.resets) == ("a", 0)


async def test_what_does_not_follow_is_left_to_reading(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        await log.write(EntryType.CLAIM)
        key = keys.log(log.chat_id, log.message_id)
        async with hub.follow(log.chat_id, log.message_id, None) as watched:
            await fed(hub, log, "a")
            for cursor in (log.top, Cursor(log.top.fence, log.top.seq + 2), Cursor(99, log.top.seq + 1),
                           Cursor(log.top.fence + 1, log.top.seq + 1)):  # fmt: skip
                hub.feed(key, cursor, EntryType.DELTA, b"no")
            assert watched.answer is not None
            assert watched.answer.prefix(watched.answer.position) == "a"
            # As a read that was on its way brings it, with more behind it.
            await log.write(EntryType.DELTA, "b")
            [raw] = await run_in_order(connections.commands, Command("XRANGE", key, "-", "+"))
            assert hub.take(key, raw) is None
            assert watched.answer.prefix(watched.answer.position) == "ab"
            # For nobody.
            hub.feed(keys.log("c" * 32, "d" * 32), Cursor(1, 1), EntryType.DELTA, b"no")
            hub.unfed(keys.log("c" * 32, "d" * 32))


@pytest.mark.parametrize("gone", [False, True])
async def test_a_reading_that_comes_when_nobody_waits_for_it_any_more(
    redis_server: RedisProcess, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """While Redis is slow a viewer may leave, and another come, before the first reading is done."""
    monkeypatch.setattr(hub_module, "_LINGER", 0.0)
    arrived, release, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        monkeypatch.setattr(hub_module, "load", load)
        try:
            answer = await load(*arguments)
            arrived.set()
            await release.wait()
            if gone:
                raise NotFound
            return answer
        finally:
            asyncio.get_running_loop().call_later(0.05, left.set)

    async with running_hub(redis_server.url) as (hub, connections):
        log = Log(connections)
        await log.create()
        await log.write(EntryType.CLAIM)
        monkeypatch.setattr(hub_module, "load", slow)
        first = asyncio.create_task(Reader(hub, log).read())
        await arrived.wait()
        first.cancel()
        await asyncio.sleep(0.05)
        second = Reader(hub, log)
        reading = asyncio.create_task(second.read())
        await log.write(EntryType.DELTA, "a")
        await until(second, "a")
        await fed(hub, log, "b")
        await until(second, "ab")
        release.set()
        await left.wait()
        hub.unfed(keys.log(log.chat_id, log.message_id))
        await log.end()
        await asyncio.wait_for(reading, 3)
        # Whoever looks after what was fed still does.
        again = Log(connections)
        await again.create()
        await again.write(EntryType.CLAIM)
        third = Reader(hub, again)
        reading = asyncio.create_task(third.read())
        async with asyncio.timeout(5):
            while third.text != again.text or not again.text:
                await fed(hub, again, "c")
                await asyncio.sleep(0.05)
        await again.end()
        await asyncio.wait_for(reading, 3)


async def test_many_viewers_of_what_is_written_here_are_woken_together(redis_server: RedisProcess) -> None:
    async with running_hub(redis_server.url) as (hub, connections), AsyncExitStack() as stack:
        log = Log(connections)
        await log.create()
        await log.write(EntryType.CLAIM)
        for _ in range(500):
            watched = await stack.enter_async_context(hub.follow(log.chat_id, log.message_id, None))
        news = 0

        class Counter:
            def news(self, _: float) -> None:
                nonlocal news
                news += 1

            def tick(self, _: float) -> None:
                pass

        watched.join(Counter())
        # Without a pause between them, however slow this process is; so they are not in Redis.
        for seq in range(1, 21):
            cursor = Cursor(log.top.fence, log.top.seq + seq)
            hub.feed(keys.log(log.chat_id, log.message_id), cursor, EntryType.DELTA, b"x")
        assert news == 0
        async with asyncio.timeout(5):
            while not news:
                await asyncio.sleep(0.01)
        assert news == 1
        assert watched.answer is not None
        assert watched.answer.prefix(watched.answer.position) == "x" * 20


def test_events_for_many_positions_are_not_all_kept() -> None:
    watched = Watched("c" * 32, "a" * 32)
    for number in range(1000):
        watched.keep(number, b"%d" % number)
        assert watched.encoded[number] == b"%d" % number
        assert len(watched.encoded) < 50
    watched.notify()
    assert not watched.encoded
