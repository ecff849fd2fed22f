"""Input that nobody sends by accident: a clear 4xx, nothing begun, and never a traceback."""

import asyncio
import gzip
import json
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import quote

import pytest
from litestar.exceptions import HTTPException

from chatapp.web import security
from tests.conftest import Stage
from tests.support.client import Begun, Person
from tests.support.script import Script

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LIMIT = 64 << 10
MISSING = "0" * 32

#: Bodies that the JSON API must refuse, and how.
BODIES: dict[str, tuple[int, bytes]] = {
    "none": (400, b""),
    "null": (400, b"null"),
    "array": (400, b"[]"),
    "no-prompt": (400, b'{"text": "n=1"}'),
    "prompt-null": (400, b'{"prompt": null}'),
    "prompt-number": (400, b'{"prompt": 1}'),
    "model-list": (422, b'{"prompt": "n=1", "model": ["scripted"]}'),
    "twice": (400, b'{"prompt": "n=1", "prompt": "n=2"}'),
    "twice-inside": (400, b'{"prompt": "n=1", "x": [{"a": 1, "\\u0061": 1}]}'),
    "cut": (400, b'{"prompt": "n=1"'),
    "two-values": (400, b'{"prompt": "n=1"}{"prompt": "n=1"}'),
    "comment": (400, b'{"prompt": "n=1" /* please */}'),
    "not-a-number": (400, b'{"prompt": "n=1", "x": NaN}'),
    "huge-number": (400, b'{"prompt": "n=1", "x": ' + b"9" * 5000 + b"}"),
    "invalid-utf-8": (400, b'{"prompt": "n=1 \xff\xfe"}'),
    "lone-surrogate": (400, b'{"prompt": "n=1 \\ud800"}'),
    "utf-16": (400, '{"prompt": "n=1"}'.encode("utf-16")),
    "deep-array": (400, b"[" * 10_000),
    "deep-object": (400, b'{"a":' * 10_000),
    "deep-inside": (400, b'{"prompt": "n=1", "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "empty-prompt": (422, b'{"prompt": ""}'),
    "blank-prompt": (422, '{"prompt": " \\n\\t\u2003"}'.encode()),
    "long-prompt": (422, b'{"prompt": "' + b"x" * 32_001 + b'"}'),
    "long-system": (422, b'{"prompt": "n=1", "system": "' + b"x" * 32_001 + b'"}'),
    "unknown-model": (422, b'{"prompt": "n=1", "model": "gpt-9"}'),
    "path-as-model": (422, b'{"prompt": "n=1", "model": "../scripted"}'),
    "long-model": (422, b'{"prompt": "n=1", "model": "' + b"x" * 10_000 + b'"}'),
    "prototype-model": (422, b'{"prompt": "n=1", "model": "__proto__"}'),
    "one-byte-too-many": (413, b'{"prompt": "n=1"}'.ljust(LIMIT + 1)),
    "eleven-megabytes": (413, b"x" * 11_000_000),
}
#: The same for the form.
FORMS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "none": (415, b"", {}),
    "empty": (400, b"", FORM),
    "two-prompts": (400, b"prompt=n%3D1&prompt=n%3D1", FORM),
    "json": (415, b'{"prompt": "n=1"}', JSON),
    "plain-text": (415, b"prompt=n%3D1", {"Content-Type": "text/plain"}),
    "multipart": (415, b"--x\r\n\r\n--x--", {"Content-Type": "multipart/form-data; boundary=x"}),
    "5000-fields": (400, b"prompt=n%3D1" + b"".join(b"&f%d=" % n for n in range(5000)), FORM),
    "blank-prompt": (422, b"prompt=+%0D%0A", FORM),
    "long-prompt": (422, b"prompt=" + b"x" * 32_001, FORM),
    "long-request-id": (422, b"prompt=n%3D1&request_id=" + b"x" * 10_000, FORM),
    "control-in-request-id": (422, b"prompt=n%3D1&request_id=%00", FORM),
    "too-large": (413, b"prompt=" + b"x" * LIMIT, FORM),
}
# fmt: off
IDS = [
    "..", "%2e%2e", "%00", "x" * 10_000, "{tag}", "*", "[0-9a-f]", "a%0Ab", "%ff", "0" * 31, "A" * 32,
]
PATHS = [
    "//stream", "/chats/../", "/chats//messages", "/Chats/" + MISSING, f"/chats/{MISSING};x",
    f"/chats/{MISSING}%0a", f"/chats/{MISSING}.", "/static/", "/static/../pyproject.toml",
    "/static/%2e%2e/pyproject.toml", "/static/..%2fpyproject.toml", "/static/%252e%252e/pyproject.toml",
    "/static/....//pyproject.toml", "/static//etc/passwd", "/static/%00", "/static/app.css%00",
    "/static/" + "a" * 5000, "/static/" + "a/" * 99, "/static/app.css.", "/static/app.css;x",
    "/static/vendor", "/STATIC/app.css", "/.env", "//", "//health", "/schema//openapi.json", "/%2fhealth",
    "/schema%2Fopenapi.json", "/health//",
]
# fmt: on
HOST = b"Host: 127.0.0.1\r\nConnection: close\r\n"


