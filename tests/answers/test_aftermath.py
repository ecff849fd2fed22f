"""Who is told of an answer's end, also when whoever ended it died at once."""

import asyncio
import json
from typing import Any

from chatapp.answers.aftermath import see_to_end
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.scripts import CLAIM, END, TOLD, Call, run
from chatapp.storage.signatures import BYTES, bits_of
from tests.answers.conftest import OWNER, Asked, asked, working
from tests.support.provider import ScriptedProvider

COMPLETED = b'{"status":"completed","finish_reason":"stop"}'


async def told(connections: Connections) -> list[dict[str, str]]:
    entries: Any = await connections.commands.xrange(keys.user_events(OWNER))
    return [json.loads(fields[b"d"]) for _, fields in entries]


async def ended_by_nobody(connections: Connections) -> Asked:
    """An answer whose worker died right after the end."""
    question = Asked(connections)
    await question.begin("?", announce=False)
    claim = Call(CLAIM, question.keys, question.message_id, "nonce", 10_000, 3, COMPLETED, 600)
    _, fence, seq = await run(connections.commands, claim)
    end = (question.message_id, fence, "nonce", int(seq) + 1, COMPLETED, "completed", 600, "")
    await run(connections.commands, Call(END, question.keys, *end))
    return question


async def test_by_the_worker(connections: Connections, provider: ScriptedProvider) -> None:
    async with working(connections, provider):
        question = await asked(connections, "n=3")
        async with asyncio.timeout(10):
            while not (events := await told(connections)):
                await asyncio.sleep(0.01)
            while not await connections.commands.hget(keys.generation(question.chat_id), "told"):
                await asyncio.sleep(0.01)
    assert events == [
        {
            "type": "finished",
            "chat_id": question.chat_id,
            "message_id": question.message_id,
            "status": "completed",
        }
    ]
    await see_to_end(connections.commands, question.chat_id, question.message_id)
    assert len(await told(connections)) == 1


async def test_its_question_is_found_even_if_who_took_it_died(
    connections: Connections, provider: ScriptedProvider
) -> None:
    async with working(connections, provider):
        question = await asked(connections, "n=3 quince")
        async with asyncio.timeout(10):
            while not await connections.commands.hget(keys.generation(question.chat_id), "told"):
                await asyncio.sleep(0.01)
    signature: Any = await connections.commands.getrange(keys.user_signatures(OWNER), 0, BYTES - 1)
    places = bits_of({"quince"}, whole=True)
    assert places
    assert all(signature[place >> 3] & 0x80 >> (place & 7) for place in places)


async def test_by_whoever_looks_at_it_next(connections: Connections, provider: ScriptedProvider) -> None:
    question = await ended_by_nobody(connections)
    async with working(connections, provider):
        await question.announce()
        async with asyncio.timeout(10):
            while not await told(connections):
                await asyncio.sleep(0.01)
        await question.announce()
        await (await asked(connections, "n=1")).ended()
    assert [event["status"] for event in await told(connections) if event["chat_id"] == question.chat_id] == [
        "completed"
    ]


async def test_nothing_of_what_runs_or_is_not_there(connections: Connections) -> None:
    question = Asked(connections)
    await question.begin("?", announce=False)
    await see_to_end(connections.commands, question.chat_id, question.message_id)
    await see_to_end(connections.commands, question.chat_id, "e" * 32)
    await see_to_end(connections.commands, "e" * 32, question.message_id)
    assert await told(connections) == []
    assert not await connections.commands.exists(keys.generation("e" * 32))


async def test_an_answer_that_goes_on_is_told_again(connections: Connections) -> None:
    question = await ended_by_nobody(connections)
    await see_to_end(connections.commands, question.chat_id, question.message_id)
    await connections.commands.hincrby(keys.generation(question.chat_id), "fence", 1)
    assert await run(connections.commands, Call(TOLD, question.keys[:1], "1")) == ["STALE"]
    await see_to_end(connections.commands, question.chat_id, question.message_id)
    assert len(await told(connections)) == 2
