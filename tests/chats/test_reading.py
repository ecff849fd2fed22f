"""Read a chat while it changes."""

from collections.abc import AsyncIterator

import pytest

from chatapp.chats import reading
from chatapp.storage.messages import Saved, read_saved
from tests.answers.conftest import OWNER
from tests.chats.desk import Desk


async def test_a_message_that_ends_while_it_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = await desk.chats.open(OWNER, "?")
    before = await read_saved(desk.redis, turn.chat_id, turn.message_id)
    assert before is not None
    await desk.answer(turn, "text")
    after = await desk.chats.message(OWNER, turn.chat_id, turn.message_id)

    async def earlier(*_: object) -> AsyncIterator[list[Saved]]:
        yield [before]

    monkeypatch.setattr(reading, "read_branch", earlier)
    meanwhile = await desk.chats.message(OWNER, turn.chat_id, turn.message_id)
    assert before.outcome is None
    assert after.seconds is not None
    assert meanwhile == after