async def raw(stage: Stage, *pieces: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; return the answer's status (0: none at all) and the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
    try:
        async with asyncio.timeout(10):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(status[1]) if status else 0, answer


def post(path: str, head: str, body: bytes = b"") -> bytes:
    return f"POST {path} HTTP/1.1\r\n".encode() + HOST + f"{head}\r\n\r\n".encode() + body


async def chats_of(ann: Person) -> list[str]:
    """Somebody's chats: a turn is listed before it begins."""
    return [chat["id"] for chat in (await ann.http.get("/api/chats")).json()["chats"]]


@pytest.fixture(autouse=True)
async def nothing_else(stage: Stage) -> AsyncIterator[None]:
    """Whatever a test here sends: no traceback in the log."""
    before = len(stage.server.log)
    yield
    assert "Traceback" not in stage.server.log[before:]


class TestBodies:
    @pytest.mark.parametrize(("status", "body"), BODIES.values(), ids=BODIES)
    async def test_of_the_api(self, ann: Person, status: int, body: bytes) -> None:
        begun = await ann.begin("n=1")
        await ann.follow(begun)
        # The next question has neither model nor system.
        next_too = not re.search(rb"model|system", body[:40])
        for path in ["/api/chats", f"{begun.chat}/messages"][: 1 + next_too]:
            response = await ann.http.post(path, content=body, headers=JSON)
            problem = response.json()
            assert (response.status_code, problem["status"]) == (status, status)
            assert response.headers["content-type"] == "application/problem+json"
            assert problem["title"]
            assert problem["detail"]
        assert len((await ann.http.get(begun.chat)).json()["messages"]) == 2
        assert await chats_of(ann) == [begun.chat_id]

    @pytest.mark.parametrize(
        "kind",
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"],
    )
    async def test_of_another_type(self, ann: Person, kind: str) -> None:
        response = await ann.http.post(
            "/api/chats", content='{"prompt": "n=1"}', headers={"Content-Type": kind}
        )
        assert (response.status_code, response.json()["title"]) == (415, "Unsupported Media Type")

    @pytest.mark.parametrize(("status", "body", "headers"), FORMS.values(), ids=FORMS)
    @pytest.mark.parametrize("htmx", [False, True], ids=["plain", "htmx"])
    async def test_of_the_form(
        self, ann: Person, status: int, body: bytes, headers: dict[str, str], htmx: bool
    ) -> None:
        assert await chats_of(ann) == []  # gives her the session that a chat would belong to
        headers = headers | ({"HX-Request": "true"} if htmx else {})
        response = await ann.http.post("/chats", content=body, headers=headers)
        assert response.status_code == status
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.text.lstrip().startswith("<hx-partial" if htmx else "<!doctype html>")
        assert await chats_of(ann) == []

    @pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
    async def test_compressed(self, ann: Person, encoding: str) -> None:
        bomb = gzip.compress(b'{"prompt": "n=1"}' + b" " * 10_000_000)
        for path in ("/chats", "/api/chats"):
            response = await ann.http.post(path, content=bomb, headers=JSON | {"Content-Encoding": encoding})
            assert response.status_code == 415

    async def test_of_unknown_length(self, stage: Stage) -> None:
        head = post("/api/chats", "Content-Type: application/json\r\nTransfer-Encoding: chunked")
        chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        status, answer = await raw(stage, head, *[chunk] * 5)
        assert status == 413
        assert b"application/problem+json" in answer

    @pytest.mark.parametrize(
        ("head", "body"),
        [
            pytest.param("Content-Length: 10", b'{"prompt": "n=1"}', id="shorter-than-sent"),
            pytest.param("Content-Length: -1", b"", id="negative"),
            pytest.param("Content-Length: 1e3", b"", id="no-number"),
            pytest.param("Content-Length: 99999999999999999999999", b"", id="beyond-64-bit"),
            pytest.param("Content-Length: 4\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", id="two-lengths"),
            pytest.param("Transfer-Encoding: chunked", b"zz\r\n", id="no-chunk"),
        ],
    )
    async def test_with_a_length_that_lies(self, stage: Stage, head: str, body: bytes) -> None:
        status, _ = await raw(stage, post("/api/chats", f"Content-Type: application/json\r\n{head}", body))
        assert status == 400

    async def test_that_never_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(security, "_BODY_TIMEOUT", 0.2)
        pieces = [b'{"prompt', b'": "n=1']

        async def receive() -> dict[str, Any]:
            if not pieces:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": pieces.pop(0), "more_body": True}

        seen: list[bytes] = []

        async def app(_scope: Any, receive: Any, _send: Any) -> None:
            while True:
                seen.append((await receive())["body"])

        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/chats", "raw_path": b"/chats"}
        scope |= {"headers": [(b"host", b"localhost")], "scheme": "http", "state": {}}
        guard = security.Guard(app, sessions=security.Sessions("s"), hosts=(), local_only=True)
        with pytest.raises(HTTPException) as error:
            await asyncio.wait_for(guard(cast(Any, scope), cast(Any, receive), cast(Any, None)), 5)
        assert error.value.status_code == 408
        assert seen == [b'{"prompt', b'": "n=1']

    async def test_that_break_off(self, stage: Stage, ann: Person) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
        writer.write(post("/api/chats", "Content-Type: application/json\r\nContent-Length: 100", b'{"prompt'))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await ann.http.get("/health")).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b'{"prompt": "n=2", "temperature": 1}', id="unknown-field"),
            pytest.param(b'{"prompt": "n=2"}'.ljust(LIMIT), id="at-the-limit"),
        ],
    )
    async def test_that_are_odd_but_fine(self, ann: Person, body: bytes) -> None:
        response = await ann.http.post("/api/chats", content=body, headers=JSON)
        assert (await ann.follow(Begun(ann.base, response.json()))).text == Script(n=2).text


