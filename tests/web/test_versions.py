"""Edit, regenerate, continue, select and configure, as programs do it."""

import json
import uuid
from itertools import product
from typing import Any

import pytest

from tests.conftest import Stage
from tests.support.client import Begun, Person, person
from tests.support.provider import Call
from tests.support.script import Script

MISSING = "0" * 32


def unique(script: str) -> str:
    """A prompt that no other test sends, so that its calls can be told apart."""
    return f"{script} {uuid.uuid4().hex}"


def calls(stage: Stage, prompt: str) -> list[Call]:
    """The calls of the provider whose last question this was."""
    said = [{"role": "user", "content": prompt}]
    return [call for call in stage.provider.calls if [*call.messages][-1:] == said]


async def shown(ann: Person, begun: Begun) -> list[tuple[str, list[str]]]:
    """The visible branch: texts, and how many versions there are of each."""
    chat = (await ann.http.get(begun.chat)).json()
    return [(message["text"], message["variants"]) for message in chat["messages"]]


async def answered(ann: Person, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Begun:
    response = await ann.http.request(method, path, json=body)
    assert response.status_code == 201, response.text
    begun = Begun(ann.base, response.json())
    await ann.follow(begun)
    return begun


async def test_an_edited_question_and_back(stage: Stage, ann: Person) -> None:
    first, other = unique("n=2"), unique("n=3 seed=1")
    begun = await ann.begin(first)
    await ann.follow(begun)
    question = f"{begun.chat}/messages/{begun.user_message_id}"
    edited = await answered(ann, question, {"prompt": other}, "PUT")
    assert [call.messages for call in calls(stage, other)] == [[{"role": "user", "content": other}]]
    variants = [begun.user_message_id, edited.user_message_id]
    assert await shown(ann, begun) == [
        (other, variants),
        (Script.parse(other).text, [edited.message_id]),
    ]
    assert (await ann.http.post(f"{question}/select")).status_code == 204
    assert await shown(ann, begun) == [
        (first, variants),
        (Script.parse(first).text, [begun.message_id]),
    ]


async def test_another_answer_below_the_same_question(stage: Stage, ann: Person) -> None:
    prompt, later = unique("n=2"), unique("n=1")
    begun = await ann.begin(prompt)
    await ann.follow(begun)
    following = await ann.begin(later, chat_id=begun.chat_id)
    await ann.follow(following)
    again = await answered(ann, f"{begun.path}/regenerate", {"model": "scripted"})
    assert again.user_message_id == begun.user_message_id
    # The other branch is no part of what this answer is to.
    assert [call.messages for call in calls(stage, prompt)] == [[{"role": "user", "content": prompt}]] * 2
    bare = await answered(ann, f"{again.path}/regenerate")
    message = await ann.message(bare)
    assert message["variants"] == [begun.message_id, again.message_id, bare.message_id]


async def test_a_cut_answer_goes_on(stage: Stage, ann: Person) -> None:
    prompt = unique("n=8 fault=eof@3 times=1")
    begun = await ann.begin(prompt)
    before = await ann.follow(begun)
    assert before.end is not None
    assert before.end["status"] == "interrupted"
    key = uuid.uuid4().hex
    response = await ann.http.post(f"{begun.path}/continue", headers={"Idempotency-Key": key})
    assert response.status_code == 201
    assert response.json()["message_id"] == begun.message_id
    after = await ann.follow(begun)
    script = Script.parse(prompt)
    assert after.text == script.text
    assert after.end is not None
    assert after.end["status"] == "completed"
    # Whoever was there before learns that its log is another now.
    resumed = await ann.follow(begun, headers={"Last-Event-ID": before.ids[0]})
    assert (resumed.text, resumed.resets) == (script.text, 1)
    message = await ann.message(begun)
    assert (message["text"], message["status"]) == (script.text, "completed")
    repeated = await ann.http.post(f"{begun.path}/continue", headers={"Idempotency-Key": key})
    assert repeated.json() == response.json()
    refused = await ann.http.post(f"{begun.path}/continue")
    assert (refused.status_code, refused.json()["field"]) == (422, "message")


async def test_while_an_answer_runs(ann: Person) -> None:
    begun = await ann.begin("n=2")
    await ann.follow(begun)
    running = await ann.begin(unique("n=4 fault=hold"), chat_id=begun.chat_id)
    question = f"{begun.chat}/messages/{begun.user_message_id}"
    for response in (
        await ann.http.put(question, json={"prompt": "n=1"}),
        await ann.http.post(f"{begun.path}/regenerate"),
        await ann.http.post(f"{begun.path}/select"),
        await ann.http.post(f"{running.path}/continue"),
    ):
        assert response.status_code == 409
        assert response.json()["active_message_id"] == running.message_id
    await ann.stop(running)


async def test_a_chats_settings_reach_the_provider(stage: Stage, ann: Person) -> None:
    prompt, later = unique("n=2"), unique("n=1")
    body = {"prompt": prompt, "temperature": 0.5, "max_tokens": 77, "stream": False}
    begun = Begun(ann.base, (await ann.http.post("/api/chats", json=body)).json())
    await ann.follow(begun)
    [call] = calls(stage, prompt)
    assert (call.body["temperature"], call.body["max_tokens"]) == (0.5, 77)
    assert (await ann.message(begun))["whole"] is True
    changed = await ann.http.patch(
        begun.chat, json={"title": "A name", "temperature": None, "max_tokens": 5, "stream": True}
    )
    assert changed.json() == {
        "id": begun.chat_id,
        "title": "A name",
        "model": "scripted",
        "system": "",
        "temperature": None,
        "max_tokens": 5,
        "stream": True,
    }
    await ann.follow(await ann.begin(later, chat_id=begun.chat_id))
    [call] = calls(stage, later)
    assert ("temperature" in call.body, call.body["max_tokens"]) == (False, 5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(["temperature"], [-1, 2.1, 1e308, "1", True, []]),
        *product(["max_tokens"], [0, -1, 2**63, 1.5, "1", True, 1_000_001]),
        *product(["model"], ["no such", "../x", "x" * 9999]),
        ("title", " "),
        ("title", ""),
    ],
)
async def test_settings_that_make_no_sense(ann: Person, field: str, value: object) -> None:
    begun = await ann.begin("n=1")
    await ann.follow(begun)
    # What has a name gets none from the model.
    await ann.http.patch(begun.chat, json={"title": "A name"})
    before = (await ann.http.get(begun.chat)).json()
    response = await ann.http.patch(begun.chat, json={"system": "x", field: value})
    assert response.status_code == 422, response.text
    assert field in response.text
    assert (await ann.http.get(begun.chat)).json() == before
    if field != "title":
        opened = await ann.http.post("/api/chats", json={"prompt": "n=1", field: value})
        assert opened.status_code == 422


