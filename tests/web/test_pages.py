"""The pages as a server sends them: no browser here, so every claim is about the HTML and its headers."""

import asyncio
import re
import uuid
from html import unescape

import httpx2
import pytest

from chatapp.rendering.document import render
from chatapp.rendering.parts import Op
from chatapp.web.bodies import part_name
from tests.conftest import Stage
from tests.rendering.dom import Body, canonical
from tests.support.client import Begun, Person
from tests.support.markdown import States, ops_of, text_of
from tests.support.script import Script
from tests.support.sse import SSEClient

HTMX = {"HX-Request": "true"}
MISSING = "0" * 32
TOO_LONG = "x" * 32_001
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
FILE_HEADERS = ("x-content-type-options", "cross-origin-resource-policy")


def body_of(html: str, message_id: str) -> str:
    """The body of a message on a page."""
    found = re.search(rf'id="body-{message_id[:8]}"[^>]*>(.*?)</div>\n<footer', html, re.DOTALL)
    assert found is not None
    return found[1]


def value(html: str, pattern: str) -> str:
    found = re.search(pattern, html, re.DOTALL)
    assert found is not None, pattern
    return unescape(found[1])


def draft(html: str) -> str:
    """What stands in the composer; HTML drops one line end at the start of a textarea."""
    return value(html, r"<textarea[^>]*>\n?(.*?)</textarea>")


def listed(html: str) -> list[tuple[str, bool]]:
    """The chats of the list, in order, and whether they are marked as running."""
    links = re.findall(r'<a id="chat-link-(\w+)"([^>]*)>', html)
    return [(chat_id, "data-running" in attributes) for chat_id, attributes in links]


async def rest_of(ann: Person, page: str, begun: Begun, body: Body, *, first: bool = False) -> list[Op]:
    """Do to a page's body what its stream (or the first event with text) says, and return that."""
    url = value(page, r'hx-sse:connect="([^"]+)"')
    found: list[Op] = []
    async with SSEClient.open(ann.base + url, cookies=ann.cookies, timeout=10) as stream:
        async for event in stream:
            ops = ops_of(event.data, begun.message_id)
            body.apply(ops)
            found += ops
            if first and found:
                break
    return found


async def ask(ann: Person, path: str, headers: dict[str, str] | None = None, **form: str) -> httpx2.Response:
    return await ann.http.post(path, data=form, headers=headers or {})


class TestNewChat:
    async def test_the_empty_page(self, ann: Person) -> None:
        page = await ann.http.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert 'role="log" aria-label="Conversation"' in page.text
        assert '<form id="composer" action="/chats" method="post"' in page.text
        assert (draft(page.text), listed(page.text)) == ("", [])
        assert "hx-sse:connect" not in page.text

    async def test_by_htmx(self, ann: Person) -> None:
        answer = await ask(ann, "/chats", HTMX, prompt="n=3 fault=hold")
        address = answer.headers["hx-push-url"]
        assert answer.status_code == 200
        assert re.fullmatch("/chats/[0-9a-f]{32}", address)
        assert "<html" not in answer.text
        assert re.findall(r'data-role="(\w+)" data-status="(\w+)"', answer.text) == [
            ("user", "completed"),
            ("assistant", value(answer.text, r'data-role="assistant" data-status="(queued|running)"')),
        ]
        stream = value(answer.text, r'hx-sse:connect="([^"]+)"')
        assert stream.startswith(f"{address}/messages/")
        assert (await ann.http.get(address)).status_code == 200
        assert (await ann.http.post(stream.partition("/stream")[0] + "/stop")).status_code == 303

    async def test_without_a_script(self, ann: Person) -> None:
        answer = await ask(ann, "/chats", prompt="n=3")
        page = await ann.http.get(answer.headers["location"])
        assert answer.status_code == 303
        assert re.fullmatch("/chats/[0-9a-f]{32}", answer.headers["location"])
        assert re.findall(r'data-role="(\w+)"', page.text) == ["user", "assistant"]

    async def test_line_ends_and_markup_stay_what_they_were(self, stage: Stage, ann: Person) -> None:
        text = f"one\n  two <b>&amp; {uuid.uuid4().hex}"
        answer = await ask(ann, "/chats", prompt=text.replace("\n", "\r\n"))
        page = await ann.http.get(answer.headers["location"])
        question = value(page.text, r'data-message-id="(\w+)" data-role="user"')
        await stage.provider.until(lambda: text in [c.messages[-1]["content"] for c in stage.provider.calls])
        assert unescape(body_of(page.text, question)) == text

    async def test_the_same_form_twice(self, ann: Person) -> None:
        request_id = value((await ann.http.get("/")).text, r'name="request_id" value="(\w+)"')
        posts = [ask(ann, "/chats", prompt="n=1", request_id=request_id) for _ in range(2)]
        first, second = await asyncio.gather(*posts)
        assert first.headers["location"] == second.headers["location"]

    @pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
    async def test_the_same_form_with_another_text(self, ann: Person, headers: dict[str, str]) -> None:
        request_id = value((await ann.http.get("/")).text, r'name="request_id" value="(\w+)"')
        await ask(ann, "/chats", headers, prompt="n=1", request_id=request_id)
        refused = await ask(ann, "/chats", headers, prompt="n=2", request_id=request_id)
        renewed = value(refused.text, r'name="request_id" value="(\w+)"')
        again = await ask(ann, "/chats", headers, prompt="n=2", request_id=renewed)
        assert refused.status_code == 422
        assert renewed != request_id
        assert again.status_code == (200 if headers else 303)
        assert headers or draft(refused.text) == "n=2"