class TestText:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("nul \0 inside", id="nul"),
            pytest.param("a\u2028b\u2029c\x85d", id="line-separators"),
            pytest.param("\u202eright to left\u202c \u200d\ufeff", id="bidi-and-joiners"),
            pytest.param("Z" + "\u0300" * 15_000, id="combining-marks"),
            pytest.param("\r\rdata: x\n\nevent: done\nid: 9-9\n: hb\r\n", id="event-stream"),
            pytest.param("<script>alert(1)</script></article><hx-partial hx-target=body>", id="html"),
            pytest.param("\x1b[31mred\x07 \x7f", id="terminal"),
            pytest.param("{{ 7*7 }} {% raw %} ${x} %s", id="templates"),
            pytest.param("😀" * 10_000, id="emoji"),
        ],
    )
    async def test_of_any_kind_is_kept_as_it_is(self, stage: Stage, ann: Person, text: str) -> None:
        prompt = f"{text} {uuid.uuid4().hex}"
        begun = await ann.begin(prompt)
        answer = await ann.follow(begun)
        question = (await ann.http.get(f"{begun.chat}/messages/{begun.user_message_id}")).json()
        page = (await ann.http.get(begun.page)).text
        assert question["text"] == prompt
        assert [c.messages[-1]["content"] for c in stage.provider.calls].count(prompt) == 1
        assert answer.text == Script().text
        assert "<script>" not in page
        assert page.count("</article>") == 2


