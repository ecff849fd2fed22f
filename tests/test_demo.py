import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.demo.server import DemoEndpoint, demo_server
from chatapp.demo.text import demo_answer, tokens
from chatapp.demo.title import demo_title
from tests.support.client import person
from tests.support.processes import ServerProcess


def asking(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


def words(question: str) -> int:
    return len(demo_answer(asking(question)).split())


@pytest.fixture
async def endpoint() -> AsyncIterator[DemoEndpoint]:
    async with demo_server(pace=0) as endpoint:
        yield endpoint


@pytest.fixture
async def client(endpoint: DemoEndpoint) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=endpoint.base_url, api_key=endpoint.api_key, max_retries=0
    ) as client:
        yield client


class TestText:
    @pytest.mark.parametrize("question", ["", "Hi", "What is a fence?", "Say it briefly"])
    def test_a_short_question_gets_a_short_answer(self, question: str) -> None:
        assert 60 <= words(question) <= 120

    @pytest.mark.parametrize("wanted", [100, 300, 500, 1000, 2500, 5000])
    def test_a_number_of_words_is_about_kept(self, wanted: int) -> None:
        assert wanted * 0.85 <= words(f"Tell me of trains in {wanted} words") <= wanted

    @pytest.mark.parametrize("question", ["100,000 words", "99999999 words", "a 6000-word essay"])
    def test_there_is_a_most(self, question: str) -> None:
        assert 4500 <= words(question) <= 5000

    def test_longer_questions_get_longer_answers(self) -> None:
        lengths = [words("why " * count) for count in (5, 100, 300)]

        assert lengths == sorted(set(lengths))
        assert words("a long answer please") > 500

    def test_it_is_deterministic_and_varied(self) -> None:
        assert demo_answer(asking("Hi")) == demo_answer(asking("Hi"))
        assert len({demo_answer(asking(f"Hi {number}")).partition("”")[2] for number in range(20)}) > 5

    def test_it_names_the_way_to_a_real_model(self) -> None:
        answer = demo_answer(asking("Hi"))

        assert "demo" in answer
        assert "`OPENAI_API_KEY`" in answer
        assert "`OPENAI_BASE_URL`" in answer

    @pytest.mark.parametrize(
        "sign", ["\n## ", "\n- ", "\n| ", "\n```python\n", "\n> ", "\n- [x] ", "\n$$\n", "]("]
    )
    def test_a_long_answer_shows_all_of_markdown(self, sign: str) -> None:
        assert sign in demo_answer(asking("1500 words"))

    def test_no_long_paragraph_comes_twice(self) -> None:
        paragraphs = [p for p in demo_answer(asking("5000 words")).split("\n\n") if len(p.split()) > 15]

        assert len(set(paragraphs)) == len(paragraphs)

    def test_the_question_is_quoted_without_its_markup(self) -> None:
        answer = demo_answer(asking("# <b>*x*</b>\n\n```\n[a](javascript:b) ![c](d) &amp; \u202ex"))

        quoted = next(line for line in answer.splitlines() if line.startswith("You asked"))
        assert not re.search(r"(?<!\\)[<>*`\[\]!&#]", quoted)
        assert "\u202e" not in quoted

    def test_a_begun_answer_is_continued(self) -> None:
        whole = demo_answer(asking("Hi"))

        assert demo_answer([*asking("Hi"), {"role": "assistant", "content": whole[:50]}]) == whole[50:]

    def test_content_may_come_in_parts(self) -> None:
        parts = [{"type": "image_url"}, {"type": "text", "text": "Hi"}]

        assert demo_answer([{"role": "user", "content": parts}]) == demo_answer(asking("Hi"))

    @given(st.text())
    def test_any_question_has_an_answer_whose_tokens_join_to_it(self, question: str) -> None:
        answer = demo_answer(asking(question))

        assert "".join(tokens(answer)) == answer
        assert "".join(tokens(question)) == question
        assert not answer.rpartition("\n")[2].startswith("#")


