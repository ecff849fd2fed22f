"""Who may do what: strangers, foreign sites, cookies and tokens, hosts, proxies, and what the log keeps."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

import httpx2
import pytest

from tests.conftest import Stage, environment
from tests.support.client import COOKIE, Begun, Person, person
from tests.support.processes import RedisProcess, ServerProcess
from tests.support.proxy import Listener, send
from tests.support.sse import SSEClient

MISSING = "0123456789abcdef" * 2
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
ROUTES = [
    ("GET", "/chats/{chat}"),
    ("POST", "/chats/{chat}/messages"),
    ("GET", "/chats/{chat}/messages/{message}/stream"),
    ("POST", "/chats/{chat}/messages/{message}/stop"),
    ("GET", "/api/chats/{chat}"),
    ("POST", "/api/chats/{chat}/messages"),
    ("GET", "/api/chats/{chat}/messages/{message}"),
    ("GET", "/api/chats/{chat}/messages/{message}/events"),
    ("POST", "/api/chats/{chat}/messages/{message}/stop"),
]
FOREIGN = {
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "same-site": {"Sec-Fetch-Site": "same-site"},
    "nonsense": {"Sec-Fetch-Site": "SAME-ORIGIN, cross-site"},
    "foreign-origin": {"Origin": "https://evil.example"},
    "null-origin": {"Origin": "null"},
    "other-port": {"Origin": "http://127.0.0.1:1"},
    "both": {"Origin": "{base}", "Sec-Fetch-Site": "cross-site"},
    "forged-htmx": {"Origin": "null", "HX-Request": "true"},
}
OWN: dict[str, dict[str, str]] = {
    "same-origin": {"Sec-Fetch-Site": "same-origin"},
    "none": {"Sec-Fetch-Site": "none"},
    "own-origin": {"Origin": "{base}"},
    "program": {},
}


class EchoingProvider(Listener):
    """Refuses every call and repeats the credentials in the error, as some servers do."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = re.search("(?i)authorization: (.*)\r\n", head)
        body = json.dumps({"error": {"message": f"Incorrect API key provided: {key and key[1]}"}}).encode()
        start = f"HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        await send(writer, f"{start}Connection: close\r\n\r\n".encode() + body)


@dataclass
class Behind:
    """A server behind a proxy that it does not know, with a list of hosts, and a Redis of its own."""

    server: ServerProcess
    redis: RedisProcess
    url: str


@pytest.fixture(scope="module")
async def behind() -> AsyncIterator[Behind]:
    with RedisProcess() as redis:
        async with EchoingProvider() as provider:
            env = environment(redis.url, f"http://127.0.0.1:{provider.port}/v1")
            env |= {
                "FORWARDED_ALLOW_IPS": "192.0.2.1",
                "CHATAPP_ALLOWED_HOSTS": "chat.example,*.chat.example,127.0.0.1",
            }
            async with ServerProcess(env=env) as server:
                await server.wait_ready()
                yield Behind(server, redis, server.url)


def set_cookie(response: httpx2.Response) -> str:
    return response.headers.get("set-cookie", "")


def bare(base: str) -> httpx2.AsyncClient:
    """A client that keeps no cookies by itself."""
    return httpx2.AsyncClient(base_url=base, timeout=20, cookies=None)


async def seen_by(base: str, cookies: list[str], begun: Begun) -> int:
    """The status of a chat's page for whoever sends these Cookie headers."""
    headers = [(b"Cookie", cookie.encode()) for cookie in cookies]
    async with bare(base) as http:
        return (await http.get(f"/chats/{begun.chat_id}", headers=headers)).status_code


class TestStrangers:
    @pytest.mark.parametrize(("method", "path"), ROUTES)
    async def test_get_what_is_told_of_nothing(self, ann: Person, method: str, path: str) -> None:
        begun = await ann.begin("n=3 fault=hold")
        content, kind = '{"prompt": "n=1"}', "application/json"
        if path.startswith("/chats"):
            content, kind = "prompt=n%3D1", "application/x-www-form-urlencoded"
        responses = []
        # The time limit is for a stream that opens after all: it would stay open.
        async with asyncio.timeout(10), person(ann.base) as bob:
            for chat, message in (
                (MISSING, MISSING),
                (begun.chat_id, begun.message_id),
                (begun.chat_id, MISSING),
            ):
                url = path.format(chat=chat, message=message)
                responses.append(
                    await bob.http.request(method, url, content=content, headers={"Content-Type": kind})
                )
        before = await ann.message(begun)
        await ann.stop(begun)
        assert [response.status_code for response in responses] == [404] * 3
        assert len({response.content for response in responses}) == 1
        assert before["status"] in ("queued", "running")

    async def test_a_message_under_another_chat_of_the_same_person(self, ann: Person) -> None:
        one, two = await ann.begin("n=1"), await ann.begin("n=1")
        for method, path in ROUTES:
            if "{message}" in path:
                url = path.format(chat=one.chat_id, message=two.message_id)
                assert (await ann.http.request(method, url)).status_code == 404


