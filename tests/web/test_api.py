"""The JSON API: shapes, statuses, one running answer a chat, repeated requests, Stop."""

import asyncio
import json
import re
import uuid
from datetime import datetime
from typing import Any

import pytest
from redis import Redis

from tests.conftest import Stage
from tests.support.client import Begun, Person, person
from tests.support.provider import Call
from tests.support.script import Script

MESSAGE_FIELDS = (
    "id parent_id role status text model created_at last_event_id finish_reason usage error reasoning"
    " variants seconds whole"
)


def unique(script: str) -> str:
    """A prompt that no other test sends, so that its calls can be told apart."""
    return f"{script} {uuid.uuid4().hex}"


def calls(stage: Stage, prompt: str) -> list[Call]:
    return [call for call in stage.provider.calls if call.messages[-1]["content"] == prompt]


def log_of(stage: Stage, begun: Begun) -> list[tuple[str, str]]:
    """The answer's log as it is in Redis: type and data of each entry."""
    with Redis.from_url(stage.redis.url, decode_responses=True) as redis:
        entries: Any = redis.xrange(f"chat:{{{begun.chat_id}}}:log:{begun.message_id}")
    return [(fields["t"], fields["d"]) for _, fields in entries]


async def stalled(stage: Stage, ann: Person, script: str) -> tuple[Begun, Call]:
    """An answer that has begun to come and then waits: all of its chunks before the stall are saved."""
    prompt = unique(script)
    begun = await ann.begin(prompt)
    await stage.provider.until(lambda: calls(stage, prompt))
    [call] = calls(stage, prompt)
    at = call.script.fault("stall") or 0
    await stage.provider.until(lambda: call.sent == at)
    expected = "".join(call.script.chunks()[:at])
    async with ann.stream(begun.events, timeout=10) as stream:
        text = ""
        async for event in stream:
            text += json.loads(event.data)["text"]
            if text == expected:
                break
    return begun, call