class TestChat:
    async def test_a_finished_answer(self, ann: Person) -> None:
        script = Script(n=60, kind="hostile")
        begun = await ann.begin(script.prompt)
        await ann.follow(begun)
        page = await ann.http.get(begun.page)
        assert body_of(page.text, begun.message_id) == render(script.text, part_name(begun.message_id))
        assert (
            f'<a id="chat-link-{begun.chat_id}" href="/chats/{begun.chat_id}" aria-current="page">'
            in page.text
        )
        assert 'aria-busy="true"' not in page.text
        assert "hx-sse:connect" not in page.text
        assert '<span class="unseen">Send</span>' in page.text

    @pytest.mark.parametrize("kind", ["plain", "markdown", "hostile", "emoji"])
    async def test_a_running_answer_and_the_rest_of_it(self, stage: Stage, ann: Person, kind: str) -> None:
        script = Script(n=450, rate=150, kind=kind)
        states = await States.of(script.chunks(), script.text)
        # However long a page takes, the answer runs while it is made, and some more comes for its stream.
        waits = range(64, script.n, 64)
        prompt = f"{script.prompt} fault={','.join(f'stall@{at}' for at in waits)} {uuid.uuid4().hex}"
        begun = await ann.begin(prompt)
        for at in waits:
            page = (await ann.http.get(begun.page)).text
            shown = body_of(page, begun.message_id)
            body = Body(shown)
            seen = [text_of(shown)]
            await stage.sent(prompt, at)
            stage.step()
            ops = await rest_of(ann, page, begun, body, first=at != waits[-1])
            seen.append(text_of(body.html))
            assert 'aria-busy="true"' in page
            # What is shown is never drawn again; the end may have to.
            assert not shown or ("", "innerHTML") not in [(op.selector, op.swap) for op in ops[:-1]]
            states.check(seen)
        assert shown
        assert body.html == canonical(render(script.text, part_name(begun.message_id)))

    async def test_nothing_but_stopping_while_it_runs(self, ann: Person) -> None:
        begun = await ann.begin("n=3 fault=hold")
        page = await ann.http.get(begun.page)
        stop = value(page.text, r'formaction="([^"]+/stop)"')
        stopped = await ann.http.post(stop)
        after = await ann.http.get(begun.page)
        assert stop == f"/chats/{begun.chat_id}/messages/{begun.message_id}/stop"
        assert (stopped.status_code, stopped.headers["location"]) == (303, f"/chats/{begun.chat_id}")
        assert 'data-status="stopped"' in after.text
        assert "Stopped by you" in after.text

    async def test_stop_by_htmx(self, ann: Person) -> None:
        begun = await ann.begin("n=3 fault=hold")
        url = f"{begun.page}/messages/{begun.message_id}/stop"
        first, second = [await ann.http.post(url, headers=HTMX) for _ in range(2)]
        assert (first.status_code, second.status_code, first.content) == (204, 204, b"")
        assert (await ann.message(begun))["status"] == "stopped"

    async def test_the_list(self, ann: Person) -> None:
        first, second = await ann.begin("n=1 first"), await ann.begin("n=1 second")
        await asyncio.gather(ann.follow(first), ann.follow(second))
        before = listed((await ann.http.get("/")).text)
        running = await ann.begin("n=1 fault=hold", chat_id=first.chat_id)
        during = listed((await ann.http.get("/")).text)
        await ann.stop(running)
        after = listed((await ann.http.get("/")).text)
        assert before == [(second.chat_id, False), (first.chat_id, False)]
        assert during == [(first.chat_id, True), (second.chat_id, False)]
        assert after == [(first.chat_id, False), (second.chat_id, False)]


