"""What is stored of a chat is not ours, or not whole: that chat says so, and everything else works."""

from collections.abc import AsyncIterator, Callable

import pytest
from redis import Redis

from chatapp.storage import keys
from tests.conftest import Stage, staged
from tests.support.client import Begun, Person

Damage = Callable[[Redis, Begun], object]


@pytest.fixture(scope="module")
async def _stage() -> AsyncIterator[Stage]:
    """A server of its own: for as long as it runs, its log complains of what is damaged here."""
    async with staged() as stage:
        yield stage


def replaced(key: str, client: Redis) -> None:
    client.delete(key)
    client.set(key, "not ours")


DAMAGES: dict[str, Damage] = {
    "the chat is of another type": lambda redis, one: replaced(keys.chat(one.chat_id), redis),
    "its messages are": lambda redis, one: replaced(keys.messages(one.chat_id), redis),
    "its generation is": lambda redis, one: replaced(keys.generation(one.chat_id), redis),
    "fields are missing": lambda redis, one: redis.hdel(keys.chat(one.chat_id), "head", "created_at"),
    "fields make no sense": lambda redis, one: redis.hset(
        keys.chat(one.chat_id), mapping={"updated_at": "then", "temperature": "warm", "title": b"\xff"}
    ),
    "its state is unknown": lambda redis, one: redis.hset(keys.generation(one.chat_id), "state", "asleep"),
    "a message is another's": lambda redis, one: redis.hset(
        keys.messages(one.chat_id), one.message_id, '{"version": 99}'
    ),
    "a message is cut": lambda redis, one: redis.hset(keys.messages(one.chat_id), one.message_id, '{"id'),
    "an outcome is": lambda redis, one: redis.hset(
        keys.messages(one.chat_id), f"{one.message_id}:end", b"\xff"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_one_chat(stage: Stage, ann: Person, damage: Damage) -> None:
    whole, broken = await ann.begin("n=2 apples"), await ann.begin("n=2 apples")
    for begun in (whole, broken):
        await ann.follow(begun)
    with Redis.from_url(stage.redis.url) as client:
        damage(client, broken)

    page = f"/chats/{broken.chat_id}"
    message = f"{page}/messages/{broken.message_id}"
    reads = (
        page,
        f"{page}/export.md",
        f"{message}/stream",
        broken.chat,
        broken.path,
        f"{broken.path}/events",
    )
    statuses = {path: (await ann.http.get(path)).status_code for path in reads}
    statuses["regenerate"] = (await ann.http.post(f"{broken.path}/regenerate")).status_code
    statuses["stop"] = (await ann.http.post(f"{broken.path}/stop")).status_code
    assert set(statuses.values()) <= {200, 201, 404, 503}, statuses

    for path in ("/", "/chats", "/chats?q=apples", f"/chats/{whole.chat_id}"):
        assert (await ann.http.get(path)).status_code == 200, path
    for path in ("/api/chats", "/api/chats?q=apples"):
        listed = (await ann.http.get(path)).json()["chats"]
        assert whole.chat_id in [chat["id"] for chat in listed]
    assert (await ann.message(whole))["status"] == "completed"


async def test_it_says_so(stage: Stage, ann: Person) -> None:
    begun = await ann.begin("n=2")
    await ann.follow(begun)
    with Redis.from_url(stage.redis.url) as client:
        client.hdel(keys.chat(begun.chat_id), "head")
    problem = await ann.http.get(begun.chat)
    page = await ann.http.get(begun.page)
    assert (problem.status_code, problem.json()["code"]) == (503, "damaged")
    assert "retry-after" not in problem.headers
    assert "What is stored of this chat cannot be read." in page.text
