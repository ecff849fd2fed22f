"""What is listed as due stays so until it is certainly done: who unlists takes back his own listing."""

import secrets
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from chatapp.answers.hub import Hub
from chatapp.answers.provider import OpenAIProvider
from chatapp.chats.service import Chats
from chatapp.errors import AnswerRunning
from chatapp.storage import keys, scripts
from chatapp.storage.connections import Connections
from chatapp.storage.scripts import SCHEDULE, UNLIST, Call, run

OWNER = "0" * 32


def chats(connections: Connections) -> Chats:
    provider = OpenAIProvider("http://127.0.0.1:9", "sk-test-0123456789", ["scripted"])
    hub = Hub(connections.commands, connections.hub)
    return Chats(connections.commands, hub, provider, ["scripted"], "secret")


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
    send = scripts._send
    lost: list[Any] = []

    async def losing(*arguments: Any) -> list[Any]:
        replies = await send(*arguments)
        if not lost:
            lost.append(replies)
            raise RedisConnectionError
        return replies

    monkeypatch.setattr(scripts, "_send", losing)
    turn = await chats(connections).open(OWNER, "hello", request=secrets.token_hex(16))
    assert lost
    assert await listed(connections) == [f"{turn.chat_id} {turn.message_id}"]


async def test_a_turn_that_was_refused_or_repeated_is_not_listed(connections: Connections) -> None:
    request = secrets.token_hex(16)
    here = chats(connections)
    turn = await here.open(OWNER, "hello", request=request)
    assert await here.open(OWNER, "hello", request=request) == turn
    with pytest.raises(AnswerRunning):
        await here.ask(OWNER, turn.chat_id, "more")
    assert await listed(connections) == [f"{turn.chat_id} {turn.message_id}"]
