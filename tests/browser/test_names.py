"""The names by which a screen reader, or a program, finds its way: roles, labels and data attributes."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.conftest import Stage
from tests.support.page import ChatPage

FOCUSED = """() => {
  const e = document.activeElement;
  return e === document.body ? '' : e.ariaLabel ?? (e.labels?.[0] ?? e).textContent.trim();
}"""


async def test_a_new_chat(chat: ChatPage) -> None:
    page = chat.page
    await expect(page.get_by_role("log", name="Conversation", exact=True)).to_have_count(1)
    await expect(page.get_by_role("textbox", name="Message", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    chats = page.get_by_role("navigation", name="Chats", exact=True)
    await expect(chats.get_by_role("link", name="New chat", exact=True)).to_be_visible()
    await expect(page.get_by_role("status")).to_have_count(1)
    await expect(page.get_by_role("status")).to_be_empty()
    await expect(page.get_by_role("main")).to_have_count(1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("New chat")


async def test_a_chat(chat: ChatPage, stage: Stage) -> None:
    page = chat.page
    first = await chat.ask("n=2 the first chat")
    await chat.ends(first, "n=2")
    await page.get_by_role("link", name="New chat").click()
    await expect(chat.articles).to_have_count(0)
    answer = await chat.ask("n=20 rate=100 fault=stall@10 the second chat")
    for loaded in (False, True):
        if loaded:
            await chat.reload()
        await expect(chat.articles).to_have_count(2)
        question = page.get_by_role("article", name="You said")
        await expect(question).to_have_attribute("data-role", "user")
        await expect(question).to_have_attribute("data-status", "completed")
        reply = page.get_by_role("article", name="Assistant said")
        await expect(reply).to_have_attribute("data-role", "assistant")
        await expect(reply).to_have_attribute("data-message-id", answer)
        await expect(reply).to_have_attribute("data-status", "running")
        await expect(reply).to_have_attribute("aria-busy", "true")
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
        links = page.get_by_role("navigation", name="Chats").get_by_role("listitem").get_by_role("link")
        await expect(links).to_have_count(2)
        await expect(links.nth(0)).to_contain_text("the second chat")
        await expect(links.nth(0)).to_have_attribute("aria-current", "page")
        await expect(links.nth(0)).to_have_attribute("data-running", "")
        await expect(links.nth(1)).not_to_have_attribute("aria-current", "page")
        await expect(links.nth(1)).not_to_have_attribute("data-running", "")
    stage.provider.release()
    await chat.ends(answer, "n=20")
    await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    await page.get_by_role("link", name="the first chat").click()
    assert await chat.answer() == first
    chat.calm()


async def test_a_page_that_is_not_there(chat: ChatPage) -> None:
    response = await chat.page.goto(f"{chat.base}/chats/{'0' * 32}")
    assert response is not None
    assert response.status == 404
    await expect(chat.page.get_by_role("heading", level=1)).to_be_visible()
    await chat.page.get_by_role("link", name="Back to a new chat").click()
    await expect(chat.prompt).to_be_visible()


async def test_the_keyboard_reaches_everything(chat: ChatPage) -> None:
    await chat.ends(await chat.ask("n=2 a chat"), "n=2")
    page = chat.page
    reached: list[str] = []
    while (name := await page.evaluate(FOCUSED)) not in reached:
        reached.append(name)
        await page.keyboard.press("Tab")
    start = reached.index("Skip to the message box")  # the round began at the message box
    around = [name for name in reached[start:] + reached[:start] if name]
    # fmt: off
    assert around == [
        "Skip to the message box", "New chat", "Search chats", "n=2 a chat", "Chat options",
        "Preferences", "Keyboard shortcuts", "Edit", "Copy", "Regenerate",
        "Message", "Send", "Model", "Stream the answer", "Chat settings",
    ]
    # fmt: on
    await page.get_by_role("link", name="Skip to the message box").focus()
    await page.keyboard.press("Enter")
    await expect(chat.prompt).to_be_focused()


async def test_the_keyboard_in_a_narrow_window(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url, viewport={"width": 320, "height": 568})
    await chat.ends(await chat.ask("n=2 a chat"), "n=2")
    show = chat.page.get_by_role("button", name="Show chats")
    await show.focus()
    await chat.page.keyboard.press("Enter")
    link = chat.page.get_by_role("link", name="New chat")
    await expect(link).to_be_visible()
    await chat.page.keyboard.press("Tab")
    await expect(link).to_be_focused()
    await chat.page.keyboard.press("Escape")
    await expect(link).to_be_hidden()
    await expect(show).to_be_focused()
    await chat.page.keyboard.press("Enter")
    await chat.page.keyboard.press("Tab")
    await chat.page.keyboard.press("Enter")
    await expect(chat.page).to_have_url(f"{stage.url}/")


async def test_nothing_scrolls_sideways_at_320_pixels(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url, viewport={"width": 320, "height": 568})

    async def fits() -> None:
        assert await chat.page.evaluate("document.documentElement.scrollWidth") <= 320

    await fits()
    long_word = "x" * 400
    answer = await chat.ask(f"n=60 rate=300 kind=hostile fault=stall@40 {long_word}")
    await chat.grown(answer, 100)
    await fits()
    stage.provider.release()
    await chat.ends(answer, "n=60 kind=hostile")
    # A word of a million characters takes a browser seconds to lay out, each time.
    answer = await chat.ask("n=40 kind=markdown fault=big@20000")
    await chat.ends(answer, "n=40 kind=markdown fault=big@20000")
    await fits()
    failed = await chat.ask(f"status=401 {long_word}")
    await expect(chat.article(failed)).to_have_attribute("data-status", "failed")
    await chat.prompt.fill(long_word * 81)
    await chat.prompt.press("Enter")
    await expect(chat.error).not_to_be_empty()
    await fits()
    await chat.page.get_by_role("button", name="Show chats").click()
    await expect(chat.page.get_by_role("link", name="New chat")).to_be_in_viewport()
    await fits()
    await chat.page.goto(f"{stage.url}/chats/nothing")
    await fits()
