"""Two tabs on one chat show the same, whoever asks and whoever stops."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect

from tests.browser.test_connection import SET_HIDDEN
from tests.conftest import Stage
from tests.support.page import ChatPage, poll
from tests.support.proxy import FaultProxy


async def second(chat: ChatPage) -> ChatPage:
    """Open the same chat in another tab of the same browser."""
    return await ChatPage.open(chat.page.context, chat.base, f"/chats/{chat.chat_id}")


async def test_both_show_the_whole_answer(chat: ChatPage, stage: Stage) -> None:
    prompt = "n=200 rate=120 kind=hostile fault=stall@150"
    answer = await chat.ask(prompt)
    await chat.grown(answer, 150)
    other = await second(chat)
    assert await other.answer() == answer
    assert len(await other.text(answer)) >= 100
    await other.streamed(1)
    stage.provider.release()
    await asyncio.gather(chat.ends(answer, prompt), other.ends(answer, prompt))
    assert len(chat.streams) == len(other.streams) == 1
    chat.calm()
    other.calm()


async def test_stop_in_one_is_seen_in_the_other(chat: ChatPage, stage: Stage) -> None:
    prompt = "n=2000 rate=60 kind=emoji"
    answer = await chat.ask(prompt)
    other = await second(chat)
    await other.grown(answer, 20)
    await other.stop.click()
    one, two = await asyncio.gather(
        chat.ends(answer, prompt, "stopped"), other.ends(answer, prompt, "stopped")
    )
    assert one == two != ""
    for tab in (chat, other):
        await expect(tab.article(answer).locator("footer")).to_have_text("Stopped by you")
        await tab.reload()
        assert await tab.ends(answer, prompt, "stopped") == one
        tab.calm()
    await stage.provider.until(stage.provider.calls[-1].client_gone.is_set)


async def test_a_question_meanwhile_asked_elsewhere_is_refused_and_kept(chat: ChatPage, stage: Stage) -> None:
    await chat.ends(await chat.ask("n=2"), "n=2")
    other = await second(chat)
    # Headless Chromium has no hidden tabs, so the document is made to say it is one: it does not know yet.
    await chat.page.evaluate(SET_HIDDEN, True)
    prompt = "n=20 rate=200 fault=hold"
    running = await other.ask(prompt)
    await chat.prompt.fill("n=3 my question")
    await chat.prompt.press("Enter")
    await expect(chat.error).to_contain_text("An answer is still running in this chat")
    await expect(chat.prompt).to_have_value("n=3 my question")
    await expect(chat.articles).to_have_count(2)

    stage.provider.release()
    await other.ends(running, prompt)
    await chat.prompt.press("Enter")
    answer = await chat.answer(4)
    await expect(chat.error).to_be_empty()
    await chat.ends(answer, "n=3 my question")
    await chat.reload()
    await expect(chat.articles).to_have_count(6)
    chat.calm(network=True)


async def test_f72_eight_tabs_on_six_connections(far: ChatPage, proxy: FaultProxy, stage: Stage) -> None:
    """HTTP/1.1 has six connections an origin, for all tabs: a hidden tab must not keep one."""
    tabs = [far]
    for _ in range(7):
        answer = await tabs[-1].ask("n=60 rate=300 fault=stall@30")
        await tabs[-1].grown(answer, 20)
        # Headless Chromium has no hidden tabs, so the document is made to say it is one.
        await tabs[-1].page.evaluate(SET_HIDDEN, True)
        tabs.append(await ChatPage.open(far.page.context, far.base))
    prompt = "n=20 rate=300 fault=stall@10"
    answer = await tabs[-1].ask(prompt)
    await tabs[-1].stands_at(answer, prompt, 10)

    async def alone() -> bool:
        kept = sorted(request.path.partition("?")[0].rpartition("/")[2] for request in proxy.open)
        return kept == ["events", "stream"]

    await poll(alone, "one connection for the answer that is seen, and one for what happens elsewhere")
    stage.provider.release()
    await tabs[-1].ends(answer, prompt)
    for tab in tabs:
        tab.calm()
