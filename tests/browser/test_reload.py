"""Reload, at any moment: the words are there again at once, and the answer goes on."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.conftest import Stage
from tests.support.page import ChatPage, poll
from tests.support.proxy import FaultProxy


@pytest.mark.parametrize("kind", ["hostile", "surrogate"])
async def test_at_twelve_moments_of_one_answer(chat: ChatPage, stage: Stage, kind: str) -> None:
    # Long enough for twelve reloads on a busy machine.
    prompt = f"n=1000 rate=25 kind={kind} seed=5 first=0.2"
    answer = await chat.ask(prompt)
    for number in range(12):
        await chat.grown(answer, len(await chat.text(answer)) + number % 4)
        await chat.reload()
    await expect(chat.article(answer)).to_have_attribute("data-status", "running")
    stage.provider.hurry()
    await chat.ends(answer, prompt)
    await chat.reload()
    await chat.ends(answer, prompt)
    assert len({sample.page for sample in chat.samples}) == 14
    chat.calm()


async def test_before_the_first_word(chat: ChatPage, stage: Stage) -> None:
    answer = await chat.ask("n=50 rate=200 fault=hold")
    for _ in range(3):
        await chat.reload()
        await expect(chat.article(answer)).to_have_attribute("aria-busy", "true")
        assert await chat.text(answer) == ""
        await expect(chat.stop).to_be_visible()
    stage.provider.release()
    await chat.ends(answer, "n=50 rate=200")
    chat.calm()


async def test_directly_after_sending(far: ChatPage, proxy: FaultProxy) -> None:
    """The question has left, no answer to it has come: the chat is in the list after the reload."""
    prompt = "n=50 rate=200"
    proxy.delay(0.2)
    await far.prompt.fill(prompt)
    await far.prompt.press("Enter")

    async def sent() -> bool:
        return any(request.method == "POST" for request in proxy.requests)

    await poll(sent, "the question on its way")
    await far.page.reload()
    proxy.heal()
    link = far.page.get_by_role("link", name=prompt)

    async def listed() -> bool:
        await far.page.reload()
        return await link.count() == 1

    await poll(listed, "the chat in the list")
    await link.click()
    await far.ends(await far.answer(), prompt)
    far.calm(network=True)


async def test_while_it_stands_still(chat: ChatPage, stage: Stage) -> None:
    """Nothing new comes while the page loads: what it shows is exactly what was there, not a word more."""
    prompt = "n=80 rate=400 kind=emoji fault=stall@40"
    answer = await chat.ask(prompt)
    await chat.stands_at(answer, prompt, 40)
    begun = await chat.text(answer)
    for _ in range(3):
        await chat.reload()
        assert await chat.text(answer) == begun
    stage.provider.release()
    await chat.ends(answer, prompt)
    chat.calm()


async def test_the_address_opened_in_another_window(chat: ChatPage, stage: Stage) -> None:
    prompt = "n=150 rate=150 kind=markdown fault=stall@100"
    answer = await chat.ask(prompt)
    await chat.grown(answer, 50)
    await chat.page.goto(f"{stage.url}/")
    await expect(chat.page.get_by_role("link", name=prompt)).to_have_attribute("data-running", "")
    await chat.page.get_by_role("link", name=prompt).click()
    await expect(chat.article(answer)).to_have_attribute("data-status", "running")
    stage.provider.release()
    await chat.ends(answer, prompt)
    chat.calm()
