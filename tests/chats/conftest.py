"""The chats' service on a real Redis, without a web side."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatapp.answers.hub import Hub
from chatapp.answers.provider import OpenAIProvider
from chatapp.chats.catalogue import Catalogue
from chatapp.chats.limits import Limits
from chatapp.chats.service import Chats
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.durability import Durability
from chatapp.storage.tail import Tail
from tests.answers.conftest import OWNER, Asked
from tests.chats.desk import Desk

MODELS = ("scripted", "other")


@pytest.fixture
async def connections(redis_url: str) -> AsyncIterator[Connections]:
    async with Connections(redis_url) as connections:
        yield connections


@asynccontextmanager
async def desk_at(connections: Connections, *, running: int = 0) -> AsyncIterator[Desk]:
    """A process' chats; `running`: answers that one person may have at once."""
    provider = OpenAIProvider("http://127.0.0.1:9", "sk-test-0123456789", MODELS)
    hub = Hub(connections.commands, Tail(connections.commands, connections.hub))
    catalogue, limits = Catalogue(provider, MODELS, fixed=True), Limits(connections.commands, running)
    chats = Chats(connections.commands, hub, catalogue, limits, "secret", Durability(connections.disk))
    try:
        yield Desk(connections, chats)
    finally:
        # Otherwise it would begin its turns again in the next test's Redis.
        await chats.aclose()
        await provider.aclose()


@pytest.fixture
async def desk(connections: Connections) -> AsyncIterator[Desk]:
    async with desk_at(connections) as desk:
        yield desk


async def listed(connections: Connections, prompt: str = "?", *, score: float = 1) -> Asked:
    """A chat with a question that waits for its answer, in its owner's list."""
    asked = Asked(connections)
    await asked.begin(prompt, announce=False)
    await connections.commands.zadd(keys.user_chats(OWNER), {asked.chat_id: score})
    return asked
