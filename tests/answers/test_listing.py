"""What is listed as due stays so until it is certainly done: who unlists takes back his own listing."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from chatapp.answers.hub import Hub
from chatapp.answers.lease import LEASE
from chatapp.answers.provider import OpenAIProvider
from chatapp.chats.catalogue import Catalogue
from chatapp.chats.limits import Limits
from chatapp.chats.service import Chats
from chatapp.errors import AnswerRunning
from chatapp.models import Status
from chatapp.storage import keys
from chatapp.storage.appends import Append, Batch
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from chatapp.storage.line import _Open
from chatapp.storage.scripts import CLAIM, SCHEDULE, UNLIST, Call, run
from chatapp.storage.tail import Tail
from tests.answers.conftest import Asked, asked, working
from tests.support.provider import ScriptedProvider

OWNER = "0" * 32


@asynccontextmanager
async def chats(connections: Connections) -> AsyncIterator[Chats]:
    provider = OpenAIProvider("http://127.0.0.1:9", "sk-test-0123456789", ["scripted"])
    hub = Hub(connections.commands, Tail(connections.commands, connections.hub))
    here = Chats(
        connections.commands,
        hub,
        Catalogue(provider, ["scripted"], fixed=True),
        Limits(connections.commands, 0),
        "secret",
        Durability(connections.disk),
    )
    try:
        yield here
    finally:
        # Otherwise it would begin its turns again in the next test's Redis.
        await here.aclose()


async def listed(connections: Connections) -> list[str]:
    works: Any = await connections.commands.zrange(keys.DUE, 0, -1)
    return [work.decode() for work in works]


async def test_a_listing_is_taken_back_only_by_who_made_it(connections: Connections) -> None:
    redis = connections.commands
    first = (await run(redis, Call(SCHEDULE, [keys.DUE], "work", 1000, "")))[1]
    second = (await run(redis, Call(SCHEDULE, [keys.DUE], "work", 2000, "XX")))[1]
    assert await run(redis, Call(UNLIST, [keys.DUE], "work", first)) == ["STALE"]
    assert await listed(connections) == ["work"]
    assert await run(redis, Call(UNLIST, [keys.DUE], "work", second)) == ["OK"]
    assert await run(redis, Call(UNLIST, [keys.DUE], "work", second)) == ["STALE"]
    assert await run(redis, Call(SCHEDULE, [keys.DUE], "work", 1000, "XX")) == ["OK"]
    assert await listed(connections) == []


async def test_a_turn_whose_reply_got_lost_stays_listed(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = _Open.data_received
    lost: list[bytes] = []

    def losing(self: _Open, data: bytes) -> None:
        if lost:
            receive(self, data)
        else:
            lost.append(data)
            self.lose(RedisConnectionError("the reply is lost"))

    # A transport knows its protocol's methods from the start.
    await connections.commands.line.aclose()
    monkeypatch.setattr(_Open, "data_received", losing)
    async with chats(connections) as here:
        turn = await here.open(OWNER, "hello", request=secrets.token_hex(16))
    assert b"OK" in lost[0]
    assert await listed(connections) == [f"{turn.chat_id} {turn.message_id}"]


async def test_a_turn_that_was_refused_or_repeated_is_not_listed(connections: Connections) -> None:
    request = secrets.token_hex(16)
    async with chats(connections) as here:
        turn = await here.open(OWNER, "hello", request=request)
        assert await here.open(OWNER, "hello", request=request) == turn
        with pytest.raises(AnswerRunning):
            await here.ask(OWNER, turn.chat_id, "more")
    assert await listed(connections) == [f"{turn.chat_id} {turn.message_id}"]


async def test_an_ended_answer_is_unlisted_when_its_end_is_old_enough(connections: Connections) -> None:
    redis = connections.commands
    async with ScriptedProvider() as scripted, working(connections, scripted):
        question = await asked(connections, "n=3")
        work = f"{question.chat_id} {question.message_id}"
        await question.ended()
        # Found again when its lease would have run out, or is announced once more: the end is young.
        await question.announce()
        async with asyncio.timeout(5):
            while not 5_000 < await due_in(connections, work) <= 10_000:
                await asyncio.sleep(0.05)
        await redis.hincrby(keys.generation(question.chat_id), "lease", -10_000)
        await question.announce()
        async with asyncio.timeout(5):
            while await listed(connections):
                await asyncio.sleep(0.05)


async def test_a_stop_leaves_the_answer_listed(connections: Connections) -> None:
    async with chats(connections) as here:
        turn = await here.open(OWNER, "hello")
        stopped = await here.stop(OWNER, turn.chat_id, turn.message_id)
    assert stopped.status is Status.STOPPED
    assert await listed(connections) == [f"{turn.chat_id} {turn.message_id}"]


async def test_what_runs_here_does_not_stay_at_the_head_of_the_list(connections: Connections) -> None:
    redis = connections.commands
    async with ScriptedProvider() as scripted, working(connections, scripted):
        question = await asked(connections, "n=1000 rate=100")
        async with asyncio.timeout(5):
            while not await question.text():
                await asyncio.sleep(0.05)
        work = f"{question.chat_id} {question.message_id}"
        await redis.zadd(keys.DUE, {work: 1})
        async with asyncio.timeout(5):
            while await due_in(connections, work) < 5_000:
                await asyncio.sleep(0.05)
        await question.stop()


@pytest.mark.parametrize("field", ["all", "tries"])
async def test_what_cannot_be_read_does_not_stay_at_the_head_of_the_list(
    connections: Connections, field: str
) -> None:
    redis = connections.commands
    question = await lost_workers(connections, 1)
    key = keys.generation(question.chat_id)
    if field == "all":
        await redis.delete(key)
        await redis.set(key, "not ours")
    else:
        await redis.hset(key, field, "many")
    async with ScriptedProvider() as scripted, working(connections, scripted), asyncio.timeout(5):
        while await due_in(connections, f"{question.chat_id} {question.message_id}") < 5_000:
            await asyncio.sleep(0.05)


async def due_in(connections: Connections, work: str) -> float:
    """Return the milliseconds until work is looked at again."""
    seconds, microseconds = await connections.commands.time()
    score = await connections.commands.zscore(keys.DUE, work)
    assert score is not None
    return score - seconds * 1000 - microseconds // 1000


async def test_a_clock_that_jumps_back_by_minutes_puts_nothing_off(connections: Connections) -> None:
    """For Redis it is the same whether its clock jumps back, or what it has stored jumps ahead."""
    question = await lost_workers(connections, 1)
    jump = 200_000
    await connections.commands.hincrby(keys.generation(question.chat_id), "lease", jump)
    await connections.commands.zincrby(keys.DUE, jump, f"{question.chat_id} {question.message_id}")
    async with ScriptedProvider() as scripted, working(connections, scripted):
        assert (await question.ended(LEASE + 3)).text


@pytest.mark.parametrize("why", ["ended", "has a worker", "has grown"])
async def test_only_what_kills_workers_stands_in_line(connections: Connections, why: str) -> None:
    """A provider that was away leaves many that have used up their attempts, and killed nobody."""
    redis = connections.commands
    others = [await lost_workers(connections, 3) for _ in range(20)]
    for question in others:
        match why:
            case "ended":
                await question.stop()
            case "has a worker":
                await redis.hincrby(keys.generation(question.chat_id), "lease", 15_000)
            case "has grown":
                append = Batch([Append(question.keys[:2], "dead2", 4, "d", b"some text")])
                assert await run(redis, append) == ["OK"]
    last = await lost_workers(connections, 2)
    async with ScriptedProvider() as scripted, working(connections, scripted):
        assert (await last.ended(8)).text
        for question in others if why == "has grown" else []:
            await question.ended()


async def lost_workers(connections: Connections, number: int) -> Asked:
    """An answer that lost so many workers before they said a word, and that is due."""
    question = Asked(connections)
    await question.begin("n=3", announce=False)
    for nonce in range(number):
        claim = (question.message_id, f"dead{nonce}", 1, 9, b"{}", 600)
        while (await run(connections.commands, Call(CLAIM, question.keys, *claim)))[0] != "OK":
            await asyncio.sleep(0.001)
    await run(
        connections.commands, Call(SCHEDULE, [keys.DUE], f"{question.chat_id} {question.message_id}", 0, "")
    )
    return question
