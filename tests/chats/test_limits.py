"""B30: one person has so many answers and questions at once, over all processes; others notice nothing."""

import asyncio
from collections.abc import Iterator
from itertools import count
from time import monotonic

import pytest

from chatapp.chats import limits
from chatapp.chats.service import Turn
from chatapp.errors import AnswerRunning, LimitReached
from chatapp.models import Status
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.scripts import ADMIT, Call, run
from tests.answers.conftest import OWNER
from tests.chats.conftest import desk_at
from tests.chats.desk import Desk

OTHER = "9" * 32


async def test_answers_at_once(connections: Connections) -> None:
    async with desk_at(connections, running=3) as desk:
        turns = [await desk.chats.open(OWNER, f"q{number}") for number in range(3)]
        with pytest.raises(LimitReached) as refused:
            await desk.chats.open(OWNER, "one more")
        assert refused.value.retry_after > 0
        assert "No more than 3 of your answers" in refused.value.message
        # In a chat that is busy anyway, that is what is said.
        with pytest.raises(AnswerRunning):
            await desk.chats.ask(OWNER, turns[0].chat_id, "more")
        await desk.chats.open(OTHER, "q")
        await desk.answer(turns[1], "done")
        await desk.chats.open(OWNER, "one more")
        with pytest.raises(LimitReached):
            await desk.chats.open(OWNER, "two more")


async def test_every_way_to_an_answer_counts(connections: Connections) -> None:
    async with desk_at(connections, running=2) as desk:
        ended = await desk.open("q", "a")
        cut = await desk.chats.open(OWNER, "cut")
        await desk.answer(cut, "so far", Status.INTERRUPTED, None)
        for number in range(2):
            await desk.chats.open(OWNER, f"q{number}")
        for attempt in (
            desk.chats.open(OWNER, "q"),
            desk.chats.ask(OWNER, ended.chat_id, "q"),
            desk.chats.edit(OWNER, ended.chat_id, ended.user_message_id, "other"),
            desk.chats.regenerate(OWNER, ended.chat_id, ended.message_id),
            desk.chats.go_on(OWNER, cut.chat_id, cut.message_id),
        ):
            with pytest.raises(LimitReached):
                await attempt
        assert await desk.texts(ended) == ["q", "a"]
        assert (await desk.chats.message(OWNER, cut.chat_id, cut.message_id)).status is Status.INTERRUPTED


async def test_an_answer_that_goes_on_runs_again(connections: Connections) -> None:
    async with desk_at(connections, running=1) as desk:
        turn = await desk.chats.open(OWNER, "cut")
        await desk.answer(turn, "so far", Status.INTERRUPTED, None)
        await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id)
        with pytest.raises(LimitReached):
            await desk.chats.open(OWNER, "q")
        await desk.chats.stop(OWNER, turn.chat_id, turn.message_id)
        await desk.chats.open(OWNER, "q")


async def test_two_processes_at_once(connections: Connections) -> None:
    """Exactly as many as are allowed, however often places become free meanwhile."""
    async with (
        Connections(connections.url) as others,
        desk_at(connections, running=5) as one,
        desk_at(others, running=5) as two,
    ):

        async def attempt(number: int) -> Turn | None:
            try:
                return await (one, two)[number % 2].chats.open(OWNER, f"q{number}")
            except LimitReached:
                return None

        running: list[Turn] = []
        for _ in range(3):
            begun = await asyncio.gather(*map(attempt, range(12)))
            running += [turn for turn in begun if turn is not None]
            assert len(running) == 5
            for turn in running[:3]:
                await two.answer(turn, "done")
            del running[:3]


async def test_a_process_that_died_before_its_turn_began(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [keys.user_running(OWNER), keys.user_pace(OWNER)]
    assert await run(connections.commands, Call(ADMIT, listed, "c" * 32, 1, 1000, 60)) == ["OK"]
    async with desk_at(connections, running=1) as desk:
        # It may still begin.
        with pytest.raises(LimitReached):
            await desk.chats.open(OWNER, "q")
        monkeypatch.setattr(limits, "_BEGINS_MS", -1000)
        await desk.chats.open(OWNER, "q")


async def ask_on(desk: Desk, numbers: Iterator[int]) -> None:
    for number in numbers:
        await desk.open(f"q{number}", "a")


async def test_questions_a_minute(connections: Connections) -> None:
    redis = connections.commands
    async with desk_at(connections, running=2) as desk:
        began = monotonic()
        asked = count()
        with pytest.raises(LimitReached) as refused:
            await ask_on(desk, asked)
        # On a slow machine some come free meanwhile, one in five seconds.
        assert 12 <= next(asked) - 1 <= 12 + (monotonic() - began) / 5
        wait = refused.value.retry_after
        assert 1 <= wait <= 5
        assert f"again in {wait} s" in refused.value.message
        await desk.chats.open(OTHER, "q")
        # As if so much time had passed.
        reach = await redis.get(keys.user_pace(OWNER))
        assert reach is not None
        await redis.set(keys.user_pace(OWNER), int(reach) - wait * 1000)
        await desk.open("one more", "a")
        with pytest.raises(LimitReached):
            await desk.open("two more", "a")
        # As if the clock had jumped back: nobody waits for longer than always.
        await redis.set(keys.user_pace(OWNER), int(reach) + 3_600_000)
        with pytest.raises(LimitReached) as refused:
            await desk.open("three more", "a")
        assert refused.value.retry_after <= 5
        assert 0 < await redis.pttl(keys.user_running(OWNER)) <= 7_200_000


async def test_a_question_that_is_sent_again_is_the_first(connections: Connections) -> None:
    async with desk_at(connections, running=1) as desk:
        first = await desk.chats.open(OWNER, "q", request="r")
        assert await desk.chats.open(OWNER, "q", request="r") == first


async def test_no_limit(connections: Connections) -> None:
    async with desk_at(connections, running=0) as desk:
        for number in range(150):
            await desk.chats.open(OWNER, f"q{number}")
    assert not await connections.commands.exists(keys.user_running(OWNER), keys.user_pace(OWNER))