class TestOtherSites:
    @pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
    async def test_change_nothing(self, ann: Person, headers: dict[str, str]) -> None:
        begun = await ann.begin("n=3 fault=hold")
        headers = {name: value.format(base=ann.base) for name, value in headers.items()}
        before = (await ann.http.get(begun.chat)).json()
        responses = [
            await ann.http.post("/chats", data={"prompt": "n=1"}, headers=headers),
            await ann.http.post("/api/chats", json={"prompt": "n=1"}, headers=headers),
            await ann.http.post(f"{begun.path}/stop", headers=headers),
            await ann.http.post(f"{begun.page}/messages/{begun.message_id}/stop", headers=headers),
        ]
        assert [response.status_code for response in responses] == [403] * 4
        after = (await ann.http.get(begun.chat)).json()
        assert [m["id"] for m in after["messages"]] == [m["id"] for m in before["messages"]]
        assert after["messages"][1]["status"] in ("queued", "running")
        # A turn is listed before it begins.
        listed = (await ann.http.get("/api/chats")).json()["chats"]
        assert [chat["id"] for chat in listed] == [begun.chat_id]
        await ann.stop(begun)

    @pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
    async def test_read_no_stream(self, ann: Person, headers: dict[str, str]) -> None:
        begun = await ann.begin("n=3")
        headers = {name: value.format(base=ann.base) for name, value in headers.items()}
        for url in (begun.events, f"{begun.events}/", begun.html, "/events", "/api/events"):
            refused = await ann.http.get(url, headers=headers)
            assert refused.status_code == 403, url

    @pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
    async def test_but_our_own_pages_read_them(self, ann: Person, headers: dict[str, str]) -> None:
        begun = await ann.begin("n=3")
        headers = {name: value.format(base=ann.base) for name, value in headers.items()}
        for url in (begun.events, begun.html):
            async with ann.stream(url, headers) as stream:
                assert stream.status == 200

    @pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
    async def test_but_our_own_pages_and_programs_do(self, ann: Person, headers: dict[str, str]) -> None:
        headers = {name: value.format(base=ann.base) for name, value in headers.items()}
        page = await ann.http.post("/chats", data={"prompt": "n=1"}, headers=headers)
        api = await ann.http.post("/api/chats", json={"prompt": "n=1"}, headers=headers)
        assert (page.status_code, api.status_code) == (303, 201)

    async def test_get_no_permission_by_cors(self, ann: Person) -> None:
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        preflight = await ann.http.options("/api/chats", headers=headers)
        read = await ann.http.get("/", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in preflight.headers
        assert "access-control-allow-origin" not in read.headers


class TestSession:
    async def test_the_cookie(self, ann: Person) -> None:
        first = await ann.http.get("/")
        again = await ann.http.get("/")
        renewed = await ann.http.get("/", headers={"Sec-Fetch-Dest": "document"})
        pattern = (
            rf"{COOKIE}=[0-9a-f]{{32}}\.[0-9a-f]{{64}}; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"
        )
        assert re.fullmatch(pattern, set_cookie(first))
        assert set_cookie(again) == ""
        assert set_cookie(renewed) == set_cookie(first)

    @pytest.mark.parametrize("path", ["/health", "/ready", "/static/app.css"])
    async def test_probes_and_assets_make_none(self, ann: Person, path: str) -> None:
        assert set_cookie(await ann.http.get(path)) == ""

    @pytest.mark.parametrize("break_it", ["garbage", "tampered", "cut", "unsigned", "8kB", "non-ascii"])
    async def test_a_cookie_that_is_not_ours(self, ann: Person, break_it: str) -> None:
        begun = await ann.begin("n=1")
        token = ann.cookies[COOKIE]
        broken = {
            "garbage": "hello; world",
            "tampered": f"{MISSING}{token[32:]}",
            "cut": token[:-1],
            "unsigned": token.partition(".")[0],
            "8kB": "x" * 8192,
            "non-ascii": "é" * 32 + token[32:],
        }[break_it]
        async with bare(ann.base) as http:
            answer = await http.get("/", headers={b"Cookie": f"{COOKIE}={broken}".encode()})
        assert answer.status_code == 200
        assert set_cookie(answer).startswith(f"{COOKIE}=")
        assert await seen_by(ann.base, [f"{COOKIE}={broken}"], begun) == 404

    async def test_two_cookies_of_the_same_name(self, ann: Person) -> None:
        begun = await ann.begin("n=1")
        ours, foreign = f"{COOKIE}={ann.cookies[COOKIE]}", f"{COOKIE}=set.by.a.neighbour"
        for cookies in ([f"{foreign}; {ours}"], [foreign, ours], [f"{ours}; {foreign}"]):
            assert await seen_by(ann.base, cookies, begun) == 200

    async def test_a_bearer_token(self, ann: Person) -> None:
        begun = await ann.begin("n=1")
        token = ann.cookies[COOKIE]
        async with bare(ann.base) as http:
            api = await http.get(begun.chat, headers={"Authorization": f"Bearer {token}"})
            page = await http.get(begun.page, headers={"Authorization": f"Bearer {token}"})
            other = await http.get(
                begun.chat, headers={"X-API-Key": token, "Authorization": f"Basic {token}"}
            )
        invalid = await ann.http.get(begun.chat, headers={"Authorization": f"Bearer {token}x"})
        assert (api.status_code, set_cookie(api)) == (200, "")
        assert (page.status_code, other.status_code) == (404, 404)
        assert (invalid.status_code, invalid.headers["www-authenticate"]) == (401, "Bearer")
        assert invalid.headers["content-type"] == "application/problem+json"

    async def test_what_is_somebodys_is_kept_by_nobody(self, ann: Person) -> None:
        begun = await ann.begin("n=1")
        await ann.follow(begun)
        chat = f"/chats/{begun.chat_id}"
        exports = [f"{chat}/export.md", f"{chat}/export.json"]
        for path in ("/", "/chats", chat, *exports, "/api/chats", begun.chat, begun.path, "/api/models"):
            answer = await ann.http.get(path)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), path

    async def test_behind_a_proxy_that_is_trusted(self, stage: Stage) -> None:
        async with bare(stage.url) as http:
            secure = await http.get("/", headers={"X-Forwarded-Proto": "https"})
            plain = await http.get("/")
        assert set_cookie(secure).endswith("; Secure")
        assert secure.headers["strict-transport-security"] == "max-age=31536000"
        assert "strict-transport-security" not in plain.headers

    async def test_behind_a_proxy_that_is_not(self, behind: Behind) -> None:
        spoofed = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1", "Forwarded": "proto=https"}
        async with bare(behind.url) as http:
            answer = await http.get("/", headers=spoofed)
        assert answer.status_code == 200
        assert "Secure" not in set_cookie(answer)


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil", "", "[::2]"]
    )
    @pytest.mark.parametrize("path", ["/", "/api/chats/x", "/health"])
    async def test_a_local_server_has_local_names(self, stage: Stage, host: str, path: str) -> None:
        headers = {"Host": host, "X-Forwarded-Host": "localhost"}
        async with SSEClient.open(stage.url + path, headers) as answer:
            assert answer.status == 400

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"])
    async def test_its_own_names(self, stage: Stage, host: str) -> None:
        async with SSEClient.open(f"{stage.url}/", {"Host": host}) as answer:
            assert answer.status == 200

    HOSTS = (("chat.example", 200), ("a.chat.example:443", 200), ("example", 400), ("localhost", 400))

    @pytest.mark.parametrize(("host", "status"), HOSTS)
    async def test_names_that_are_allowed(self, behind: Behind, host: str, status: int) -> None:
        headers = {"Host": host, "X-Forwarded-Host": "chat.example"}
        async with SSEClient.open(f"{behind.url}/", headers) as answer:
            assert answer.status == status


