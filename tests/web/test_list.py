"""The list of chats over HTTP: pages of it, deleting, and taking that back."""

import asyncio
import json

from redis import Redis

from chatapp.storage import keys
from tests.conftest import Stage
from tests.support.client import Person, person


async def test_pages(ann: Person) -> None:
    begun = [await ann.begin(f"n=1 seed={number}") for number in range(5)]
    for one in begun:
        await ann.follow(one)
    first = (await ann.http.get("/api/chats?limit=3")).json()
    second = (await ann.http.get(f"/api/chats?limit=3&cursor={first['next_cursor']}")).json()
    chats = first["chats"] + second["chats"]
    assert [chat["id"] for chat in chats] == [one.chat_id for one in reversed(begun)]
    assert second["next_cursor"] is None
    assert set(chats[0]) == {"id", "title", "updated_at", "status"}
    assert chats[0]["status"] == "completed"


async def test_a_wrong_page(ann: Person) -> None:
    for query in ("limit=0", "limit=1000", "cursor=x"):
        assert (await ann.http.get(f"/api/chats?{query}")).status_code == 422
    assert (await ann.http.get("/api/chats?limit=many")).status_code == 400


async def test_deleting_stops_what_runs(stage: Stage, ann: Person) -> None:
    prompt = "n=9 fault=stall@4 deleting"
    begun = await ann.begin(prompt)
    calls = stage.provider.calls
    await stage.provider.until(
        lambda: [c for c in calls if c.messages[-1]["content"] == prompt and c.sent == 4]
    )
    [call] = [call for call in calls if call.messages[-1]["content"] == prompt]
    async with ann.stream(begun.events) as stream, asyncio.timeout(10):
        heard = aiter(stream)
        assert (await anext(heard)).event == "delta"
        assert (await ann.http.delete(begun.chat)).status_code == 204
        while (event := await anext(heard)).event != "end":
            pass
        await call.client_gone.wait()
    assert json.loads(event.data)["status"] == "stopped"


async def test_nobody_reads_what_is_deleted(ann: Person) -> None:
    begun = await ann.begin("n=3")
    await ann.follow(begun)
    # What has a name gets none from the model.
    await ann.http.patch(begun.chat, json={"title": "A name"})
    paths = [begun.chat, begun.path, f"{begun.path}/events", f"/chats/{begun.chat_id}"]
    paths.append(begun.html.removeprefix(ann.base))
    assert [(await ann.http.get(path)).status_code for path in paths] == [200] * 5
    assert (await ann.http.delete(begun.chat)).status_code == 204
    assert (await ann.http.delete(begun.chat)).status_code == 204
    assert [(await ann.http.get(path)).status_code for path in paths] == [404] * 5
    assert (await ann.http.post(f"{begun.chat}/messages", json={"prompt": "?"})).status_code == 404
    assert (await ann.http.post(f"{begun.path}/stop")).status_code == 404
    assert (await ann.http.get("/api/chats")).json()["chats"] == []
    restored = await ann.http.post(f"{begun.chat}/restore")
    assert (restored.status_code, restored.json()["id"]) == (200, begun.chat_id)
    assert [(await ann.http.get(path)).status_code for path in paths] == [200] * 5
    assert (await ann.http.get("/api/chats")).json()["chats"] == [restored.json()]


async def test_of_somebody_else(ann: Person) -> None:
    begun = await ann.begin("n=1")
    async with person(ann.base) as bob:
        assert (await bob.http.delete(begun.chat)).status_code == 404
        assert (await bob.http.post(f"{begun.chat}/restore")).status_code == 404
        assert (await bob.http.get("/api/chats")).json() == {"chats": [], "next_cursor": None}
    assert (await ann.http.get(begun.chat)).status_code == 200


async def test_search(ann: Person) -> None:
    begun = await ann.begin("n=1 marmalade for breakfast")
    async with asyncio.timeout(10):
        while not (found := (await ann.http.get("/api/chats?q=break MARM")).json()["chats"]):
            await asyncio.sleep(0.02)
    assert [(chat["id"], chat["match_id"]) for chat in found] == [(begun.chat_id, begun.user_message_id)]
    assert "marmalade" in found[0]["snippet"]
    assert (await ann.http.get("/api/chats?q=marmot")).json() == {"chats": [], "next_cursor": None}
    assert (await ann.http.get("/api/chats?q=" + "x" * 300)).status_code == 422


async def test_sharing(ann: Person) -> None:
    begun = await ann.begin("n=3")
    await ann.follow(begun)
    link = await ann.http.post(f"{begun.chat}/share")
    assert (link.status_code, link.json()["url"][:3]) == (200, "/s/")
    assert (await ann.http.post(f"{begun.chat}/share")).json() == link.json()
    async with person(ann.base) as bob:
        assert (await bob.http.post(f"{begun.chat}/share")).status_code == 404
        assert (await bob.http.delete(f"{begun.chat}/share")).status_code == 404
    assert [(await ann.http.delete(f"{begun.chat}/share")).status_code for _ in range(2)] == [204, 204]


async def test_chats_of_before_there_was_a_search(stage: Stage, ann: Person) -> None:
    begun = await ann.begin("n=1 quince")
    await ann.follow(begun)
    # What begins an answer, and what ends it, index it; wait for the second.
    while not (await ann.http.get("/api/chats?q=quince")).json()["chats"]:
        await asyncio.sleep(0.05)
    owner = ann.cookies["chat_session"].partition(".")[0]
    with Redis.from_url(stage.redis.url) as redis:
        while redis.hget(keys.generation(begun.chat_id), "told") is None:
            await asyncio.sleep(0.05)
        redis.delete(keys.user_slots(owner), keys.user_signatures(owner))
    found = (await ann.http.get("/api/chats?q=quince")).json()["chats"]
    assert [chat["id"] for chat in found] == [begun.chat_id]
