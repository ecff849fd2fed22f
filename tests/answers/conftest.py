"""A runner in this process, with a scripted provider and a real Redis: quick, and open to the tests."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chatapp.answers.log import read_log
from chatapp.answers.provider import OpenAIProvider
from chatapp.answers.resume import Resume
from chatapp.answers.runner import Runner
from chatapp.models import Entry, Status
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from chatapp.storage.hints import announcement
from chatapp.storage.messages import Saved, read_saved
from chatapp.storage.scripts import BEGIN, SCHEDULE, STOP, Call, chat_keys, run, run_in_order
from chatapp.tasks import background
from tests.support.provider import ScriptedProvider

OWNER = "0" * 32
HEAD = b'{"id":"%s","parent_id":%s,"role":"%s","model":"scripted","created_at":"2026-01-01T00:00:00Z"}'

CHAT = ("title", "t", "model", "m", "system", "")


class Asked:
    """One question, and what became of it."""

    def __init__(self, connections: Connections) -> None:
        self._redis = connections.commands
        self.chat_id, self.message_id, self.question_id = (secrets.token_hex(16) for _ in range(3))
        self.keys = chat_keys(self.chat_id, self.message_id)

    async def begin(self, prompt: str, *, announce: bool = True) -> None:
        """Ask, as a web process does."""
        question, answer = self.question_id.encode(), self.message_id.encode()
        heads = HEAD % (question, b"null", b"user"), HEAD % (answer, b'"%s"' % question, b"assistant")
        now = "2026-01-01T00:00:00+00:00"
        begin = (OWNER, "r", "f", 1, "", question, heads[0], prompt, answer, heads[1], now)
        await run(self._redis, Call(BEGIN, self.keys, *begin, *CHAT))
        if announce:
            await self.announce()

    async def announce(self) -> None:
        work = f"{self.chat_id} {self.message_id}"
        await run_in_order(self._redis, Call(SCHEDULE, [keys.DUE], work, 0, ""), announcement(work))

    async def stop(self) -> None:
        await run(self._redis, Call(STOP, self.keys, OWNER, self.message_id, b'{"status":"stopped"}', 600))

    async def ended(self, timeout: float = 20) -> Saved:
        """Wait for the end and return the saved message; log and message say the same."""
        async with asyncio.timeout(timeout):
            while True:
                saved = await read_saved(self._redis, self.chat_id, self.message_id)
                if saved is not None and saved.outcome is not None:
                    return saved
                await asyncio.sleep(0.02)

    async def text(self) -> str:
        """The text in the log now."""
        text = b""
        for entry in await self.log():
            text = b"" if entry.type == "x" else text + (entry.data if entry.type == "d" else b"")
        return text.decode()

    async def log(self) -> list[Entry]:
        reading = read_log(self._redis, self.chat_id, self.message_id)
        return [entry async for batch in reading for entry in batch]

    async def generation(self) -> dict[str, str]:
        found: Any = await self._redis.hgetall(keys.generation(self.chat_id))
        return {key.decode(): value.decode() for key, value in found.items()}


@pytest.fixture
async def connections(redis_url: str) -> AsyncIterator[Connections]:
    async with Connections(redis_url) as connections:
        yield connections


@asynccontextmanager
async def working(
    connections: Connections, scripted: ScriptedProvider | str, *rules: tuple[str, str], **options: Any
) -> AsyncIterator[Runner]:
    """A runner at work for the provider, or for the one at an address."""
    address = scripted if isinstance(scripted, str) else scripted.base_url
    provider = OpenAIProvider(address, "sk-test-0123456789", ["scripted"], **options)
    runner = Runner(connections, provider, Resume(rules, provider), Durability(connections.disk))
    try:
        async with background(runner.run()):
            yield runner
    finally:
        await provider.aclose()


def ending(saved: Saved) -> tuple[Status, str | None]:
    """How an answer ended: its status, and the code of what went wrong."""
    assert saved.outcome is not None
    return saved.outcome.status, saved.outcome.error.code if saved.outcome.error else None


async def asked(connections: Connections, prompt: str) -> Asked:
    question = Asked(connections)
    await question.begin(prompt)
    return question
