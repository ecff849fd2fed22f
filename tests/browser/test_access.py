"""Everybody can use it: axe looks at every page, in both themes, and keys do what the pointer does."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Open
from tests.browser.test_sidebar import choose, link
from tests.conftest import Stage

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


async def look(page: Page, where: str) -> None:
    """Fail on everything that axe finds."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    # What fades is judged when it has.
    fades = "document.getAnimations().filter((a) => a instanceof CSSTransition)"
    await page.evaluate(f"Promise.allSettled({fades}.map((a) => a.finished))")
    found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert found["passes"], "axe has not looked"
    wrong = [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found["violations"]]
    assert wrong == [], where


async def can_be_hit(link: Locator) -> None:
    box = await link.bounding_box()
    assert box is not None
    assert box["height"] >= 24


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["wide", "phone"])
@pytest.mark.timeout(120)
async def test_axe_finds_nothing(stage: Stage, open_page: Open, theme: str, size: tuple[int, int]) -> None:
    chat = await open_page(
        stage.url,
        color_scheme=theme,
        viewport={"width": size[0], "height": size[1]},
        reduced_motion="reduce",
        bypass_csp=True,
    )
    page = chat.page
    await look(page, "new")
    answer = await chat.ask("n=400 kind=markdown rate=400 fault=stall@60")
    await chat.grown(answer, 60)
    await look(page, "running")
    stage.provider.release()
    await expect(chat.send).to_be_visible()
    await look(page, "finished")
    await page.get_by_role("button", name="Edit").click()
    await look(page, "edit")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Chat settings").click()
    await look(page, "settings")
    await page.keyboard.press("Escape")
    await chat.ask("status=401")
    await expect(chat.article(await chat.answer(4))).to_have_attribute("data-status", "failed")
    await look(page, "failed")
    if size[0] < 768:
        await page.get_by_role("button", name="Show chats").click()
        await look(page, "drawer")
    await page.get_by_role("button", name="Preferences").click()
    await look(page, "preferences")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    await look(page, "shortcuts")
    await page.keyboard.press("Escape")
    if size[0] < 768:
        await page.get_by_role("button", name="Show chats").click()
    await page.get_by_role("searchbox").fill("kind")
    await expect(page.locator("mark").first).to_be_visible()
    await look(page, "search")
    await page.get_by_role("searchbox").fill("")
    await expect(page.locator("mark")).to_have_count(0)
    await choose(chat, "kind=markdown", "Share")
    await expect(page.get_by_role("dialog", name="Share this chat")).to_be_visible()
    await look(page, "share dialog")
    shared = await page.get_by_role("textbox", name="Link").input_value()
    await page.keyboard.press("Escape")
    address = page.url.split("?")[0]
    for path in (
        f"{address}/options",
        shared,
        f"{stage.url}/setup",
        f"{stage.url}/chats?q=kind",
        f"{stage.url}/chats/no",
    ):
        await page.goto(path)
        await look(page, path)
        if path == shared:
            await can_be_hit(page.get_by_role("link", name="Start a chat"))
    await page.goto(address)
    if size[0] < 768:
        await page.get_by_role("button", name="Show chats").click()
    await choose(chat, "kind=markdown", "Delete")
    await expect(page.get_by_text("This chat is deleted.")).to_be_visible()
    await look(page, "deleted")
    await can_be_hit(page.get_by_role("main").get_by_role("link", name="New chat"))


@pytest.mark.parametrize("path", ["/setup", "/chats/no"])
async def test_what_leads_back_can_be_hit(stage: Stage, open_page: Open, path: str) -> None:
    chat = await open_page(stage.url, path)
    await can_be_hit(chat.page.get_by_role("link", name="Back to"))


async def test_focus_is_seen_where_colours_are_forced(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url, forced_colors="active")
    for box in (chat.prompt, chat.page.get_by_role("searchbox"), chat.page.get_by_label("Temperature")):
        await box.focus()
        await expect(box).to_have_css("outline-style", "solid")


async def test_keys(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url)
    page = chat.page
    await chat.ends(await chat.ask("n=2 a chat"), "n=2")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    await page.keyboard.type("really?")
    await expect(dialog).to_be_hidden()
    await page.keyboard.press("Control+/")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await page.get_by_role("button", name="Keyboard shortcuts").click()
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await link(chat, "a chat").focus()
    await page.keyboard.press("?")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    menu = page.get_by_role("menu", name="Chat options")
    await expect(menu.get_by_role("menuitem", name="Rename")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(menu.get_by_role("menuitem", name="Delete")).to_be_focused()
    await page.keyboard.press("Escape")
    # Who types fast has the menu's keys at once.
    button = page.get_by_role("button", name="Chat options")
    both = "e => (e.click(), document.activeElement.textContent.trim())"
    assert await button.evaluate(both) == "Rename"
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Escape")
    await expect(menu).to_be_hidden()
    await expect(page.get_by_role("button", name="Chat options")).to_be_focused()
    await page.keyboard.press("Control+Shift+O")
    await expect(page).to_have_url(f"{stage.url}/")
    chat.calm()
