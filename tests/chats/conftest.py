"""The chats' service on a real Redis, without a web side."""

from collections.abc import AsyncIterator

import pytest

from chatapp.storage import keys
from chatapp.storage.connections import Connections
from tests.answers.conftest import OWNER, Asked


@pytest.fixture
async def connections(redis_url: str) -> AsyncIterator[Connections]:
    async with Connections(redis_url) as connections:
        yield connections


async def listed(connections: Connections, prompt: str = "?", *, score: float = 1) -> Asked:
    """A chat with a question that waits for its answer, in its owner's list."""
    asked = Asked(connections)
    await asked.begin(prompt, announce=False)
    await connections.commands.zadd(keys.user_chats(OWNER), {asked.chat_id: score})
    return asked
