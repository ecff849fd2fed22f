"""The model names a chat after its first complete answer, and nothing waits for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatapp.answers.provider import OpenAIProvider
from chatapp.answers.resume import Resume
from chatapp.answers.runner import Runner
from chatapp.answers.titles import Titles, clean
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from chatapp.tasks import background
from tests.answers.conftest import Asked, asked
from tests.support.provider import ScriptedProvider


@asynccontextmanager
async def naming(
    connections: Connections, scripted: ScriptedProvider, **options: Any
) -> AsyncIterator[Runner]:
    """A runner at work that has chats named."""
    provider = OpenAIProvider(scripted.base_url, "sk-test-0123456789", ["scripted"], **options)
    titles = Titles(connections.commands, provider)
    durability = Durability(connections.disk)
    runner = Runner(connections, provider, Resume((), provider), durability, titles)
    try:
        async with background(runner.run()):
            yield runner
            await runner.drain()
    finally:
        await provider.aclose()


async def title_of(connections: Connections, question: Asked) -> tuple[str, str]:
    found: Any = await connections.commands.hmget(keys.chat(question.chat_id), ["title", "titled"])
    return (found[0] or b"").decode(), (found[1] or b"").decode()


async def named(connections: Connections, question: Asked) -> str:
    async with asyncio.timeout(10):
        while (found := await title_of(connections, question))[1] != "auto":
            await asyncio.sleep(0.01)
    return found[0]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_after_the_first_answer(connections: Connections, provider: ScriptedProvider, api: str) -> None:
    async with naming(connections, provider, api=api):
        question = await asked(connections, "n=3")
        assert await named(connections, question) == "A scripted title"
        async with asyncio.timeout(10):
            # Told after it is written.
            while len(told := await told_of(connections)) < 2:
                await asyncio.sleep(0.01)
    assert told == [b"finished", b"renamed"]
    assert len(provider.titles) == len(provider.calls) == 1
    [request] = provider.titles
    sent = (request.get("messages") or request["input"])[-1]["content"]
    assert "n=3" in sent
    assert not request.get("stream")


async def told_of(connections: Connections) -> list[bytes]:
    events: Any = await connections.commands.xrange(keys.user_events("0" * 32))
    return [fields[b"t"] for _, fields in events]


@pytest.mark.parametrize(
    ("field", "value"), [("titled", "manual"), ("titled", "auto"), ("deleted_at", "1795651200000")]
)
async def test_a_chat_that_needs_no_title_is_not_asked_about(
    connections: Connections, provider: ScriptedProvider, field: str, value: str
) -> None:
    async with naming(connections, provider):
        question = Asked(connections)
        await question.begin("n=3", announce=False)
        await connections.commands.hset(keys.chat(question.chat_id), field, value)
        await question.announce()
        await question.ended()
        await named(connections, await asked(connections, "n=1"))
    assert await title_of(connections, question) == ("t", value if field == "titled" else "")
    assert len(provider.titles) == 1


async def test_named_by_a_person_meanwhile(connections: Connections, provider: ScriptedProvider) -> None:
    provider.title = "Too late"
    async with naming(connections, provider):
        question = await asked(connections, "n=3")
        await provider.until(lambda: provider.titles)
        await connections.commands.hset(
            keys.chat(question.chat_id), mapping={"title": "Mine", "titled": "manual"}
        )
    title, titled = await title_of(connections, question)
    assert (title, titled) in (("Mine", "manual"), ("Too late", "auto"))


@pytest.mark.parametrize("title", [None, "", "  \n ", "<think>Let me see"])
async def test_a_failure_leaves_the_first_words(
    connections: Connections, provider: ScriptedProvider, title: str | None
) -> None:
    provider.title = title
    async with naming(connections, provider):
        question = await asked(connections, "n=3")
        assert (await question.ended()).outcome is not None
        await provider.until(lambda: provider.titles)
        provider.title = "Another"
        # By then the first has been answered, too.
        await named(connections, await asked(connections, "n=1"))
    assert await title_of(connections, question) == ("t", "")


@pytest.mark.parametrize("script", ["n=3 fault=eof@1", "n=3 fault=status@401"])
async def test_not_after_a_broken_answer(
    connections: Connections, provider: ScriptedProvider, script: str
) -> None:
    async with naming(connections, provider):
        question = await asked(connections, script)
        await question.ended()
        await named(connections, await asked(connections, "n=1"))
    assert len(provider.titles) == 1
    assert (await title_of(connections, question))[1] == ""


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Tea in Japan", "Tea in Japan"),
        ('"Tea in Japan."', "Tea in Japan"),
        ("Title: **Tea in Japan**\nBecause…", "Tea in Japan"),
        ("\n\n# Tea\tin\u2028Japan", "Tea in"),
        ("<think>hm\nhm</think>\n「日本のお茶」", "日本のお茶"),
        ("<b>Tea</b>", "<b>Tea</b>"),
        ("word " * 40, "word " * 10 + "word…"),
        ("x" * 100, "x" * 59 + "…"),
        ("", ""),
    ],
)
def test_what_models_say(said: str, title: str) -> None:
    assert clean(said) == title
