"""What is typed is kept, per chat and over reloads; and the reader is told how long an answer lets wait."""

from __future__ import annotations

from playwright.async_api import expect

from tests.conftest import Stage
from tests.support.page import ChatPage


async def test_each_chat_has_its_draft(chat: ChatPage, stage: Stage) -> None:
    await chat.ends(await chat.ask("n=2"), "n=2")
    await chat.page.keyboard.type("for this chat")
    await chat.page.goto(stage.url)  # at once: what was typed last is kept too
    await expect(chat.prompt).to_have_value("")
    await chat.page.keyboard.type("n=3 for a new one")
    await chat.page.go_back()
    await expect(chat.prompt).to_have_value("for this chat")
    await chat.reload()
    await expect(chat.prompt).to_have_value("for this chat")
    await chat.page.goto(stage.url)
    await expect(chat.prompt).to_have_value("n=3 for a new one")
    await chat.prompt.press("Enter")
    await chat.ends(await chat.answer(), "n=3")
    await chat.reload()
    await expect(chat.prompt).to_have_value("")
    await chat.page.goto(stage.url)
    await expect(chat.prompt).to_have_value("")
    chat.calm()


async def test_sending_while_an_answer_runs_says_why_not(chat: ChatPage, stage: Stage) -> None:
    answer = await chat.ask("n=20 fault=hold")
    await chat.page.keyboard.type("n=2 the next one")
    await chat.page.keyboard.press("Enter")
    await expect(chat.error).to_contain_text("An answer is still running. Your text is kept")
    await expect(chat.prompt).to_have_value("n=2 the next one")
    stage.provider.release()
    await chat.ends(answer, "n=20")
    await expect(chat.error).to_be_empty()
    await expect(chat.prompt).to_have_value("n=2 the next one")
    chat.calm()


async def test_waiting_is_said_in_stages(chat: ChatPage, stage: Stage) -> None:
    said = chat.page.locator("#said")
    answer = await chat.ask("n=20 fault=hold")
    shown = "e => getComputedStyle(e, '::before').content"
    await expect(said).to_have_text("Waiting…")
    assert "Waiting…" in await chat.body(answer).evaluate(shown)
    await chat.article(answer).evaluate("e => { e.dataset.waited = 70; }")
    clone = "e => { const copy = e.cloneNode(true); e.replaceWith(copy); }"  # as if the page had come anew
    await chat.article(answer).evaluate(clone)
    await expect(said).to_have_text("Still waiting…")
    assert "1 min 1" in await chat.body(answer).evaluate(shown)
    stage.provider.release()
    await chat.ends(answer, "n=20")
    await expect(said).to_have_text("Answer finished")
    chat.calm()