class TestNextQuestion:
    async def test_is_asked(self, ann: Person) -> None:
        begun = await ann.begin("n=1")
        await ann.follow(begun)
        plain = await ask(ann, f"{begun.page}/messages", prompt="n=1")
        await settled(ann, begun)
        by_htmx = await ask(ann, f"{begun.page}/messages", HTMX, prompt="n=1")
        assert (plain.status_code, plain.headers["location"]) == (303, f"/chats/{begun.chat_id}")
        assert (by_htmx.status_code, "hx-push-url" in by_htmx.headers) == (200, False)
        assert by_htmx.text.count("<article ") == 2

    @pytest.mark.parametrize(
        ("prompt", "words"),
        [
            pytest.param("", "Please write a message first.", id="empty"),
            pytest.param(" \n\t ", "Please write a message first.", id="blank"),
            pytest.param(TOO_LONG, "This is too long: 32,001 characters", id="too-long"),
        ],
    )
    @pytest.mark.parametrize("where", ["new", "next"])
    async def test_that_cannot_be_asked(self, ann: Person, where: str, prompt: str, words: str) -> None:
        begun = await ann.begin("n=1")
        await ann.follow(begun)
        path = "/chats" if where == "new" else f"{begun.page}/messages"
        plain, by_htmx = await ask(ann, path, prompt=prompt), await ask(ann, path, HTMX, prompt=prompt)
        assert (plain.status_code, by_htmx.status_code) == (422, 422)
        assert words in value(plain.text, r'id="composer-error"[^>]*>(.*?)</p>')
        assert draft(plain.text) == prompt
        assert '<hx-partial hx-target="#composer-error"' in by_htmx.text
        assert words in by_htmx.text
        assert len((await ann.http.get(begun.chat)).json()["messages"]) == 2

    async def test_while_an_answer_runs(self, ann: Person) -> None:
        begun = await ann.begin("n=3 fault=hold")
        path, text = f"{begun.page}/messages", "later\n<b>"
        plain, by_htmx = await ask(ann, path, prompt=text), await ask(ann, path, HTMX, prompt=text)
        await ann.stop(begun)
        assert (plain.status_code, by_htmx.status_code) == (409, 409)
        assert "still running" in value(plain.text, r'id="composer-error"[^>]*>(.*?)</p>')
        assert draft(plain.text) == text
        assert "still running" in by_htmx.text
        assert len((await ann.http.get(begun.chat)).json()["messages"]) == 2


class TestEveryResponse:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/", 200),
            ("GET", f"/chats/{MISSING}", 404),
            ("GET", "/nothing", 404),
            ("GET", "/static/app.css", 200),
            ("GET", "/static/nothing.css", 404),
            ("GET", "/health", 200),
            ("GET", "/ready", 200),
            ("GET", f"/api/chats/{MISSING}", 404),
            ("POST", "/chats", 415),
            ("POST", "/api/chats", 400),
            ("DELETE", "/", 405),
        ],
    )
    async def test_has_the_headers(self, ann: Person, method: str, path: str, status: int) -> None:
        response = await ann.http.request(method, path)
        assert response.status_code == status
        # A file is no document: it has no window, no features, and links to nothing.
        wanted = {name: HEADERS[name] for name in FILE_HEADERS} if path.startswith("/static/") else HEADERS
        assert {name: response.headers.get(name) for name in wanted} == wanted
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "server" not in response.headers
        if not path.startswith(("/static/app", "/health", "/ready")):
            assert response.headers["cache-control"] == "no-store"

    async def test_of_a_stream_too(self, ann: Person) -> None:
        begun = await ann.begin("n=1")
        async with ann.stream(begun.html) as stream:
            assert {name: stream.headers.get(name) for name in HEADERS} == HEADERS

    async def test_a_chat_is_never_stored(self, ann: Person) -> None:
        begun = await ann.begin("n=1")
        assert (await ann.http.get(begun.page)).headers["cache-control"] == "no-store"

    async def test_a_missing_page_shows_the_way_back(self, ann: Person) -> None:
        page = await ann.http.get(f"/chats/{MISSING}")
        fragment = await ann.http.get(f"/chats/{MISSING}", headers=HTMX)
        assert '<a href="/">Back to a new chat</a>' in page.text
        assert "There is no such chat, or it is not yours." in page.text
        assert fragment.text.startswith('<hx-partial hx-target="#composer-error"')

    async def test_assets_are_named_by_their_content(self, ann: Person) -> None:
        page = await ann.http.get("/")
        assets = {unescape(url).partition("#")[0] for url in re.findall(r'"(/static/[^"]+)"', page.text)}
        assert len(assets) >= 5
        [version] = {url.split("/")[2] for url in assets}
        for url in assets:
            asset = await ann.http.get(url)
            assert asset.status_code == 200
            assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
            tag = asset.headers["etag"]
            for known in (tag, f"W/{tag}", f'"another", {tag}', "*"):
                unchanged = await ann.http.get(url, headers={"If-None-Match": known})
                assert (unchanged.status_code, unchanged.content) == (304, b"")
            assert (await ann.http.get(url, headers={"If-None-Match": '"another"'})).status_code == 200
            # A page of another release still finds them, only not for good.
            other = await ann.http.get(url.replace(version, "0123456789ab"))
            assert (other.content, other.headers["cache-control"]) == (asset.content, "no-cache")


async def settled(ann: Person, begun: Begun) -> None:
    """Wait for the end of the chat's running answer."""
    running = (await ann.http.get(begun.chat)).json()["messages"][-1]["id"]
    async with ann.stream(f"{ann.base}{begun.chat}/messages/{running}/events") as stream:
        _ = [event async for event in stream]
