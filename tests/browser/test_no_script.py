"""Without JavaScript the forms post and the links lead somewhere."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.conftest import Stage
from tests.support.markdown import shown_live, shown_whole
from tests.support.page import ChatPage
from tests.support.script import Script


@pytest.fixture
async def plain(stage: Stage, open_page: Open) -> ChatPage:
    return await open_page(stage.url, java_script_enabled=False)


async def ended(plain: ChatPage) -> str:
    """Wait for the end of the one answer: until then the page loads itself again, whatever one does in it."""
    answer = await plain.answer()
    await expect(plain.article(answer)).to_have_attribute("data-status", "completed")
    return answer


async def test_ask_look_again_and_read_to_the_end(plain: ChatPage, stage: Stage) -> None:
    prompt = "n=60 rate=300 kind=hostile fault=stall@30"
    begun = await shown_live("".join(Script.parse(prompt).chunks()[:30]))
    await plain.prompt.fill(prompt)
    await plain.send.click()
    answer = await plain.answer()
    await expect(plain.page).to_have_url(f"{stage.url}/chats/{plain.chat_id}")
    # The page loads itself again while the answer runs.
    await expect(plain.body(answer)).to_have_text(begun, use_inner_text=False)
    assert await plain.text(answer) == begun
    await expect(plain.article(answer)).to_have_attribute("data-status", "running")
    await expect(plain.stop).to_be_visible()
    stage.provider.release()
    await expect(plain.article(answer)).to_have_attribute("data-status", "completed")
    assert await plain.text(answer) == shown_whole(Script.parse(prompt).text)
    await expect(plain.send).to_be_visible()
    assert not plain.streams

    await plain.prompt.fill("n=3 second")
    await plain.send.click()
    second = await plain.answer(4)
    await expect(plain.article(second)).to_have_attribute("data-status", "completed")
    assert await plain.text(second) == shown_whole(Script.parse("n=3").text)
    assert not plain.faults


async def test_stop(plain: ChatPage) -> None:
    await plain.prompt.fill("n=2000 rate=50")
    await plain.send.click()
    answer = await plain.answer()
    await plain.stop.click()
    await expect(plain.article(answer)).to_have_attribute("data-status", "stopped")
    await expect(plain.article(answer).locator("footer")).to_have_text("Stopped by you")
    assert await plain.text(answer) == shown_whole((await plain.message(answer))["text"])


async def test_a_refused_question_stays_in_the_composer(plain: ChatPage) -> None:
    prompt = "\nn=2 <b>" + "x" * 32_000
    await plain.prompt.fill(prompt)
    await plain.send.click()
    await expect(plain.error).to_contain_text("This is too long")
    await expect(plain.prompt).to_have_value(prompt)
    await expect(plain.articles).to_have_count(0)
    await plain.prompt.fill("n=2 again")
    await plain.send.click()
    answer = await plain.answer()
    await expect(plain.article(answer)).to_have_attribute("data-status", "completed")
    await expect(plain.error).to_be_empty()


async def test_a_question_while_another_is_answered_is_kept(plain: ChatPage, stage: Stage) -> None:
    await plain.prompt.fill("n=2")
    await plain.send.click()
    answer = await plain.answer()
    await expect(plain.article(answer)).to_have_attribute("data-status", "completed")
    path = f"/api/chats/{plain.chat_id}/messages"
    begun = await plain.page.context.request.post(plain.base + path, data={"prompt": "n=3 fault=hold"})
    assert begun.status == 201
    await plain.prompt.fill("n=4 mine")
    await plain.send.click()
    await expect(plain.error).to_contain_text("An answer is still running in this chat")
    await expect(plain.prompt).to_have_value("n=4 mine")
    await expect(plain.articles).to_have_count(4)
    stage.provider.release()


async def test_the_list_of_chats_on_a_phone(stage: Stage, open_page: Open) -> None:
    phone = await open_page(
        stage.url, java_script_enabled=False, viewport={"width": 390, "height": 844}, has_touch=True
    )
    await phone.prompt.fill("n=2 first chat")
    await phone.send.click()
    await ended(phone)
    link = phone.page.get_by_role("link", name="New chat")
    await expect(link).to_be_hidden()
    await phone.page.get_by_role("button", name="Show chats").click()
    await link.click()
    await expect(phone.page).to_have_url(f"{stage.url}/")
    await phone.page.get_by_role("button", name="Show chats").click()
    await phone.page.get_by_role("link", name="n=2 first chat").click()
    await expect(phone.articles).to_have_count(2)


async def test_versions_and_edit(plain: ChatPage) -> None:
    page = plain.page
    await plain.prompt.fill("n=3 first")
    await plain.send.click()
    first = await ended(plain)
    await page.get_by_role("button", name="Regenerate").click()
    await expect(plain.articles.last).to_contain_text("2 / 2")
    await ended(plain)
    await page.get_by_role("button", name="Previous version").click()
    await expect(plain.article(first)).to_contain_text("1 / 2")

    await page.get_by_role("button", name="Edit").click()
    box = page.get_by_role("textbox", name="Edit the question")
    await expect(box).to_have_value("n=3 first")
    await box.fill("n=4 second")
    await page.get_by_role("button", name="Save", exact=True).first.click()
    await expect(plain.articles.first).to_contain_text("n=4 second")
    await expect(plain.articles.first).to_contain_text("2 / 2")
    await ended(plain)
    await page.get_by_role("button", name="Previous version").first.click()
    await expect(plain.articles.first).to_contain_text("n=3 first")
    await expect(plain.articles.last).to_contain_text("2 / 2")  # the newest below it
    assert not plain.faults


async def test_continue(plain: ChatPage, stage: Stage) -> None:
    await plain.prompt.fill("n=60 fault=stall@20")
    await plain.send.click()
    answer = await plain.answer()
    await expect(plain.body(answer)).not_to_be_empty()
    await plain.stop.click()
    await expect(plain.article(answer)).to_have_attribute("data-status", "stopped")
    before = (await plain.message(answer))["text"]
    await plain.page.get_by_role("button", name="Continue").click()
    stage.provider.release()
    await expect(plain.article(answer)).to_have_attribute("data-status", "completed")
    assert before
    assert (await plain.message(answer))["text"] == Script.parse("n=60").text


async def test_settings(plain: ChatPage, stage: Stage) -> None:
    page = plain.page
    await page.get_by_role("checkbox", name="Stream the answer").uncheck()
    await page.get_by_role("textbox", name="System prompt").fill("Be brief.")
    await plain.prompt.fill("n=3 whole")
    await plain.send.click()
    answer = await plain.answer()
    await expect(plain.article(answer)).to_have_attribute("data-status", "completed")
    assert stage.provider.calls[-1].messages[0]["content"] == "Be brief."
    await expect(page.get_by_role("checkbox", name="Stream the answer")).not_to_be_checked()
    await page.get_by_role("button", name="Chat settings").click()
    await page.get_by_role("spinbutton", name="Temperature").fill("0.3")
    await page.get_by_role("textbox", name="System prompt").fill("Be long.")
    await page.get_by_role("button", name="Save", exact=True).click()
    await plain.prompt.fill("n=4 whole")
    await plain.send.click()
    await expect(plain.article(await plain.answer(4))).to_have_attribute("data-status", "completed")
    call = stage.provider.calls[-1]
    assert call.messages[0]["content"] == "Be long."
    assert call.body["temperature"] == 0.3