async def test_a_streamed_answer(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="demo", messages=asking("Hi"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == demo_answer(asking("Hi"))
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-2:] == [None, "stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(tokens(text))
    assert len({chunk.id for chunk in chunks}) == 1


async def test_usage_comes_only_when_asked_for(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="demo", messages=asking("Hi"), stream=True)

    assert [chunk.usage async for chunk in stream if chunk.usage is not None] == []


async def test_an_answer_at_once(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="demo", messages=asking("Hi"))

    assert answer.choices[0].message.content == demo_answer(asking("Hi"))
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_of_tokens(client: openai.AsyncOpenAI, limit: str) -> None:
    answer = await client.chat.completions.create(model="demo", messages=asking("Hi"), extra_body={limit: 7})

    assert answer.choices[0].message.content == "".join(tokens(demo_answer(asking("Hi")))[:7])
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7


async def test_the_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["demo"]


async def test_a_wrong_key(endpoint: DemoEndpoint) -> None:
    async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="demo", messages=asking("Hi"))

    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"messages": []}', b'{"messages": [{}], "max_tokens": 0}']
)
async def test_a_bad_body(endpoint: DemoEndpoint, body: bytes) -> None:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {endpoint.api_key}"}) as client:
        response = await client.post(f"{endpoint.base_url}/chat/completions", content=body)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_an_unknown_address(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("demo")

    assert caught.value.type == "invalid_request_error"


async def test_the_pace_is_kept() -> None:
    async with demo_server(pace=100) as endpoint, openai.AsyncOpenAI(**fields(endpoint)) as client:
        began = time.monotonic()
        await client.chat.completions.create(model="demo", messages=asking("Hi"), max_tokens=40)

    assert 0.35 <= time.monotonic() - began < 2


async def test_it_stops_fast_with_an_open_stream_and_quietly(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn")
    async with openai.AsyncOpenAI(**fields(None)) as client:
        async with demo_server(pace=5) as endpoint:
            client.base_url, client.api_key = endpoint.base_url, endpoint.api_key
            stream = await client.chat.completions.create(
                model="demo", messages=asking("5000 words"), stream=True
            )
            await anext(stream)
            reading = asyncio.create_task(drain(stream))
            began = time.monotonic()
        assert time.monotonic() - began < 0.5
        with pytest.raises(openai.APIError, match="shutting down"):
            await reading
    assert caplog.text == ""


async def test_it_stops_fast_with_a_reader_that_does_not_read() -> None:
    async with demo_server(pace=0) as endpoint:
        host, port = "127.0.0.1", int(endpoint.base_url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection(host, port, limit=1)
        body = b'{"stream": true, "messages": [{"role": "user", "content": "5000 words"}]}'
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {endpoint.api_key}\r\n"
        )
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await reader.read(1)
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    writer.close()


async def test_its_answer_survives_the_death_of_everything_but_the_disk() -> None:
    """No setting at all, the process killed in mid-answer: after the restart the text goes on exactly."""
    question = "Write 150 words."
    async with ServerProcess() as server:
        await server.wait_ready()
        async with person(server.url) as ann:
            begun = await ann.begin(question)
            while len((await ann.message(begun))["text"]) < 100:
                await asyncio.sleep(0.05)
            # Longer than Redis' second.
            await asyncio.sleep(1.5)
            shown = (await ann.message(begun))["text"]
            server.kill()
            await server.restart()
            await server.wait_ready()
            answer = await ann.follow(begun, timeout=40)
            message = await ann.message(begun)
    whole = demo_answer(asking(question))
    assert message["status"] == "completed"
    assert whole.startswith(shown)
    assert message["text"] == answer.text == whole


async def drain(stream: AsyncIterator[object]) -> None:
    async for _ in stream:
        pass


def fields(endpoint: DemoEndpoint | None) -> dict[str, Any]:
    base_url, api_key = (endpoint.base_url, endpoint.api_key) if endpoint else ("http://unset", "unset")
    return {"base_url": base_url, "api_key": api_key, "max_retries": 0}


def test_a_title() -> None:
    """Asked for a title as the chat asks for one, it says what the question was about."""
    said = "Question:\nPlease explain how Redis Streams work, in 300 words.\n\nAnswer:\nThey …"
    messages = [{"role": "system", "content": "Write a title …"}, {"role": "user", "content": said}]
    assert demo_title(messages) == "Redis Streams work"
    assert demo_title(messages[1:]) == ""
    assert (
        demo_title([{"role": "system", "content": "Write a title …"}, {"role": "user", "content": "?"}]) == ""
    )
