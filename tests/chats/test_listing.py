"""The list, a page at a time."""

import pytest

from chatapp.chats.listing import Listing
from chatapp.errors import InvalidInput
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from tests.answers.conftest import OWNER
from tests.chats.conftest import listed


async def pages(listing: Listing, limit: int) -> list[list[str]]:
    """Every page, from the first to the last."""
    found, cursor = [], None
    while True:
        page = await listing.page(OWNER, limit=limit, cursor=cursor)
        found.append([chat.id for chat in page.chats])
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
async def test_every_chat_once(connections: Connections, limit: int) -> None:
    # Two of them at the very same time, and names without a chat in between.
    scores = [1_764_096_814.123456, 1_764_096_814.123457, 5.5, 5.5, 5.5, 3, 2]
    asked = [await listed(connections, score=score) for score in scores]
    for score in (4, 5.5, 9e9):
        await connections.commands.zadd(keys.user_chats(OWNER), {f"{score:032.0f}": score})
    found = await pages(Listing(connections.commands), limit)
    ranked = sorted(zip(scores, (one.chat_id for one in asked), strict=True), reverse=True)
    assert [chat_id for page in found for chat_id in page] == [chat_id for _, chat_id in ranked]
    assert all(len(page) == limit for page in found[:-1])


async def test_nothing(connections: Connections) -> None:
    page = await Listing(connections.commands).page(OWNER)
    assert (page.chats, page.next_cursor) == ([], None)


@pytest.mark.parametrize("cursor", ["x", "1", "+inf_" + "0" * 32, "1_*", "(1_" + "0" * 32])
async def test_cursors_that_are_not_ours(connections: Connections, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await Listing(connections.commands).page(OWNER, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 101])
async def test_limits(connections: Connections, limit: int) -> None:
    with pytest.raises(InvalidInput):
        await Listing(connections.commands).page(OWNER, limit=limit)