class TestAddresses:
    @pytest.mark.parametrize("chat_id", IDS, ids=lambda value: value[:12])
    async def test_ids_that_cannot_be(self, ann: Person, chat_id: str) -> None:
        known = await ann.http.get(f"/api/chats/{MISSING}")
        for path in ("/api/chats/{0}", "/api/chats/{0}/messages/{1}", "/api/chats/{0}/messages/{1}/events"):
            response = await ann.http.get(path.format(quote(chat_id, safe="%"), MISSING))
            assert response.status_code == 404
            assert chat_id == ".." or response.json() == known.json()

    async def test_a_question_has_no_stream(self, ann: Person) -> None:
        begun = await ann.begin("n=1")
        for url in (begun.events, begun.html):
            question = url.replace(begun.message_id, begun.user_message_id)
            assert (await ann.http.get(question)).status_code == 404

    @pytest.mark.parametrize("path", PATHS, ids=lambda value: value[:30])
    async def test_that_lead_nowhere(self, stage: Stage, path: str) -> None:
        status, answer = await raw(stage, f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        assert status == 404
        assert b"hatchling" not in answer

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            (method, path)
            for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE")
            for path in ("/chats", "/api/chats", "{chat}/messages", "{message}/stop", "{page}/messages")
            # The lists can be read.
            if (method, path) not in (("GET", "/chats"), ("GET", "/api/chats"))
        ],
    )
    async def test_methods_that_are_not_allowed(
        self, stage: Stage, ann: Person, method: str, path: str
    ) -> None:
        begun = await ann.begin("n=3 fault=hold")
        url = path.format(chat=begun.chat, message=begun.path, page=begun.page)
        response = await ann.http.request(method, url)
        message = await ann.message(begun)
        await ann.stop(begun)
        assert response.status_code == 405
        assert "POST" in response.headers["allow"]
        assert message["status"] in ("queued", "running")

    @pytest.mark.parametrize(
        "request_line",
        [
            pytest.param(b"GET / HTTP/9.9\r\n", id="http-9.9"),
            pytest.param(b"NONSENSE / HTTP/1.1\r\n", id="unknown-method"),
            pytest.param(b"GET /\xff\xfe HTTP/1.1\r\n", id="bytes"),
            pytest.param(b"GET / HTTP/1.1\r\nBad Header: x\r\n", id="bad-header"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: evil\r\n", id="two-hosts"),
        ],
    )
    async def test_requests_that_are_none(self, stage: Stage, request_line: bytes) -> None:
        assert (await raw(stage, request_line + HOST + b"\r\n"))[0] == 400

    async def test_many_and_long_headers(self, stage: Stage) -> None:
        for lines in (b"X: " + b"a" * 100_000 + b"\r\n", b"X: a\r\n" * 1000):
            status, _ = await raw(stage, b"GET /health HTTP/1.1\r\n" + HOST + lines + b"\r\n")
            assert status == 431


class TestProtocols:
    async def test_a_websocket_where_there_is_none(self, stage: Stage, ann: Person) -> None:
        begun = await ann.begin("n=1")
        upgrade = (
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n"
        )
        head = f"GET {begun.path}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n".encode()
        status, _ = await raw(stage, head + upgrade + b"\r\n")
        assert 400 <= status < 500

    async def test_a_range_of_a_stream_is_all_of_it(self, ann: Person) -> None:
        begun = await ann.begin("n=5")
        async with ann.stream(begun.events, {"Range": "bytes=3-4"}) as stream:
            text = "".join([json.loads(event.data).get("text", "") async for event in stream])
        assert (stream.status, text) == (200, Script(n=5).text)

    @pytest.mark.parametrize(
        ("path", "accept", "kind"),
        [
            ("/nothing", "text/html", "text/html; charset=utf-8"),
            ("/nothing", "*/*", "text/html; charset=utf-8"),
            ("/nothing", "application/json", "application/problem+json"),
            ("/api/nothing", "text/html", "application/problem+json"),
            ("/api/nothing", "nonsense;;q=", "application/problem+json"),
        ],
    )
    async def test_errors_come_in_the_right_form(
        self, ann: Person, path: str, accept: str, kind: str
    ) -> None:
        response = await ann.http.get(path, headers={"Accept": accept})
        assert (response.status_code, response.headers["content-type"]) == (404, kind)

    async def test_after_all_of_it_the_server_works(self, ann: Person) -> None:
        assert (await ann.follow(await ann.begin("n=9"))).text == Script(n=9).text
        assert (await ann.http.get("/ready")).json() == {"status": "ok"}
