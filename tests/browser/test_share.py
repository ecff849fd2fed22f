"""A chat leaves the app: as a link, as a file, on paper."""

from __future__ import annotations

import json

from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.browser.test_sidebar import choose
from tests.conftest import Stage
from tests.support.page import ChatPage


async def test_a_link_that_can_be_taken_back(chat: ChatPage, stage: Stage, open_page: Open) -> None:
    prompt = "n=40 kind=markdown to be shared"
    await chat.ends(await chat.ask(prompt), prompt)
    await chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await choose(chat, "to be shared", "Share")
    address = await chat.page.get_by_role("textbox", name="Link").input_value()
    await chat.page.get_by_role("button", name="Copy link").click()
    await expect(chat.page.get_by_role("button", name="Copied")).to_be_visible()
    assert await chat.page.evaluate("navigator.clipboard.readText()") == address
    await chat.page.keyboard.press("Escape")
    await chat.ends(await chat.ask("n=2 said later"), "n=2")

    guest = await open_page(stage.url, address.removeprefix(stage.url))
    await expect(guest.page.get_by_role("heading", level=1)).to_have_text(prompt)
    await expect(guest.page.get_by_role("article")).to_have_count(2)
    await expect(guest.page.locator("meta[name=robots]")).to_have_attribute("content", "noindex, nofollow")
    await expect(guest.page.locator("meta[property='og:title']")).to_have_attribute("content", prompt)
    assert await guest.page.context.cookies() == []
    guest.calm()

    await choose(chat, "to be shared", "Share")
    await chat.page.get_by_role("button", name="Stop sharing").press("Enter")
    await expect(chat.page.get_by_text("The link leads nowhere now.")).to_be_focused()
    response = await guest.page.goto(address)
    assert response is not None
    assert response.status == 404
    chat.calm()


async def test_files(chat: ChatPage) -> None:
    prompt = 'n=4 a "quoted" title; and ümlauts'
    await chat.ends(await chat.ask(prompt), prompt)
    for item, ending in (("Export as Markdown", "md"), ("Export as JSON", "json")):
        async with chat.page.expect_download() as waiting:
            await choose(chat, "quoted", item)
        download = await waiting.value
        assert download.suggested_filename == f"n_4 a _quoted_ title_ and ümlauts.{ending}"
        text = (await download.path()).read_text()
        assert prompt in (json.loads(text)["messages"][0]["text"] if ending == "json" else text)
    response = await chat.page.context.request.get(f"{chat.page.url}/export.md")
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"].startswith("attachment; filename=")
    chat.calm()


async def test_paper_shows_the_conversation_only(chat: ChatPage) -> None:
    await chat.ends(await chat.ask("n=4 to be printed"), "n=4")
    await chat.page.emulate_media(media="print")
    await expect(chat.articles).to_have_count(2)
    for hidden in (
        chat.prompt,
        chat.page.get_by_role("navigation"),
        chat.page.get_by_role("button", name="Copy"),
    ):
        await expect(hidden).to_have_count(0)


async def test_it_can_be_installed(chat: ChatPage) -> None:
    href = await chat.page.locator("link[rel=manifest]").get_attribute("href")
    assert href
    manifest = await (await chat.page.context.request.get(chat.base + href)).json()
    assert manifest["start_url"] == "/"
    for icon in manifest["icons"]:
        response = await chat.page.context.request.get(
            chat.base + href.rpartition("/")[0] + "/" + icon["src"]
        )
        assert (response.status, response.headers["content-type"]) == (200, icon["type"])
    session = await chat.page.context.new_cdp_session(chat.page)
    found = await session.send("Page.getAppManifest")
    assert found["errors"] == []
