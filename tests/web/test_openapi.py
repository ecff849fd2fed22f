"""The OpenAPI document says what the routes really do."""

import json
from typing import Any

import httpx2
import pytest

from tests.conftest import Stage
from tests.support.client import COOKIE, Person

METHODS = ("get", "post", "put", "patch", "delete")
MISSING = "0" * 32


@pytest.fixture
async def document(ann: Person) -> dict[str, Any]:
    answer = await ann.http.get("/schema/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


class Described:
    """Sends requests, and compares each response with what the document says of its route."""

    def __init__(self, document: dict[str, Any], http: httpx2.AsyncClient) -> None:
        self._document = document
        self._http = http
        self.seen: set[tuple[str, str, int]] = set()

    async def __call__(self, method: str, route: str, ids: dict[str, str], **options: Any) -> httpx2.Response:
        response = await self._http.request(method, route.format(**ids), **options)
        operation = self._document["paths"][route][method.lower()]
        told = operation["responses"].get(str(response.status_code))
        assert told is not None, f"{method} {route}: {response.status_code} is not in the document"
        kind = response.headers.get("content-type", "").partition(";")[0]
        assert list(told.get("content", {})) == ([kind] if kind else [])
        assert {name.lower() for name in told.get("headers", {})} <= set(response.headers)
        if kind.endswith("json"):
            self._check(told["content"][kind]["schema"], response.json())
        self.seen.add((method, route, response.status_code))
        return response

    def _check(self, schema: dict[str, Any], value: Any) -> None:
        """Check that an object has the members that it must have, and no other."""
        if (reference := schema.get("$ref")) is not None:
            schema = self._document["components"]["schemas"][reference.rpartition("/")[2]]
        if schema.get("type") == "array":
            for item in value:
                self._check(schema["items"], item)
        elif "properties" in schema:
            assert set(schema["required"]) <= set(value) <= set(schema["properties"]), value
            for name, inner in value.items():
                self._check(schema["properties"][name], inner)


async def test_every_answer_is_as_told(stage: Stage, ann: Person, document: dict[str, Any]) -> None:
    ask = Described(document, ann.http)
    chats, chat = "/api/chats", "/api/chats/{chat_id}"
    messages, message = f"{chat}/messages", f"{chat}/messages/{{message_id}}"
    prompt = {"json": {"prompt": "n=2"}}

    begun = (await ask("POST", chats, {}, **prompt, headers={"Idempotency-Key": "1"})).json()
    await ask("POST", chats, {}, json={"prompt": "n=3"}, headers={"Idempotency-Key": "1"})
    await ask("GET", f"{message}/events", begun)
    await ask("GET", message, begun)
    await ask("GET", chat, begun)
    await ask("GET", chats, {})
    await ask("GET", chats, {}, params={"q": "n"})
    await ask("GET", chats, {}, params={"limit": "0"})
    await ask("GET", chats, {}, params={"limit": "x"})
    await ask("GET", "/api/models", {})
    await ask("PATCH", chat, begun, json={"title": "New"})
    held = (await ask("POST", messages, begun, json={"prompt": "n=3 fault=hold"})).json()
    for method, route in (("POST", messages), ("PUT", message)):
        question = begun | {"message_id": begun["user_message_id"]}
        assert (await ask(method, route, question, **prompt)).status_code == 409
    await ask("POST", f"{message}/select", begun)
    await ask("POST", f"{message}/stop", held)
    cut = (await ask("PUT", message, question, json={"prompt": "n=2 finish=length"})).json()
    await ask("GET", f"{message}/events", cut)
    await ask("POST", f"{message}/continue", cut)
    await ask("GET", f"{message}/events", cut)
    await ask("POST", f"{message}/regenerate", cut)
    await ask("GET", f"{message}/events", cut)
    await ask("POST", f"{message}/continue", begun)
    shown = (await ask("GET", chat, begun)).json()["messages"][-1]
    await ask("POST", f"{message}/stop", begun | {"message_id": shown["id"]})
    assert (await ask("POST", f"{message}/select", begun)).status_code == 204
    await ask("POST", f"{chat}/share", begun)
    await ask("DELETE", f"{chat}/share", begun)
    await ask("DELETE", chat, begun)
    await ask("POST", f"{chat}/restore", begun)
    for body in (b"", b"null", b"{", b'{"prompt": ""}', b'{"prompt": 1}', b" " * 70_000):
        await ask("POST", chats, {}, content=body, headers={"Content-Type": "application/json"})
    await ask("POST", chats, {}, content=b"x", headers={"Content-Type": "text/plain"})
    await ask("GET", "/health", {})
    await ask("GET", "/ready", {})

    nobody = {"chat_id": MISSING, "message_id": MISSING}
    foreign = {"Sec-Fetch-Site": "cross-site"}
    for route, operations in document["paths"].items():
        for method in (name.upper() for name in operations if name in METHODS):
            options: dict[str, Any] = {}
            if "requestBody" in operations[method.lower()]:
                options = {"json": {"title": "x"}} if method == "PATCH" else prompt
            if "{" in route:
                assert (await ask(method, route, nobody, **options)).status_code == 404
            if method != "GET" or route.endswith("/events"):
                assert (await ask(method, route, nobody, **options, headers=foreign)).status_code == 403
            if route.startswith("/api/"):
                token = {"Authorization": "Bearer no"}
                assert (await ask(method, route, nobody, **options, headers=token)).status_code == 401
    told = {(m.upper(), route) for route, ops in document["paths"].items() for m in ops if m in METHODS}
    succeeded = {(m, route) for m, route, status in ask.seen if status < 300}
    # The person's own events never end.
    assert told - succeeded == {("GET", "/api/events")}


async def test_what_may_be_left_out(document: dict[str, Any]) -> None:
    regenerate = document["paths"]["/api/chats/{chat_id}/messages/{message_id}/regenerate"]["post"]
    schemes = document["components"]["securitySchemes"]
    assert regenerate["requestBody"]["required"] is False
    assert (schemes["session"]["name"], schemes["token"]["scheme"]) == (COOKIE, "bearer")
    assert {} in document["security"]
    assert "status_code" not in json.dumps(document)
