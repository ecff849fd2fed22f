"""The settings of a chat: with the first question, saved later, and an answer that appears whole."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.conftest import Stage
from tests.support.page import ChatPage


async def stored(page: Page) -> None:
    """Wait until the settings say that they are saved."""
    await expect(page.locator("#saved")).to_have_text("Saved")


async def test_a_new_chat_with_all_of_them(chat: ChatPage, stage: Stage) -> None:
    page = chat.page
    await expect(page.get_by_role("combobox", name="Model")).to_have_value("scripted")
    await expect(page.get_by_role("checkbox", name="Stream the answer")).to_be_checked()
    await page.get_by_role("button", name="Redis", exact=True).click()
    await expect(page.get_by_role("textbox", name="System prompt")).to_have_value(
        "You are an expert in Redis."
    )
    await page.get_by_role("spinbutton", name="Temperature").fill("0.5")
    await page.get_by_role("spinbutton", name="Maximum length").fill("77")
    answer = await chat.ask("n=3 with settings")
    await chat.ends(answer, "n=3")
    body = stage.provider.calls[-1].body
    assert body["messages"][0] == {"role": "system", "content": "You are an expert in Redis."}
    assert body["temperature"] == 0.5
    assert 77 in (body.get("max_tokens"), body.get("max_completion_tokens"))

    await page.get_by_role("button", name="Chat settings").click()
    system = page.get_by_role("textbox", name="System prompt")
    await expect(system).to_have_value("You are an expert in Redis.")
    await system.fill("Be brief.")
    await system.blur()
    await stored(page)
    await page.keyboard.press("Escape")
    await chat.reload()
    await chat.ends(await chat.ask("n=4 again"), "n=4")
    assert stage.provider.calls[-1].messages[0]["content"] == "Be brief."
    chat.calm()


async def test_a_wrong_value_is_refused_in_words(chat: ChatPage) -> None:
    await chat.page.get_by_role("spinbutton", name="Temperature").evaluate("e => { e.max = 9; e.value = 5; }")
    await chat.prompt.fill("n=3")
    await chat.prompt.press("Enter")
    await expect(chat.error).not_to_be_empty()
    await expect(chat.prompt).to_have_value("n=3")
    await expect(chat.articles).to_have_count(0)


async def test_not_streamed_it_appears_whole(chat: ChatPage, stage: Stage) -> None:
    prompt = "n=60 rate=400 kind=markdown fault=stall@30"
    await chat.page.get_by_role("checkbox", name="Stream the answer").uncheck()
    answer = await chat.ask(prompt)
    await stage.provider.until(lambda: any(call.sent == 30 for call in stage.provider.calls))
    for _ in range(2):
        await expect(chat.article(answer)).to_have_attribute("data-status", "running")
        assert await chat.text(answer) == ""
        await chat.page.wait_for_timeout(500)
        await chat.reload()
    stage.provider.release()
    await expect(chat.article(answer)).to_have_attribute("data-status", "completed")
    await expect(chat.article(answer).locator(".details")).to_contain_text(" s · finished")
    shown = {sample.text for sample in chat.samples if sample.message_id == answer}
    assert len(shown - {""}) == 1, "nothing, then all of it"
    live = await chat.html(answer)
    await chat.reload()
    assert await chat.html(answer) == live
    await expect(chat.page.get_by_role("checkbox", name="Stream the answer")).not_to_be_checked()
    chat.calm()


async def test_the_switch_is_saved_at_once(chat: ChatPage) -> None:
    await chat.ends(await chat.ask("n=3"), "n=3")
    switch = chat.page.get_by_role("checkbox", name="Stream the answer")
    await switch.uncheck()
    await expect(chat.page.locator("#saved")).to_have_text("Saved")
    await chat.reload()
    await expect(switch).not_to_be_checked()
    await switch.check()
    await expect(chat.page.locator("#saved")).to_have_text("Saved")
    await chat.reload()
    await expect(switch).to_be_checked()
    chat.calm()


async def test_another_tab_knows_them(chat: ChatPage, stage: Stage) -> None:
    """Its own change would take back what was changed elsewhere: the form sends them all."""
    await chat.ends(await chat.ask("n=2"), "n=2")
    other = await ChatPage.open(chat.page.context, chat.base, f"/chats/{chat.chat_id}")
    typing = await ChatPage.open(chat.page.context, chat.base, f"/chats/{chat.chat_id}")
    await typing.page.get_by_role("button", name="Chat settings").click()
    await typing.page.get_by_role("spinbutton", name="Temperature").fill("1.5")
    await chat.page.get_by_role("button", name="Chat settings").click()
    await chat.page.get_by_role("textbox", name="System prompt").fill("Be brief.")
    await chat.page.get_by_role("textbox", name="System prompt").blur()
    await stored(chat.page)
    await expect(other.page.locator("#system")).to_have_value("Be brief.")
    await expect(typing.page.get_by_role("spinbutton", name="Temperature")).to_have_value("1.5")
    await expect(typing.page.get_by_role("spinbutton", name="Temperature")).to_be_focused()
    await other.page.get_by_role("checkbox", name="Stream the answer").uncheck()
    await stored(other.page)
    await chat.page.keyboard.press("Escape")
    await chat.ends(await chat.ask("n=3"), "n=3")
    assert stage.provider.calls[-1].messages[0]["content"] == "Be brief."
    for tab in (chat, other, typing):
        tab.calm()
