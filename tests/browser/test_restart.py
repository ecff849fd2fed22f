"""The server goes away in the middle of an answer and comes back: nothing shown is lost."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.support.page import ChatPage
from tests.support.processes import ServerProcess
from tests.support.provider import ScriptedProvider

PROMPT = "n=2000 rate=60 kind=markdown"


async def check_interrupted(chat: ChatPage, answer: str) -> None:
    """The page that lived through it shows what is saved, and the chat goes on."""
    text = await chat.ends(answer, PROMPT, "interrupted", timeout=30)
    note = chat.article(answer).locator("footer")
    await expect(note).to_contain_text("Interrupted: ")
    await expect(chat.connection).to_have_text("")
    following = await chat.ask("n=40 rate=200 kind=emoji")
    await chat.ends(following, "n=40 rate=200 kind=emoji")
    await chat.reload()
    assert await chat.ends(answer, PROMPT, "interrupted") == text
    await expect(chat.articles).to_have_count(4)
    chat.calm(network=True)


async def test_terminated_and_started_again(server: ServerProcess, open_page: Open) -> None:
    chat = await open_page(server.url)
    answer = await chat.ask(PROMPT)
    await chat.grown(answer, 100)
    await server.restart()
    await check_interrupted(chat, answer)


@pytest.mark.timeout(90)
async def test_killed_and_started_again(server: ServerProcess, open_page: Open) -> None:
    chat = await open_page(server.url)
    answer = await chat.ask(PROMPT)
    await chat.grown(answer, 100)
    server.kill()
    before = await chat.text(answer)
    await expect(chat.connection).to_have_text("Reconnecting…")
    assert await chat.text(answer) == before
    server.start()
    await check_interrupted(chat, answer)


async def test_an_answer_that_is_nearly_done_ends_before_the_server_does(
    server: ServerProcess, open_page: Open
) -> None:
    prompt = "n=120 rate=80 kind=hostile"
    chat = await open_page(server.url)
    answer = await chat.ask(prompt)
    await chat.grown(answer, 50)
    await server.restart()
    await server.wait_ready()
    await chat.ends(answer, prompt)
    chat.calm(network=True)


async def test_an_answer_that_had_no_word_yet_begins_again(
    server: ServerProcess, open_page: Open, provider: ScriptedProvider
) -> None:
    prompt = "n=60 rate=300 fault=hold"
    chat = await open_page(server.url)
    answer = await chat.ask(prompt)
    await provider.until(lambda: provider.calls)
    await server.restart()
    await provider.until(lambda: len(provider.calls) == 2, timeout=30)
    provider.release()
    await chat.ends(answer, prompt)
    chat.calm(network=True)


async def test_a_question_while_the_server_is_away_is_kept(server: ServerProcess, open_page: Open) -> None:
    chat = await open_page(server.url)
    server.kill()
    await chat.prompt.fill("n=20 rate=200")
    await chat.prompt.press("Enter")
    await expect(chat.error).to_have_text("The server could not be reached. Your text is kept.")
    await expect(chat.prompt).to_have_value("n=20 rate=200")
    server.start()
    await server.wait_ready()
    await chat.prompt.press("Enter")
    answer = await chat.answer()
    await expect(chat.error).to_be_empty()
    await expect(chat.prompt).to_have_value("")
    await chat.ends(answer, "n=20 rate=200")
    chat.calm(network=True)