class TestLog:
    async def test_keeps_no_secret(self, stage: Stage, ann: Person) -> None:
        prompts = "private n=60 seed=77", "private n=60 fault=eof@50", "private status=401"
        begun = [await ann.begin(prompt) for prompt in prompts]
        answers = [await ann.follow(one) for one in begun]
        await ann.http.post("/api/chats", content='{"prompt": "private')
        log = stage.server.log
        assert "private" not in log
        assert answers[0].text[:40] not in log
        assert ann.cookies[COOKIE] not in log
        assert "sk-test" not in log

    async def test_nor_the_key_that_a_provider_repeats(self, behind: Behind) -> None:
        async with person(behind.url) as ann:
            begun = await ann.begin("n=1")
            answer = await ann.follow(begun)
            message = await ann.message(begun)
        assert (message["status"], message["error"]["code"]) == ("failed", "auth")
        assert "Incorrect API" in message["error"]["message"]
        assert "sk-test" not in json.dumps(message) + str(answer.events) + behind.server.log

    async def test_has_one_line_an_event(self, behind: Behind) -> None:
        # What is wrong with Redis is logged with the path.
        forged = "\n2026-01-01 00:00:00,000 ERROR chatapp: forged \x1b[31m\r\u2028"
        behind.redis.kill()
        before = len(behind.server.log)
        async with person(behind.url) as ann:
            path = f"/api/chats/{MISSING}/messages/{quote(forged)}"
            answer = await ann.http.get(path)
            await ann.http.get(path, headers={"User-Agent": "\x1b[31mforged"})
        log = behind.server.log[before:]
        assert answer.status_code == 503
        assert "forged" in log
        assert "\x1b" not in log
        assert not [line for line in log.splitlines() if line.startswith("2026-01-01")]
        behind.redis.start()
        await behind.server.wait_ready()


async def test_the_content_security_policy(ann: Person) -> None:
    page = await ann.http.get("/")
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    # A file needs nothing at all.
    file = await ann.http.get("/static/icons.svg")
    assert file.headers["content-security-policy"] == "default-src 'none'"
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|style=|javascript:", page.text)
