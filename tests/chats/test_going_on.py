"""An answer that was cut off goes on as the same message, and nobody is shown its old end."""

from typing import Any

import pytest

from chatapp.chats.service import Turn
from chatapp.errors import AnswerRunning, InvalidInput, KeyReused, NotFound
from chatapp.models import Status
from chatapp.storage import keys
from chatapp.storage.messages import read_saved
from tests.answers.conftest import OWNER
from tests.chats.desk import Desk

STRANGER = "9" * 32


async def cut(desk: Desk, text: str = "so far") -> Turn:
    """A chat whose answer was cut off."""
    turn = await desk.chats.open(OWNER, "q1")
    await desk.answer(turn, text, Status.INTERRUPTED, None)
    return turn


async def test_it_goes_on_where_it_stopped(desk: Desk) -> None:
    turn = await cut(desk)
    # Whoever looks now keeps it in memory.
    assert await desk.look(turn) == "so far"
    assert await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id) == turn
    message = await desk.chats.message(OWNER, turn.chat_id, turn.message_id)
    assert (message.status, message.text, message.seconds) == (Status.QUEUED, "so far", None)
    transcript = await desk.chats.transcript(OWNER, turn.chat_id)
    assert transcript.running == turn.message_id
    await desk.answer(turn, " and on")
    message = await desk.chats.message(OWNER, turn.chat_id, turn.message_id)
    assert (message.status, message.text) == (Status.COMPLETED, "so far and on")
    assert message.seconds is not None


async def test_one_that_went_on_and_ended_is_not_taken_for_the_first(desk: Desk) -> None:
    turn = await cut(desk)
    before = await desk.chats.message(OWNER, turn.chat_id, turn.message_id)
    assert await desk.look(turn) == "so far"
    await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id)
    await desk.answer(turn, " and on")
    async with desk.chats._hub.follow(turn.chat_id, turn.message_id, None) as watched:
        assert watched.answer is not None
        assert watched.answer.text == "so far and on"
        assert str(watched.answer.top) > str(before.last_event_id)


@pytest.mark.parametrize("text", ["Grüße 🦉 " * 30_000, "x" * 65_536, "é" * 32_769])
async def test_a_long_text_is_cut_between_characters(desk: Desk, text: str) -> None:
    turn = await cut(desk, text)
    await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id)
    entries: Any = await desk.redis.xrange(keys.log(turn.chat_id, turn.message_id))
    pieces = [fields[b"d"] for _, fields in entries if fields[b"t"] == b"d"]
    assert all(len(piece) <= 65_536 for piece in pieces)
    assert "".join(piece.decode() for piece in pieces) == text
    assert [int(at.partition(b"-")[2]) for at, _ in entries] == list(range(len(entries)))
    generation: Any = await desk.redis.hgetall(keys.generation(turn.chat_id))
    assert int(generation[b"bytes"]) == len(text.encode())
    assert int(generation[b"seq"]) == len(entries) - 1


async def test_a_log_that_is_lost_then_leaves_the_text_that_was_there(desk: Desk) -> None:
    turn = await cut(desk)
    await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id)
    await desk.redis.delete(keys.log(turn.chat_id, turn.message_id))
    stopped = await desk.chats.stop(OWNER, turn.chat_id, turn.message_id)
    assert (stopped.status, stopped.text) == (Status.INTERRUPTED, "so far")


async def test_a_repeated_request_starts_it_once(desk: Desk) -> None:
    turn = await cut(desk)
    assert await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id, request="on") == turn
    assert await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id, request="on") == turn
    with pytest.raises(AnswerRunning):
        await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id)
    await desk.answer(turn, " and on")
    assert await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id, request="on") == turn
    assert (await desk.chats.message(OWNER, turn.chat_id, turn.message_id)).status is Status.COMPLETED
    with pytest.raises(KeyReused):
        await desk.chats.ask(OWNER, turn.chat_id, "q2", request="on")


async def test_what_cannot_go_on(desk: Desk) -> None:
    done, empty = await desk.open("q1", "a1"), await cut(desk, "")
    other = await cut(desk)
    with pytest.raises(InvalidInput):
        await desk.chats.go_on(OWNER, done.chat_id, done.message_id)
    with pytest.raises(InvalidInput):
        await desk.chats.go_on(OWNER, done.chat_id, done.user_message_id)
    with pytest.raises(InvalidInput):
        await desk.chats.go_on(OWNER, empty.chat_id, empty.message_id)
    with pytest.raises(NotFound):
        await desk.chats.go_on(OWNER, done.chat_id, other.message_id)
    with pytest.raises(NotFound):
        await desk.chats.go_on(STRANGER, other.chat_id, other.message_id)
    await desk.redis.hset(keys.chat(other.chat_id), "deleted_at", "1")
    with pytest.raises(NotFound):
        await desk.chats.go_on(OWNER, other.chat_id, other.message_id)


@pytest.mark.parametrize(("status", "reason"), [(Status.STOPPED, None), (Status.COMPLETED, "length")])
async def test_other_ends_that_leave_something_to_say(desk: Desk, status: Status, reason: Any) -> None:
    turn = await desk.chats.open(OWNER, "q1")
    await desk.answer(turn, "so far", status, reason)
    await desk.chats.go_on(OWNER, turn.chat_id, turn.message_id)
    saved = await read_saved(desk.redis, turn.chat_id, turn.message_id)
    assert saved is not None
    assert saved.outcome is None
