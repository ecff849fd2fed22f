"""What the first load of a chat costs the reader's connection."""

from __future__ import annotations

from tests.browser.conftest import Open
from tests.conftest import Report, Stage
from tests.support.page import ChatPage

LIMIT = 60 << 10


async def test_fifty_messages_in_sixty_kilobytes(stage: Stage, open_page: Open, report: Report) -> None:
    chat = await open_page(stage.url)
    for number in range(25):
        prompt = f"n=120 kind=markdown seed={number}"
        await chat.ends(await chat.ask(prompt), prompt)
    fresh = await open_page(stage.url)
    await fresh.page.context.add_cookies(await chat.page.context.cookies())  # type: ignore[arg-type]
    total = await transferred(fresh, chat.page.url)
    await fresh.ends(await fresh.answer(50), prompt)
    report.add(f"first load of a chat with 50 messages: {total / 1024:.1f} KB transferred")
    assert total <= LIMIT
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
