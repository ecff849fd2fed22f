"""An end that Redis loses, whenever somebody has looked at it: the answer is looked at again in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from chatapp.answers.lease import LEASE
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.scripts import CLAIM, SCHEDULE, Call, Command, run, run_in_order
from tests.answers.conftest import Asked, working
from tests.chaos.storage import Storage
from tests.support.provider import ScriptedProvider
from tests.support.proxy import FaultProxy, _Link

#: A second for the reaper to come round, and what a busy machine takes to start Redis again.
SOON = LEASE + 3


class Trap(FaultProxy):
    """A way to Redis on which something happens at one exact moment."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, http=False)
        self.snapped = asyncio.Event()
        self._word = b""
        self._happen: Callable[[], Awaitable[None]] | None = None

    def before(self, word: bytes, happen: Callable[[], Awaitable[None]]) -> None:
        """Let something happen before the next reply with this word gets through."""
        self._word, self._happen = word, happen

    async def _send_down(self, link: _Link, data: bytes) -> None:
        if self._happen and self._word in data:
            happen, self._happen = self._happen, None
            await happen()
            self.snapped.set()
        await super()._send_down(link, data)


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    async with Storage() as storage:
        yield storage


@pytest.fixture
async def past_the_trap(storage: Storage) -> AsyncIterator[Connections]:
    """Connections of our own, which outlive a restart."""
    async with Connections(storage.url) as connections:
        retry: Retry = Retry(ConstantBackoff(0.05), retries=200)
        connections.commands.set_retry(retry)
        yield connections


async def abandoned(connections: Connections) -> Asked:
    """An answer whose worker died as soon as it had claimed it, a lease ago."""
    question = Asked(connections)
    await question.begin("n=3", announce=False)
    work = f"{question.chat_id} {question.message_id}"
    claim = Call(CLAIM, question.keys, question.message_id, "dead", 1, 3, b"{}", 600)
    assert (await run(connections.commands, claim))[0] == "OK"
    await run(connections.commands, Call(SCHEDULE, [keys.DUE], work, 0, ""))
    # The file is written before what it holds is confirmed; synced, nothing of this is still to be written.
    await run_in_order(connections.commands, Command("WAITAOF", 1, 0, 5000))
    return question


@pytest.mark.parametrize("when", ["while the reply is on its way", "later"])
async def test_an_end_is_lost_that_somebody_has_seen(
    storage: Storage, past_the_trap: Connections, provider: ScriptedProvider, when: str
) -> None:
    question = await abandoned(past_the_trap)
    mark = storage.mark()
    await question.stop()

    async def lose() -> None:
        assert await asyncio.to_thread(storage.truncate_to, mark)

    async with Trap(storage.port) as way, Connections(f"redis://127.0.0.1:{way.port}/0") as connections:
        if when == "while the reply is on its way":
            way.before(b"CLOSED", lose)
        async with working(connections, provider):
            if when == "later":
                while not await told(past_the_trap, question):
                    await asyncio.sleep(0.01)
                await lose()
            else:
                await asyncio.wait_for(way.snapped.wait(), 10)
            saved = await question.ended(SOON)
    assert saved.outcome is not None
    assert saved.outcome.status == "completed", "it was taken over, and its stop is forgotten"


async def told(connections: Connections, question: Asked) -> bool:
    """Whether whoever has looked at the end has done all that follows it."""
    return "told" in await question.generation()
