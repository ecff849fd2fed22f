"""An answer from the question to its end, and nothing in its text that comes alive."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.conftest import Stage
from tests.support.page import ChatPage
from tests.support.script import KINDS


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_a_question_in_a_new_chat(chat: ChatPage, stage: Stage, kind: str) -> None:
    prompt = f"n=120 rate=150 kind={kind} seed=3 fault=stall@60"
    await expect(chat.page).to_have_title("New chat")
    answer = await chat.ask(prompt)

    await chat.grown(answer, 10)
    await expect(chat.page).to_have_url(f"{stage.url}/chats/{chat.chat_id}")
    await expect(chat.page).to_have_title(f"{prompt} · Chat")
    question = chat.articles.first
    await expect(question).to_have_attribute("data-role", "user")
    await expect(question.locator('[data-part="body"]')).to_have_text(prompt)
    await expect(chat.article(answer)).to_have_attribute("data-status", "running")
    await expect(chat.article(answer)).to_have_attribute("aria-busy", "true")
    link = chat.page.get_by_role("navigation", name="Chats").get_by_role("link", name=prompt)
    await expect(link).to_have_attribute("aria-current", "page")
    await expect(link).to_have_attribute("data-running", "")
    await expect(chat.stop).to_be_visible()
    await expect(chat.send).to_have_count(0)

    stage.provider.release()
    await chat.ends(answer, prompt)
    await expect(chat.stop).to_have_count(0)
    await expect(link).not_to_have_attribute("data-running", "")
    assert await chat.page.locator("[hx-sse\\:connect]").count() == 0
    assert len(chat.streams) == 1
    chat.calm()


async def test_no_stream_is_asked_for_after_the_end(chat: ChatPage, stage: Stage) -> None:
    answer = await chat.ask("n=20 rate=200 fault=hold")
    await chat.streamed(1)
    stage.provider.release()
    await chat.ends(answer, "n=20 rate=200")
    await chat.page.wait_for_timeout(1500)  # that nothing happens can only be waited for
    assert len(chat.streams) == 1
    await chat.reload()
    await chat.page.wait_for_timeout(500)
    assert len(chat.streams) == 1
    chat.calm()


async def test_several_questions_in_one_chat(chat: ChatPage) -> None:
    first, second = "n=30 rate=300 kind=markdown", "n=30 rate=300 kind=hostile seed=2"
    answers = [await chat.ask(first)]
    await chat.ends(answers[0], first)
    url = chat.page.url
    answers.append(await chat.ask(second))
    await chat.ends(answers[1], second)
    assert chat.page.url == url
    await chat.reload()
    await chat.ends(answers[0], first)
    await chat.ends(answers[1], second)
    await expect(chat.articles).to_have_count(4)
    chat.calm()


async def test_hostile_questions_are_text(chat: ChatPage) -> None:
    prompt = "n=3 <img src=x onerror=alert(1)><script>alert(1)</script> {{ 7*7 }}\n</title> &amp; 'q'"
    title = prompt.replace("\n", " ")[:59].rsplit(" ", 1)[0] + "… · Chat"
    answer = await chat.ask(prompt)
    await chat.ends(answer, prompt)
    for _ in range(2):
        body = chat.articles.first.locator('[data-part="body"]')
        assert await body.evaluate("e => e.textContent") == prompt
        assert await chat.page.title() == title
        await chat.reload()
    chat.calm()


async def test_an_answer_that_fails_says_why(chat: ChatPage) -> None:
    answer = await chat.ask("n=5 status=401")
    article = chat.article(answer)
    await expect(article).to_have_attribute("data-status", "failed")
    await expect(article.locator("footer")).not_to_be_empty()
    note = await article.locator("footer").inner_text()
    assert "sk-test" not in note
    await expect(chat.send).to_be_visible()
    await chat.reload()
    await expect(article.locator("footer")).to_have_text(note)
    again = await chat.ask("n=5")
    await chat.ends(again, "n=5")
    chat.calm()


async def test_an_answer_that_breaks_off_keeps_its_text(chat: ChatPage) -> None:
    prompt = "n=60 rate=300 kind=emoji fault=rst@40"
    answer = await chat.ask(prompt)
    text = await chat.ends(answer, prompt, "interrupted")
    assert len(text) > 40
    await expect(chat.article(answer).locator("footer")).to_contain_text("Interrupted: ")
    await chat.reload()
    assert await chat.ends(answer, prompt, "interrupted") == text
    chat.calm()


async def test_back_and_forward_show_the_chat_as_it_is(chat: ChatPage, stage: Stage) -> None:
    answer = await chat.ask("n=40 rate=400 fault=stall@20")
    await chat.grown(answer, 20)
    await chat.page.go_back()
    await expect(chat.page).to_have_url(f"{stage.url}/")
    await expect(chat.articles).to_have_count(0)
    stage.provider.release()
    await chat.page.go_forward()
    await chat.ends(answer, "n=40 rate=400")
    chat.calm()


async def test_a_foreign_chat_is_not_there(chat: ChatPage, open_page: Open, stage: Stage) -> None:
    await chat.ask("n=2")
    bob = await open_page(stage.url, f"/chats/{chat.chat_id}")
    await expect(bob.page.get_by_role("heading", level=1)).to_contain_text("no such chat")
    await expect(bob.page.get_by_role("link", name="Back to a new chat")).to_be_visible()
    await expect(bob.page.get_by_role("article")).to_have_count(0)