class TestBegin:
    async def test_a_new_chat(self, ann: Person) -> None:
        response = await ann.http.post("/api/chats", json={"prompt": "n=2"})
        body = response.json()
        assert response.status_code == 201
        assert set(body) == {"chat_id", "user_message_id", "message_id", "events_url"}
        assert all(re.fullmatch("[0-9a-f]{32}", body[name]) for name in set(body) - {"events_url"})
        assert body["events_url"] == f"/api/chats/{body['chat_id']}/messages/{body['message_id']}/events"
        assert response.headers["location"] == body["events_url"].removesuffix("/events")
        assert (await ann.http.get(response.headers["location"])).json()["id"] == body["message_id"]

    async def test_the_next_question(self, ann: Person) -> None:
        first = await ann.begin("n=2")
        await ann.follow(first)
        second = await ann.begin("n=3", chat_id=first.chat_id)
        await ann.follow(second)
        chat = (await ann.http.get(first.chat)).json()
        assert [message["id"] for message in chat["messages"]] == [
            first.user_message_id,
            first.message_id,
            second.user_message_id,
            second.message_id,
        ]
        assert [m["parent_id"] for m in chat["messages"]] == [None, *(m["id"] for m in chat["messages"][:-1])]

    async def test_a_message(self, ann: Person) -> None:
        begun = await ann.begin("n=4")
        answer = await ann.follow(begun)
        message = await ann.message(begun)
        assert " ".join(message) == MESSAGE_FIELDS
        assert message | {"created_at": "", "usage": {}, "seconds": 0} == {
            "id": begun.message_id,
            "parent_id": begun.user_message_id,
            "role": "assistant",
            "status": "completed",
            "text": Script(n=4).text,
            "model": "scripted",
            "created_at": "",
            "last_event_id": answer.ids[-1],
            "finish_reason": "stop",
            "usage": {},
            "error": None,
            "reasoning": None,
            "variants": [begun.message_id],
            "seconds": 0,
            "whole": False,
        }
        assert message["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
        assert 0 <= message["seconds"] < 10
        assert datetime.fromisoformat(message["created_at"]).tzinfo is not None

    async def test_a_chat(self, ann: Person, stage: Stage) -> None:
        # The model names a chat after its first complete answer: this one is held.
        prompt = unique("n=2 fault=hold\nsecond line")
        response = await ann.http.post(
            "/api/chats", json={"prompt": prompt, "model": "scripted", "system": "Be brief."}
        )
        begun = Begun(ann.base, response.json())
        chat = (await ann.http.get(begun.chat)).json()
        stage.provider.release()
        await ann.follow(begun)
        question = chat["messages"][0]
        assert set(chat) == {
            *("id", "title", "model", "system", "temperature", "max_tokens", "stream", "messages")
        }
        assert (chat["id"], chat["model"], chat["system"]) == (begun.chat_id, "scripted", "Be brief.")
        assert chat["title"] == " ".join(prompt.split())
        assert " ".join(question) == MESSAGE_FIELDS
        assert (question["role"], question["status"], question["text"]) == ("user", "completed", prompt)

    @pytest.mark.parametrize(
        ("script", "status", "finish", "error"),
        [
            pytest.param("n=3", "completed", "stop", None, id="completed"),
            pytest.param("n=3 finish=length", "completed", "length", None, id="length"),
            pytest.param("n=3 finish=content_filter", "completed", "content_filter", None, id="filtered"),
            pytest.param("n=5 fault=eof@2", "interrupted", None, "upstream_eof", id="broke-off"),
            pytest.param("n=3 fault=nofinish", "interrupted", None, "upstream_eof", id="no-finish-reason"),
            pytest.param("n=3 fault=empty", "failed", "stop", "empty_answer", id="empty"),
            pytest.param("status=400", "failed", None, "bad_request", id="refused"),
        ],
    )
    async def test_how_it_ends(
        self, ann: Person, script: str, status: str, finish: str | None, error: str | None
    ) -> None:
        begun = await ann.begin(script)
        answer = await ann.follow(begun)
        message = await ann.message(begun)
        assert (message["status"], message["finish_reason"]) == (status, finish)
        assert (message["error"] or {}).get("code") == error
        assert answer.text == message["text"]
        assert answer.end == {name: message[name] for name in ("status", "finish_reason", "usage", "error")}

    async def test_while_it_runs(self, stage: Stage, ann: Person) -> None:
        begun, call = await stalled(stage, ann, "n=6 fault=stall@3")
        message = await ann.message(begun)
        assert (message["status"], message["finish_reason"], message["error"]) == ("running", None, None)
        assert message["text"] == "".join(call.script.chunks()[:3])
        await ann.stop(begun)

    async def test_the_provider_gets_the_history(self, stage: Stage, ann: Person) -> None:
        first, second, third = unique("n=2"), unique("n=3 seed=1 fault=eof@2"), unique("n=1")
        response = await ann.http.post("/api/chats", json={"prompt": first, "system": "Be kind."})
        begun = Begun(ann.base, response.json())
        await ann.follow(begun)
        cut = await ann.follow(await ann.begin(second, chat_id=begun.chat_id))
        await ann.follow(await ann.begin(third, chat_id=begun.chat_id))
        [call] = calls(stage, third)
        assert call.model == "scripted"
        assert [(turn["role"], turn["content"]) for turn in call.messages] == [
            ("system", "Be kind."),
            ("user", first),
            ("assistant", Script(n=2).text),
            ("user", second),
            ("assistant", cut.text),
            ("user", third),
        ]

    async def test_two_chats_at_once(self, stage: Stage, ann: Person) -> None:
        scripts = [Script(n=60, rate=200, seed=seed, kind="emoji") for seed in (1, 2)]
        begun = [await ann.begin(script.prompt) for script in scripts]
        answers = await asyncio.gather(*map(ann.follow, begun))
        assert [answer.text for answer in answers] == [script.text for script in scripts]


class TestOneAnswerAChat:
    async def test_twenty_at_once(self, stage: Stage, ann: Person) -> None:
        chat = await ann.begin("n=1")
        await ann.follow(chat)
        prompt = unique("n=2 fault=hold")
        posts = [ann.http.post(f"{chat.chat}/messages", json={"prompt": prompt}) for _ in range(20)]
        responses = await asyncio.gather(*posts)
        [winner] = [r for r in responses if r.status_code == 201]
        losers = [r for r in responses if r is not winner]
        assert [r.status_code for r in losers] == [409] * 19
        running = winner.json()["message_id"]
        assert {r.json()["active_message_id"] for r in losers} == {running}
        assert {r.headers["content-type"] for r in losers} == {"application/problem+json"}
        stage.provider.release()
        await ann.follow(Begun(ann.base, winner.json()))
        assert len((await ann.http.get(chat.chat)).json()["messages"]) == 4
        assert len(calls(stage, prompt)) == 1

    async def test_the_next_one_after_the_end(self, ann: Person) -> None:
        begun = await ann.begin("n=5 fault=hold")
        refused = await ann.http.post(f"{begun.chat}/messages", json={"prompt": "n=1"})
        await ann.stop(begun)
        again = await ann.begin("n=1", chat_id=begun.chat_id)
        assert refused.json() == {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "An answer is still running in this chat. Stop it, or wait until it is done.",
            "code": "answer_running",
            "active_message_id": begun.message_id,
        }
        assert (await ann.follow(again)).text == Script(n=1).text


class TestIdempotencyKey:
    @pytest.mark.parametrize("where", ["new-chat", "next-question"])
    async def test_the_same_again(self, stage: Stage, ann: Person, where: str) -> None:
        prompt, key = unique("n=3"), uuid.uuid4().hex
        chat = await ann.begin("n=1")  # also gives her the session that both requests need
        await ann.follow(chat)
        path = "/api/chats" if where == "new-chat" else f"{chat.chat}/messages"

        async def post() -> tuple[int, Any]:
            response = await ann.http.post(path, json={"prompt": prompt}, headers={"Idempotency-Key": key})
            return response.status_code, response.json()

        double = await asyncio.gather(post(), post())
        await ann.follow(Begun(ann.base, double[0][1]))
        late = await post()
        assert double[0] == double[1] == late
        assert late[0] == 201
        assert len(calls(stage, prompt)) == 1

    @pytest.mark.parametrize("change", [{"prompt": "n=2"}, {"system": "Other."}])
    async def test_with_another_body(self, ann: Person, change: dict[str, str]) -> None:
        body, headers = {"prompt": "n=1"}, {"Idempotency-Key": uuid.uuid4().hex}
        await ann.http.post("/api/chats", json=body, headers=headers)
        response = await ann.http.post("/api/chats", json=body | change, headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")

    async def test_of_somebody_else(self, ann: Person) -> None:
        key = uuid.uuid4().hex
        async with person(ann.base) as bob:
            hers, his = await ann.begin("n=2", key=key), await bob.begin("n=3", key=key)
            assert hers.chat_id != his.chat_id
            assert (await bob.follow(his)).text == Script(n=3).text
            assert (await bob.http.get(hers.chat)).status_code == 404

    @pytest.mark.parametrize("key", ["", "x" * 256, "x" * 10_000, "a\tb"], ids=["empty", "256", "10k", "tab"])
    async def test_that_cannot_be_kept(self, stage: Stage, ann: Person, key: str) -> None:
        prompt = unique("n=1")
        response = await ann.http.post(
            "/api/chats", json={"prompt": prompt}, headers={"Idempotency-Key": key}
        )
        assert (response.status_code, response.json()["field"]) == (422, "Idempotency-Key")
        assert not calls(stage, prompt)


class TestStop:
    async def test_before_the_first_token(self, stage: Stage, ann: Person) -> None:
        prompt = unique("n=5 fault=hold")
        begun = await ann.begin(prompt)
        await stage.provider.until(lambda: calls(stage, prompt))
        [call] = calls(stage, prompt)
        message = await ann.stop(begun)
        assert (message["status"], message["text"], message["error"]) == ("stopped", "", None)
        await asyncio.wait_for(call.client_gone.wait(), 2)

    async def test_in_the_middle(self, stage: Stage, ann: Person) -> None:
        begun, call = await stalled(stage, ann, "n=40 kind=emoji fault=stall@20")
        message = await ann.stop(begun)
        await asyncio.wait_for(call.client_gone.wait(), 2)
        answer, log = await ann.follow(begun), log_of(stage, begun)
        assert message["status"] == "stopped"
        assert message["text"] == "".join(call.script.chunks()[:20]) == answer.text
        assert message["text"] == "".join(data for kind, data in log if kind == "d")
        assert message == await ann.message(begun)

    async def test_after_the_end(self, ann: Person) -> None:
        begun = await ann.begin("n=3")
        await ann.follow(begun)
        before = await ann.message(begun)
        assert [await ann.stop(begun), await ann.stop(begun)] == [before, before]

    async def test_twice(self, ann: Person) -> None:
        begun = await ann.begin("n=3 fault=hold")
        first, second = await asyncio.gather(ann.stop(begun), ann.stop(begun))
        assert first["status"] == "stopped"
        assert first == second == await ann.message(begun)

    async def test_in_a_race_with_the_end(self, stage: Stage, ann: Person) -> None:
        statuses = set()
        wait = 0.02
        for number in range(50):
            begun = await ann.begin(f"n=40 rate=2000 seed={number}")
            await asyncio.sleep(wait)
            stopped = await ann.stop(begun)
            answer, message, log = await ann.follow(begun), await ann.message(begun), log_of(stage, begun)
            assert stopped == message
            assert message["status"] in ("stopped", "completed")
            assert [kind for kind, _ in log].count("e") == 1
            assert log[-1][0] == "e"
            assert answer.text == message["text"] == "".join(data for kind, data in log if kind == "d")
            statuses.add(message["status"])
            # Nearer and nearer to the end from both sides, however long an answer takes on this machine.
            wait *= 0.8 if message["status"] == "completed" else 1.2
        assert statuses == {"stopped", "completed"}
