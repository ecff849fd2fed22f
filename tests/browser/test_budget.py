"""What the first load of a chat costs the reader's connection."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.conftest import Report, Stage
from tests.support.client import COOKIE, Person
from tests.support.page import ChatPage

LIMIT = 60_000


async def test_fifty_messages_in_sixty_kilobytes(
    stage: Stage, ann: Person, open_page: Open, report: Report
) -> None:
    chat_id: str | None = None
    for number in range(25):
        begun = await ann.begin(f"n=120 kind=markdown seed={number}", chat_id=chat_id)
        await ann.follow(begun)
        chat_id = begun.chat_id
    fresh = await open_page(stage.url)
    await fresh.page.context.add_cookies([{"name": COOKIE, "value": ann.cookies[COOKIE], "url": stage.url}])
    total = await transferred(fresh, begun.page)
    await expect(fresh.articles).to_have_count(50)
    report.add(f"first load of a chat with 50 messages: {total / 1000:.1f} KB transferred")
    assert 20_000 < total <= LIMIT
    fresh.calm()


async def transferred(chat: ChatPage, url: str) -> int:
    """Load a page with an empty cache and return the bytes of all that came, headers included."""
    sizes: list[int] = []
    session = await chat.page.context.new_cdp_session(chat.page)
    await session.send("Network.enable")
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    await chat.page.goto(url, wait_until="load")
    await chat.page.wait_for_timeout(1000)
    return sum(sizes)
