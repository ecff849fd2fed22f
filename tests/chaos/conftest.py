"""Fixtures of the fault-injection suite: a world of its own for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.world import World, world

#: Seconds after which a test counts as stuck: it starts processes again and again, which takes its time on a
#: busy machine, and every wait in it has a limit of its own.
STUCK = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(STUCK))


@pytest.fixture
async def empty() -> AsyncIterator[World]:
    """A Redis and a provider, and no process of the program yet."""
    async with world() as made:
        yield made


@pytest.fixture
async def single(empty: World) -> World:
    """One web process that also generates, as `chatapp` runs it."""
    await empty.web("web")
    return empty


@pytest.fixture
async def split(empty: World) -> World:
    """One web process that only serves, and two workers."""
    await empty.web("web", inline=False)
    await empty.worker("one")
    await empty.worker("two")
    return empty
