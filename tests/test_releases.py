"""What earlier releases left in Redis, killed in the middle of it all: this one goes on with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from chatapp.rendering.document import render
from chatapp.web.bodies import part_name
from tests.conftest import environment
from tests.rendering.dom import canonical
from tests.support.client import Begun, Person, person
from tests.support.processes import RedisProcess, ServerProcess
from tests.support.provider import ScriptedProvider
from tests.support.script import Script
from tests.support.snapshot import ENV, FOLDER, PROMPTS, load
from tests.support.sse import SSEEvent, read_answer
from tests.web.test_pages import body_of


class Left:
    """What was there, and who asked for it."""

    def __init__(self, found: dict[str, Any], ann: Person, provider: ScriptedProvider, redis: Redis) -> None:
        self.keys: dict[str, Any] = found["keys"]
        self.ann = ann
        self.provider = provider
        self.redis = redis
        names = ("chat_id", "user_message_id", "message_id")
        self._chats = {name: dict(zip(names, ids, strict=True)) for name, ids in found["chats"].items()}

    def begun(self, name: str) -> Begun:
        ids = self._chats[name]
        url = f"/api/chats/{ids['chat_id']}/messages/{ids['message_id']}/events"
        return Begun(self.ann.base, ids | {"events_url": url})

    def log(self, name: str) -> list[tuple[str, dict[str, str]]]:
        """The entries of an answer's log as they were left."""
        begun = self.begun(name)
        entries: list[tuple[str, dict[str, str]]] = self.keys[
            f"chat:{{{begun.chat_id}}}:log:{begun.message_id}"
        ][1]["entries"]
        return entries

    @property
    def owner(self) -> str:
        return self.ann.cookies["chat_session"].partition(".")[0]


@pytest.fixture(scope="module", params=sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
async def left(request: pytest.FixtureRequest) -> AsyncIterator[Left]:
    """A server that found all that, and its owner."""
    path: Path = request.param
    found = json.loads(await asyncio.to_thread(path.read_text))
    async with RedisProcess() as server, ScriptedProvider() as provider:
        provider.release()
        async with Redis.from_url(server.url, decode_responses=True) as redis:
            await load(redis, found["keys"])
            env = environment(server.url, provider.base_url) | ENV
            async with ServerProcess(["web"], env) as web:
                await web.wait_ready()
                async with person(web.url) as ann:
                    ann.http.cookies.update(found["cookies"])
                    yield Left(found, ann, provider, redis)


@pytest.mark.parametrize("name", ["running", "thinking", "silent", "queued"])
async def test_an_answer_that_ran_is_finished(left: Left, name: str) -> None:
    begun = left.begun(name)
    whole = Script.parse(PROMPTS[name]).text
    answer = await left.ann.follow(begun)
    assert (answer.text, answer.resets) == (whole, 0)
    assert (answer.end or {})["status"] == "completed"
    message = await left.ann.message(begun)
    assert (message["status"], message["text"]) == ("completed", whole)
    [call] = [c for c in left.provider.calls if c.messages[0]["content"] == PROMPTS[name]]
    assert call.prefix == "".join(fields["d"] for _, fields in left.log(name) if fields["t"] == "d")
    page = (await left.ann.http.get(f"/chats/{begun.chat_id}")).text
    shown = canonical(body_of(page, begun.message_id))
    assert shown == canonical(render(whole, part_name(begun.message_id)))


async def test_a_reader_of_before_goes_on(left: Left) -> None:
    begun = left.begun("running")
    read = ""
    for entry_id, fields in left.log("running"):
        read += fields["d"] if fields["t"] == "d" else ""
        answer = await read_answer(f"{begun.events}?after={entry_id}", cookies=left.ann.cookies)
        assert (read + answer.text, answer.resets) == (Script.parse(PROMPTS["running"]).text, 0)
    assert len(left.log("running")) > 4


async def test_a_stopped_answer_goes_on(left: Left) -> None:
    begun = left.begun("stopped")
    message = await left.ann.message(begun)
    whole = Script.parse(PROMPTS["stopped"]).text
    assert message["status"] == "stopped"
    assert message["text"] > ""
    assert whole.startswith(message["text"])
    response = await left.ann.http.post(f"{begun.path}/continue")
    assert response.status_code == 201, response.text
    assert (await left.ann.follow(begun)).text == whole


async def test_versions_and_a_link(left: Left) -> None:
    begun = left.begun("done")
    whole = Script.parse(PROMPTS["done"]).text
    chat = (await left.ann.http.get(begun.chat)).json()
    question, answer, *_ = chat["messages"]
    assert (question["text"], answer["text"]) == (PROMPTS["done"], whole)
    assert answer["variants"] == [begun.message_id, answer["id"]]
    assert (await left.ann.message(begun))["text"] == whole
    [token] = [key.removeprefix("share:") for key in left.keys if key.startswith("share:")]
    async with person(left.ann.base) as stranger:
        assert render(whole, part_name(answer["id"])) in (await stranger.http.get(f"/s/{token}")).text
        assert (await stranger.http.get(begun.chat)).status_code == 404


async def test_the_list_and_the_search(left: Left) -> None:
    names = ["queued", "done", "silent", "thinking", "running", "stopped"]
    listed = (await left.ann.http.get("/api/chats")).json()["chats"]
    assert {chat["id"] for chat in listed} == {left.begun(name).chat_id for name in names}
    for name in names:
        found = (await left.ann.http.get("/api/chats", params={"q": name})).json()["chats"]
        assert [chat["id"] for chat in found] == [left.begun(name).chat_id]


async def test_a_deleted_chat_is_removed(left: Left) -> None:
    begun = left.begun("deleted")
    assert (await left.ann.http.get(begun.chat)).status_code == 404
    async with asyncio.timeout(20):
        while [key async for key in left.redis.scan_iter(f"*{begun.chat_id}*")]:
            await asyncio.sleep(0.05)


async def test_events_of_before_are_read_on(left: Left) -> None:
    entries = left.keys[f"user:{left.owner}:events"][1]["entries"]
    first, *rest = [entry_id for entry_id, _ in entries]
    heard: list[SSEEvent] = []
    async with left.ann.stream(f"{left.ann.base}/api/events?after={first}") as stream:
        async for event in stream:
            heard.append(event)
            if len(heard) == len(rest):
                break
    assert [event.id for event in heard] == rest


async def test_questions_are_asked_in_chats_of_before(left: Left) -> None:
    begun = left.begun("done")
    following = await left.ann.begin("n=5 following", chat_id=begun.chat_id)
    assert (await left.ann.follow(following)).text == Script.parse("n=5").text
    [call] = [c for c in left.provider.calls if c.messages[-1]["content"] == "n=5 following"]
    assert [m["role"] for m in call.messages] == ["user", "assistant", "user"]
