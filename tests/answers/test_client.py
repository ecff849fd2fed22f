"""The openai client's requests: what is kept of the first must be right for the next."""

from typing import Any

import httpx2
import openai
import pytest

from chatapp.answers.client import AsyncOpenAI

STREAMED: Any = {"cast_to": httpx2.Response, "stream": True, "stream_cls": openai.AsyncStream[Any]}


class Server(httpx2.AsyncBaseTransport):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200, content=b"", request=request)


@pytest.fixture
def server() -> Server:
    return Server()


def made(kind: type[openai.AsyncOpenAI], server: Server) -> openai.AsyncOpenAI:
    return kind(
        base_url="http://127.0.0.1:1/v1",
        api_key="secret",
        timeout=httpx2.Timeout(60, connect=10),
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(transport=server),
    )


def sent(request: httpx2.Request) -> tuple[Any, ...]:
    # The order of headers means nothing.
    return request.method, request.url, sorted(request.headers.items()), request.content, request.extensions


async def test_every_request_is_what_the_client_itself_sends(server: Server) -> None:
    bodies = [b'{"one": 1}', b'{"two": "more"}', b"{}"]
    for kind in (openai.AsyncOpenAI, AsyncOpenAI):
        client = made(kind, server)
        for path in ("/chat/completions", "/responses"):
            for body in bodies:
                await (await client.post(path, content=body, **STREAMED)).aclose()
    half = len(server.requests) // 2
    assert [sent(request) for request in server.requests[:half]] == [
        sent(request) for request in server.requests[half:]
    ]


async def test_another_address_has_requests_of_its_own(server: Server) -> None:
    client = made(AsyncOpenAI, server)
    other = client.with_options(base_url="http://127.0.0.1:2/beta")
    for each in (client, other, client, other):
        await (await each.post("/chat/completions", content=b"{}", **STREAMED)).aclose()
    assert [str(request.url) for request in server.requests] == [
        "http://127.0.0.1:1/v1/chat/completions",
        "http://127.0.0.1:2/beta/chat/completions",
    ] * 2


async def test_options_of_one_request_stay_its_own(server: Server) -> None:
    client = made(AsyncOpenAI, server)
    options: Any = {"headers": {"X-Once": "1"}}
    await (await client.post("/chat/completions", content=b"{}", options=options, **STREAMED)).aclose()
    await (await client.post("/chat/completions", content=b"{}", **STREAMED)).aclose()
    await (await client.post("/chat/completions", content=b"{}", options=options, **STREAMED)).aclose()
    assert ["x-once" in request.headers for request in server.requests] == [True, False, True]
