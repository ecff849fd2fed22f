"""A chat is a tree: other versions beside what is there, one branch of it visible, nothing lost."""

from typing import Any

import pytest

from chatapp.errors import AnswerRunning, InvalidInput, KeyReused, NotFound
from chatapp.models import Status
from chatapp.storage import keys
from tests.answers.conftest import OWNER
from tests.chats.desk import Desk

MISSING = "f" * 32
STRANGER = "9" * 32


async def test_a_chat_reads_as_it_was_said(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    await desk.ask(first, "q2", "a2")
    transcript = await desk.chats.transcript(OWNER, first.chat_id)
    assert [message.text for message in transcript.messages] == ["q1", "a1", "q2", "a2"]
    assert [message.variants for message in transcript.messages] == [(m.id,) for m in transcript.messages]
    assert (transcript.running, transcript.older) == (None, None)
    seconds = [message.seconds for message in transcript.messages]
    assert seconds[::2] == [None, None]
    assert all(took is not None and 0 <= took < 5 for took in seconds[1::2])


async def test_an_edited_question_begins_a_branch(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    second = await desk.ask(first, "q2", "a2")
    await desk.ask(first, "q3", "a3")
    edited = await desk.chats.edit(OWNER, first.chat_id, second.user_message_id, "q2 again")
    assert edited.user_message_id != second.user_message_id
    transcript = await desk.chats.transcript(OWNER, first.chat_id)
    assert [message.text for message in transcript.messages] == ["q1", "a1", "q2 again", ""]
    assert transcript.running == edited.message_id
    assert transcript.messages[2].variants == (second.user_message_id, edited.user_message_id)
    await desk.answer(edited, "a2 again")
    await desk.chats.select(OWNER, first.chat_id, second.user_message_id)
    assert await desk.texts(first) == ["q1", "a1", "q2", "a2", "q3", "a3"]
    await desk.chats.select(OWNER, first.chat_id, edited.user_message_id)
    assert await desk.texts(first) == ["q1", "a1", "q2 again", "a2 again"]


async def test_the_first_question_has_versions_too(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    edited = await desk.chats.edit(OWNER, first.chat_id, first.user_message_id, "other")
    await desk.answer(edited, "b1")
    transcript = await desk.chats.transcript(OWNER, first.chat_id)
    assert [message.text for message in transcript.messages] == ["other", "b1"]
    assert transcript.messages[0].parent_id is None
    assert transcript.messages[0].variants == (first.user_message_id, edited.user_message_id)
    await desk.chats.select(OWNER, first.chat_id, first.user_message_id)
    assert await desk.texts(first) == ["q1", "a1"]


async def test_a_regenerated_answer_stands_beside_the_first(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    await desk.ask(first, "q2", "a2")
    again = await desk.chats.regenerate(OWNER, first.chat_id, first.message_id, model="other")
    assert again.user_message_id == first.user_message_id
    await desk.answer(again, "b1")
    transcript = await desk.chats.transcript(OWNER, first.chat_id)
    assert [message.text for message in transcript.messages] == ["q1", "b1"]
    assert transcript.messages[1].variants == (first.message_id, again.message_id)
    assert [message.model for message in transcript.messages] == [None, "other"]
    # The chat goes on with its own.
    assert transcript.chat.model == "scripted"
    await desk.chats.select(OWNER, first.chat_id, first.message_id)
    assert await desk.texts(first) == ["q1", "a1", "q2", "a2"]
    third = await desk.chats.regenerate(OWNER, first.chat_id, first.message_id)
    message = await desk.chats.message(OWNER, first.chat_id, third.message_id)
    assert message.variants == (first.message_id, again.message_id, third.message_id)


async def test_a_version_is_shown_down_to_the_newest_below_it(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    second = await desk.ask(first, "q2", "a2")
    again = await desk.chats.regenerate(OWNER, first.chat_id, second.message_id)
    await desk.answer(again, "b2")
    other = await desk.chats.edit(OWNER, first.chat_id, first.user_message_id, "other")
    await desk.answer(other, "c1")
    await desk.chats.select(OWNER, first.chat_id, first.user_message_id)
    assert await desk.texts(first) == ["q1", "a1", "q2", "b2"]


async def test_what_an_older_version_kept_is_found_again(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    await desk.ask(first, "q2", "a2")
    await desk.ask(first, "q3", "a3")
    # It kept neither children nor times.
    fields: Any = await desk.redis.hkeys(keys.messages(first.chat_id))
    newer = [field for field in fields if field.endswith((b":children", b":times"))]
    await desk.redis.hdel(keys.messages(first.chat_id), *newer)
    transcript = await desk.chats.transcript(OWNER, first.chat_id)
    assert [message.text for message in transcript.messages] == ["q1", "a1", "q2", "a2", "q3", "a3"]
    assert {message.seconds for message in transcript.messages} == {None}
    assert [message.variants for message in transcript.messages] == [(m.id,) for m in transcript.messages]
    edited = await desk.chats.edit(OWNER, first.chat_id, first.user_message_id, "other")
    await desk.answer(edited, "b1")
    await desk.chats.select(OWNER, first.chat_id, first.user_message_id)
    assert await desk.texts(first) == ["q1", "a1", "q2", "a2", "q3", "a3"]


async def test_a_window_of_a_long_chat(desk: Desk) -> None:
    first = await desk.open("q0", "a0")
    for number in range(1, 40):
        await desk.ask(first, f"q{number}", f"a{number}")
    everything = [f"{kind}{number}" for number in range(40) for kind in "qa"]
    transcript = await desk.chats.transcript(OWNER, first.chat_id)
    shown = [message.text for message in transcript.messages]
    assert shown == everything[-50:]
    assert transcript.older == transcript.messages[0].id
    older = await desk.chats.transcript(OWNER, first.chat_id, before=transcript.older)
    assert [message.text for message in older.messages] == everything[:-50]
    assert older.older is None
    part = await desk.chats.transcript(OWNER, first.chat_id, before=transcript.older, limit=7)
    assert [message.text for message in part.messages] == everything[-57:-50]
    assert part.older == part.messages[0].id
    assert await desk.texts(first, limit=None) == everything
    at = older.messages[20]
    found = await desk.texts(first, at=at.id)
    assert at.text in found
    assert found == everything[everything.index(at.text) - 10 :]
    assert await desk.texts(first, at=transcript.messages[-2].id) == everything[-50:]
    assert await desk.texts(first, at=MISSING) == everything[-50:]
    with pytest.raises(NotFound):
        await desk.chats.transcript(OWNER, first.chat_id, before=MISSING)
    with pytest.raises(NotFound):
        await desk.chats.transcript(OWNER, first.chat_id, at="../x")


async def test_one_answer_at_a_time(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    running = await desk.chats.ask(OWNER, first.chat_id, "q2")
    attempts = (
        desk.chats.edit(OWNER, first.chat_id, first.user_message_id, "other"),
        desk.chats.regenerate(OWNER, first.chat_id, first.message_id),
        desk.chats.select(OWNER, first.chat_id, first.message_id),
        desk.chats.ask(OWNER, first.chat_id, "q3"),
    )
    for attempt in attempts:
        with pytest.raises(AnswerRunning) as refused:
            await attempt
        assert refused.value.active_message_id == running.message_id
    assert await desk.texts(first) == ["q1", "a1", "q2", ""]


async def test_a_repeated_request_is_the_same_turn(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    edited = await desk.chats.edit(OWNER, first.chat_id, first.user_message_id, "other", request="e")
    await desk.answer(edited, "b1")
    assert await desk.chats.edit(OWNER, first.chat_id, first.user_message_id, "other", request="e") == edited
    with pytest.raises(KeyReused):
        await desk.chats.edit(OWNER, first.chat_id, first.user_message_id, "else", request="e")
    again = await desk.chats.regenerate(OWNER, first.chat_id, first.message_id, request="r")
    await desk.answer(again, "c1")
    assert await desk.chats.regenerate(OWNER, first.chat_id, first.message_id, request="r") == again
    with pytest.raises(KeyReused):
        await desk.chats.regenerate(OWNER, first.chat_id, first.message_id, model="other", request="r")


async def test_what_cannot_be_done(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    chats, chat_id = desk.chats, first.chat_id
    with pytest.raises(InvalidInput):
        await chats.edit(OWNER, chat_id, first.message_id, "other")
    with pytest.raises(InvalidInput):
        await chats.edit(OWNER, chat_id, first.user_message_id, "  ")
    with pytest.raises(InvalidInput):
        await chats.regenerate(OWNER, chat_id, first.user_message_id)
    with pytest.raises(InvalidInput):
        await chats.regenerate(OWNER, chat_id, first.message_id, model="no such")
    for owner, message_id in ((STRANGER, first.user_message_id), (OWNER, MISSING), (OWNER, "{x}")):
        with pytest.raises(NotFound):
            await chats.edit(owner, chat_id, message_id, "other")
        with pytest.raises(NotFound):
            await chats.regenerate(owner, chat_id, message_id)
        with pytest.raises(NotFound):
            await chats.select(owner, chat_id, message_id)
    assert await desk.texts(first) == ["q1", "a1"]


async def test_a_model_that_is_named_becomes_the_chats(desk: Desk) -> None:
    first = await desk.open("q1", "a1")
    second = await desk.chats.ask(OWNER, first.chat_id, "q2", model="other")
    assert (await desk.chats.message(OWNER, first.chat_id, second.message_id)).model == "other"
    assert (await desk.chats.chat(OWNER, first.chat_id)).model == "other"


async def test_a_chats_settings(desk: Desk) -> None:
    turn = await desk.open("q1", "a1", system="Be brief.", temperature=0.5, max_tokens=9, stream=False)
    chat = await desk.chats.chat(OWNER, turn.chat_id)
    assert (chat.temperature, chat.max_tokens, chat.stream) == (0.5, 9, False)
    assert (await desk.chats.message(OWNER, turn.chat_id, turn.message_id)).whole
    changed = await desk.chats.configure(
        OWNER, turn.chat_id, title=" A\tname\u202e ", model="other", system="", temperature=None, stream=True
    )
    assert (changed.title, changed.model, changed.system) == ("A name", "other", "")
    assert (changed.temperature, changed.max_tokens, changed.stream) == (None, 9, True)
    assert await desk.redis.hget(keys.chat(turn.chat_id), "titled") == b"manual"
    assert await desk.chats.configure(OWNER, turn.chat_id) == changed
    following = await desk.ask(turn, "q2", "a2")
    assert not (await desk.chats.message(OWNER, turn.chat_id, following.message_id)).whole


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": " \n"},
        {"model": "no such"},
        {"system": "x" * 32_001},
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"temperature": True},
        {"max_tokens": 0},
        {"max_tokens": 1_000_001},
        {"max_tokens": True},
    ],
)
async def test_settings_that_make_no_sense(desk: Desk, wrong: dict[str, Any]) -> None:
    turn = await desk.open("q1", "a1")
    before = await desk.chats.chat(OWNER, turn.chat_id)
    with pytest.raises(InvalidInput):
        await desk.chats.configure(OWNER, turn.chat_id, stream=False, **wrong)
    assert await desk.chats.chat(OWNER, turn.chat_id) == before


async def test_a_long_title_is_cut(desk: Desk) -> None:
    turn = await desk.open("q1", "a1")
    assert (await desk.chats.configure(OWNER, turn.chat_id, title="x" * 300)).title == "x" * 200


async def test_a_deleted_chat_is_not_there(desk: Desk) -> None:
    turn = await desk.open("q1", "a1")
    await desk.redis.hset(keys.chat(turn.chat_id), "deleted_at", "1")
    chats = desk.chats
    for attempt in (
        chats.transcript(OWNER, turn.chat_id),
        chats.ask(OWNER, turn.chat_id, "q2"),
        chats.edit(OWNER, turn.chat_id, turn.user_message_id, "other"),
        chats.regenerate(OWNER, turn.chat_id, turn.message_id),
        chats.select(OWNER, turn.chat_id, turn.message_id),
        chats.configure(OWNER, turn.chat_id, title="name"),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert (await desk.redis.hget(keys.generation(turn.chat_id), "state")) == Status.COMPLETED.encode()
