"""What a running answer does not keep: the conversation is longer than most answers."""

import asyncio
import gc

import httpx2
import msgspec
import pytest

from chatapp.answers.history import read_asked
from chatapp.answers.lease import Lease
from chatapp.answers.provider import Prompt
from chatapp.models import Cursor
from chatapp.storage.connections import Connections
from tests.answers.conftest import Asked, asked, ending, working
from tests.support.provider import ScriptedProvider

PROMPT = "n=9 seed=3 fault=stall@5"


def conversations() -> list[object]:
    """All prompts in this process, all requests that hold one, and all rows of Redis that do."""
    gc.collect()
    found = gc.get_objects()
    requests = [o for o in found if isinstance(o, httpx2.Request) and vars(o).get("_content")]
    rows = [o for o in found if type(o) is list and PROMPT.encode() in o]
    return [*requests, *rows, *(o for o in found if isinstance(o, Prompt))]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_the_conversation_is_let_go_once_the_answer_comes(
    connections: Connections, provider: ScriptedProvider, api: str
) -> None:
    before = conversations()
    async with working(connections, provider, api=api):
        question = await asked(connections, PROMPT)
        async with asyncio.timeout(10):
            while not await question.text():
                await asyncio.sleep(0.01)
        kept = [held for held in conversations() if held not in before]
        provider.release()
        assert not kept
        assert ending(await question.ended()) == ("completed", None)


async def test_the_question_is_not_kept_for_the_end(connections: Connections) -> None:
    question, prompt = Asked(connections), "long " * 6000
    await question.begin(prompt, announce=False)
    lease = Lease(question.chat_id, question.message_id, "nonce", Cursor(1, 1))
    asking, kept = await read_asked(connections.commands, lease)
    assert asking.turns[-1].content == prompt
    assert kept.question_id == question.question_id
    assert len(msgspec.json.encode(kept)) < 200