async def test_nothing_of_it_on_what_is_not_ours(stage: Stage, ann: Person) -> None:
    begun = await ann.begin(unique("n=4 fault=eof@2"))
    await ann.follow(begun)
    before = (await ann.http.get(begun.chat)).json()
    async with person(stage.url) as eve:
        mine = await eve.begin("n=1")
        await eve.follow(mine)
        # Somebody else's chat, and somebody else's message in one's own.
        for chat in (begun.chat, mine.chat):
            answer, question = (
                f"{chat}/messages/{message_id}" for message_id in (begun.message_id, begun.user_message_id)
            )
            for method, path, body in (
                ("PUT", question, {"prompt": "n=1"}),
                ("POST", f"{answer}/regenerate", {}),
                ("POST", f"{answer}/continue", None),
                ("POST", f"{answer}/select", None),
            ):
                assert (await eve.http.request(method, path, json=body)).status_code == 404
        assert (await eve.http.patch(begun.chat, json={"title": "mine"})).status_code == 404
        for path in ("x", "{x}", MISSING):
            assert (await eve.http.post(f"{mine.chat}/messages/{path}/regenerate")).status_code == 404
    assert (await ann.http.get(begun.chat)).json() == before


async def test_the_models(ann: Person) -> None:
    assert (await ann.http.get("/api/models")).json() == {"models": ["scripted"], "default": "scripted"}


async def test_others_are_told(stage: Stage, ann: Person) -> None:
    # The session comes with the first answer.
    await ann.http.get("/api/chats")
    async with ann.stream(f"{ann.base}/api/events", timeout=10) as stream:
        events = aiter(stream)

        async def told() -> str:
            """The next event, but for the name that the model gives the chat."""
            event = await anext(events)
            named = event.event == "renamed" and json.loads(event.data)["title"] != "A name"
            return await told() if named else event.event

        assert await told() == "open"
        # Whoever tells of an end is another task, or another process.
        begun = await ann.begin(unique("n=2 fault=hold"))
        assert [await told(), await told()] == ["new", "running"]
        stage.provider.release()
        await ann.follow(begun)
        assert await told() == "finished"
        await ann.http.patch(begun.chat, json={"title": "A name"})
        assert await told() == "renamed"
        stage.provider.hold()
        again = Begun(ann.base, (await ann.http.post(f"{begun.path}/regenerate")).json())
        assert await told() == "running"
        stage.provider.release()
        await ann.follow(again)
        assert await told() == "finished"
        await ann.http.post(f"{begun.path}/select")
        assert await told() == "changed"


async def test_the_description_is_true(ann: Person) -> None:
    paths = (await ann.http.get("/schema/openapi.json")).json()["paths"]
    message = "/api/chats/{chat_id}/messages/{message_id}"
    assert set(paths["/api/chats/{chat_id}"]) >= {"get", "patch"}
    assert set(paths[message]) == {"get", "put"}
    for action, status in (("regenerate", "201"), ("continue", "201"), ("select", "204")):
        assert status in paths[f"{message}/{action}"]["post"]["responses"]
    assert "get" in paths["/api/models"]
