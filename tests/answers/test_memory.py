"""What a running answer does not keep: the conversation is longer than most answers."""

import asyncio
import gc

import httpx2
import pytest

from chatapp.answers.provider import Prompt
from chatapp.storage.connections import Connections
from tests.answers.conftest import asked, ending, working
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
