"""The composer: what is typed is sent once, or kept."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import Open
from tests.conftest import Stage, environment
from tests.support.page import ChatPage
from tests.support.processes import ServerProcess
from tests.support.provider import ScriptedProvider
from tests.support.proxy import FaultProxy

UNREACHABLE = "The server could not be reached. Your text is kept."
LIMIT = 32_000


def posts(chat: ChatPage) -> list[str]:
    return [request.url for request in chat.requests if request.method == "POST"]


async def test_enter_sends_and_shift_enter_begins_a_line(chat: ChatPage) -> None:
    await expect(chat.prompt).to_be_focused()
    await chat.page.keyboard.type("n=2")
    await chat.page.keyboard.press("Shift+Enter")
    await chat.page.keyboard.type("second line")
    await expect(chat.prompt).to_have_value("n=2\nsecond line")
    assert not posts(chat)
    await chat.page.keyboard.press("Enter")
    await chat.ends(await chat.answer(), "n=2")
    question = chat.articles.first.locator('[data-part="body"]')
    assert await question.evaluate("e => e.textContent") == "n=2\nsecond line"
    await expect(chat.prompt).to_have_value("")
    await expect(chat.prompt).to_be_focused()
    assert len(posts(chat)) == 1
    chat.calm()


async def test_enter_of_an_input_method_does_not_send(chat: ChatPage) -> None:
    await chat.prompt.focus()
    session = await chat.page.context.new_cdp_session(chat.page)
    await session.send("Input.imeSetComposition", {"text": "日本", "selectionStart": 2, "selectionEnd": 2})
    await expect(chat.prompt).to_have_value("日本")
    # What browsers send for the Enter that accepts a candidate: composing, or (Safari) the code 229 after it.
    await chat.prompt.evaluate("""(e) => {
      const enter = { key: 'Enter', bubbles: true, cancelable: true };
      e.dispatchEvent(new KeyboardEvent('keydown', { ...enter, isComposing: true, keyCode: 229 }));
      e.dispatchEvent(new KeyboardEvent('keydown', { ...enter, isComposing: true, keyCode: 13 }));
      e.dispatchEvent(new KeyboardEvent('keydown', { ...enter, isComposing: false, keyCode: 229 }));
    }""")
    await session.send("Input.insertText", {"text": "日本 n=2"})
    await chat.page.wait_for_timeout(300)
    assert not posts(chat)
    await expect(chat.prompt).to_have_value("日本 n=2")
    await chat.page.keyboard.press("Enter")
    await chat.ends(await chat.answer(), "n=2")
    assert len(posts(chat)) == 1
    chat.calm()


async def test_nothing_is_sent_of_nothing(chat: ChatPage) -> None:
    for text in ("", "   ", " \n\t "):
        await chat.prompt.fill(text)
        await chat.prompt.press("Enter")
    await chat.prompt.fill("")
    await chat.send.click()
    await chat.page.wait_for_timeout(300)
    assert not posts(chat)
    await expect(chat.articles).to_have_count(0)
    await expect(chat.prompt).to_be_focused()
    await chat.prompt.fill("   ")
    await chat.send.click()
    await expect(chat.error).to_have_text("Please write a message first.")
    await expect(chat.prompt).to_have_value("   ")
    chat.calm(network=True)


async def test_a_double_click_sends_once(far: ChatPage, proxy: FaultProxy) -> None:
    prompt = "n=60 rate=60"
    proxy.blackhole()
    await far.prompt.fill(prompt)
    await far.send.dblclick()
    proxy.heal()
    answer = await far.answer()
    await far.ends(answer, prompt)
    assert len(posts(far)) == 1
    far.calm()


async def test_impatient_clicks_neither_send_twice_nor_stop(chat: ChatPage) -> None:
    """Stop takes Send's place, under a pointer that is still clicking."""
    await chat.ends(await chat.ask("n=2"), "n=2")
    # However slowly a busy machine clicks: the time in which Stop does not hear a click stands still.
    await chat.page.evaluate("""() => {
      window.still = new CSSStyleSheet();
      still.replaceSync('.stop { animation-play-state: paused !important }');
      document.adoptedStyleSheets = [still];
    }""")
    prompt = "n=2000 rate=50"
    await chat.prompt.fill(prompt)
    box = await chat.send.bounding_box()
    assert box is not None
    place = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    while not await chat.stop.count():
        await chat.page.mouse.click(*place)
    for _ in range(5):
        await chat.page.mouse.click(*place)
    answer = await chat.answer(4)
    await chat.page.wait_for_timeout(500)
    assert len(posts(chat)) == 2
    deaf = "e => e.getAnimations().map(({ effect }) => effect.getTiming().duration)"
    assert await chat.stop.evaluate(deaf) == [500]
    await chat.page.evaluate("still.replaceSync('')")
    await chat.stop.click()
    await chat.ends(answer, prompt, "stopped")
    chat.calm()


async def test_enter_held_down_sends_once(far: ChatPage, proxy: FaultProxy) -> None:
    prompt = "n=60 rate=60"
    proxy.blackhole()
    await far.prompt.fill(prompt)
    for _ in range(5):
        await far.page.keyboard.down("Enter")
    await far.page.keyboard.up("Enter")
    proxy.heal()
    await far.ends(await far.answer(), prompt)
    assert len(posts(far)) == 1
    far.calm()


@pytest.mark.parametrize("status", [200, 502])
async def test_a_question_that_did_not_arrive_is_kept(far: ChatPage, proxy: FaultProxy, status: int) -> None:
    prompt = "n=30 rate=300 kind=emoji"
    proxy.answer(status, times=1, path_contains="/chats")
    await far.prompt.fill(prompt)
    await far.prompt.press("Enter")
    await expect(far.error).to_have_text(UNREACHABLE)
    await expect(far.prompt).to_have_value(prompt)
    await expect(far.articles).to_have_count(0)
    await expect(far.page).to_have_title("New chat")
    await far.prompt.press("Enter")
    answer = await far.answer()
    await expect(far.error).to_be_empty()
    await far.ends(answer, prompt)
    far.calm(network=True)


async def test_a_question_whose_answer_got_lost_is_asked_once(far: ChatPage, proxy: FaultProxy) -> None:
    """The server took it, but nobody heard: sent again it is still the same question."""
    prompt = "n=30 rate=300 kind=emoji"
    proxy.cut_after(20, path_contains="/chats")
    await far.prompt.fill(prompt)
    await far.prompt.press("Enter")
    await expect(far.error).to_have_text(UNREACHABLE)
    await far.prompt.press("Enter")
    await far.ends(await far.answer(), prompt)
    await far.reload()
    await expect(far.articles).to_have_count(2)
    await expect(far.page.get_by_role("link", name=prompt)).to_have_count(1)
    far.calm(network=True)


@pytest.mark.parametrize("reloaded", [False, True])
async def test_a_later_question_whose_answer_got_lost_is_asked_once(
    far: ChatPage, proxy: FaultProxy, reloaded: bool
) -> None:
    """The page may learn of it by its other connection, or after a reload: it is still the same question."""
    await far.ends(await far.ask("n=2"), "n=2")
    proxy.cut_after(20, path_contains="/messages")
    await far.prompt.fill("n=3 asked once")
    await far.prompt.press("Enter")
    await expect(far.error).to_have_text(UNREACHABLE)
    await far.ends(await far.answer(4), "n=3")
    await expect(far.prompt).to_have_value("n=3 asked once")
    if reloaded:
        await far.page.wait_for_timeout(500)  # drafts are written after 0.4 s
        await far.reload()
        await expect(far.prompt).to_have_value("n=3 asked once")
    sent = len(posts(far))
    await far.prompt.press("Enter")
    await expect(far.prompt).to_have_value("")
    await expect(far.page.locator('[data-status="sending"]')).to_have_count(0)
    await expect(far.error).to_be_empty()
    assert len(posts(far)) == sent + 1
    await expect(far.articles).to_have_count(4)
    await far.ends(await far.ask("n=3 asked once"), "n=3")  # a new question, now that the first was heard of
    await expect(far.articles).to_have_count(6)
    await far.reload()
    await expect(far.articles).to_have_count(6)
    far.calm(network=True)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_a_question_is_shown_before_the_server_answers(
    proxy: FaultProxy, open_page: Open, width: int, height: int
) -> None:
    chat = await open_page(proxy.url, viewport={"width": width, "height": height})
    shown = chat.page.locator('[data-role="user"] > [data-part="body"]')
    await chat.ends(await chat.ask("n=300 kind=markdown"), "n=300 kind=markdown")
    for prompt, articles in (("n=30 rate=300\n  as it was typed", 4), ("n=50 fault=hold", 6)):
        proxy.blackhole()
        await chat.prompt.fill(prompt)
        await chat.send.click()
        await expect(shown.last).to_have_text(prompt, use_inner_text=False)
        await expect(shown.last).to_be_in_viewport()
        await expect(chat.prompt).to_have_value("")
        before = await shown.last.bounding_box()
        await expect(chat.page.locator('[data-status="sending"]')).to_have_count(1)
        proxy.heal()
        answer = await chat.answer(articles)
        await expect(chat.page.locator('[data-status="sending"]')).to_have_count(0)
        assert await shown.count() == articles // 2
        after = await shown.last.bounding_box()
        assert before is not None
        assert after is not None
        assert abs(before["y"] - after["y"]) < 3, "it stays where it was first shown"
        if articles == 4:
            await chat.ends(answer, prompt)
    assert not await chat.page.evaluate("localStorage.getItem(`draft:${location.pathname.split('/')[2]}`)")
    chat.calm(network=True)


async def test_a_question_on_its_way_is_kept_when_it_fails(far: ChatPage) -> None:
    await far.ends(await far.ask("n=2"), "n=2")
    fail = asyncio.Event()

    async def hold(route: Route) -> None:
        await fail.wait()
        await route.abort()

    await far.page.route("**/messages", hold)
    await far.prompt.fill("n=3 on its way")
    await far.prompt.press("Enter")
    await expect(far.page.locator('[data-status="sending"]')).to_have_text("n=3 on its way")
    await far.page.keyboard.type("and the next")
    await far.page.keyboard.press("Enter")
    await expect(far.error).to_contain_text("Your text is kept")
    await far.page.wait_for_timeout(500)  # drafts are written after 0.4 s
    fail.set()
    await expect(far.error).to_have_text(UNREACHABLE)
    await expect(far.prompt).to_have_value("n=3 on its way\nand the next")
    await expect(far.page.locator('[data-status="sending"]')).to_have_count(0)
    await far.reload()
    await expect(far.prompt).to_have_value("n=3 on its way\nand the next")
    await expect(far.articles).to_have_count(2)
    far.calm(network=True)


async def test_escape_stops(chat: ChatPage) -> None:
    prompt = "n=2000 rate=60"
    answer = await chat.ask(prompt)
    await chat.grown(answer, 20)
    await chat.page.keyboard.press("Escape")
    text = await chat.ends(answer, prompt, "stopped")
    assert len(text) >= 20
    await expect(chat.article(answer).locator("footer")).to_have_text("Stopped by you")
    await chat.page.keyboard.press("Escape")
    assert len(posts(chat)) == 2
    chat.calm()


async def test_escape_stops_only_from_the_chat(chat: ChatPage) -> None:
    await chat.ends(await chat.ask("n=2 another chat"), "n=2")
    await chat.page.get_by_role("link", name="New chat").click()
    await expect(chat.articles).to_have_count(0)
    prompt = "n=2000 rate=30"
    answer = await chat.ask(prompt)
    search = chat.page.get_by_role("searchbox")
    await search.fill("words")
    await search.press("Escape")
    await expect(search).to_have_value("")
    await search.press("Escape")
    sent = len(posts(chat))
    await chat.page.get_by_role("button", name="Chat options").last.click()
    await chat.page.get_by_role("menuitem", name="Delete").click()
    notice = chat.page.locator(".toast")
    await expect(notice).to_contain_text("another chat")
    await notice.evaluate("e => e.getAnimations().forEach((a) => a.pause())")  # it would go after 8 s
    assert len(posts(chat)) == sent + 1
    await expect(chat.article(answer)).to_have_attribute("data-status", "running")
    await chat.prompt.press("Escape")  # a notice is nothing that Esc closes
    await chat.ends(answer, prompt, "stopped")
    await expect(notice).to_be_visible()
    chat.calm()


async def test_stop_before_the_first_word(chat: ChatPage) -> None:
    answer = await chat.ask("n=50 fault=hold")
    await chat.stop.click()
    assert await chat.ends(answer, "n=50", "stopped") == ""
    await chat.ends(await chat.ask("n=3"), "n=3")
    chat.calm()


async def test_what_is_typed_while_an_answer_streams_is_kept(chat: ChatPage, stage: Stage) -> None:
    prompt = "n=90 rate=60 fault=stall@60"
    answer = await chat.ask(prompt)
    await chat.page.keyboard.type("n=4 the next question", delay=20)
    await chat.page.keyboard.press("Enter")  # an answer is running: not now
    stage.provider.release()
    await chat.ends(answer, prompt)
    await expect(chat.prompt).to_have_value("n=4 the next question")
    await expect(chat.prompt).to_be_focused()
    await chat.page.keyboard.press("Enter")
    await chat.ends(await chat.answer(4), "n=4")
    assert len(posts(chat)) == 2
    chat.calm()


async def test_what_is_typed_while_the_question_is_on_its_way_is_kept(
    far: ChatPage, proxy: FaultProxy
) -> None:
    proxy.blackhole()
    await far.prompt.fill("n=5")
    await far.prompt.press("Enter")
    await far.page.keyboard.type(" and more")
    proxy.heal()
    await far.ends(await far.answer(), "n=5")
    await expect(far.prompt).to_have_value(" and more")
    await expect(far.articles.first).to_contain_text("n=5")
    await expect(far.articles.first).not_to_contain_text("more")
    far.calm()


async def test_too_long_a_question_is_refused_and_kept(chat: ChatPage) -> None:
    prompt = "n=2 " + "e" * LIMIT
    await chat.prompt.fill(prompt)
    await chat.prompt.press("Enter")
    await expect(chat.error).to_have_text("This is too long: 32,004 characters, at most 32,000 can be sent.")
    await expect(chat.prompt).to_have_value(prompt)
    await expect(chat.articles).to_have_count(0)
    prompt = prompt[:LIMIT]
    await chat.prompt.fill(prompt)
    await chat.prompt.press("Enter")
    answer = await chat.answer()
    await expect(chat.error).to_be_empty()
    await chat.ends(answer, "n=2")
    chat.calm(network=True)


@pytest.mark.parametrize("character", ["é", "漢", "😀"])
async def test_a_question_of_more_than_64_kb_is_refused_and_kept(chat: ChatPage, character: str) -> None:
    """Under the limit of characters, but a form sends each of these as 6 to 12 bytes."""
    prompt = "n=2 " + character * 20_000
    await chat.prompt.fill(prompt)
    await chat.prompt.press("Enter")
    await expect(chat.error).to_contain_text("This is too long to be sent: 64 KB at most")
    await expect(chat.prompt).to_have_value(prompt)
    prompt = prompt[:4000]
    await chat.prompt.fill(prompt)
    await chat.prompt.press("Enter")
    await chat.ends(await chat.answer(), "n=2")
    question = chat.articles.first.locator('[data-part="body"]')
    assert await question.evaluate("e => e.textContent") == prompt
    chat.calm(network=True)


async def test_too_many_answers_at_once(redis_url: str, provider: ScriptedProvider, open_page: Open) -> None:
    env = environment(redis_url, provider.base_url) | {"CHATAPP_RUNNING_LIMIT": "1"}
    async with ServerProcess(env=env) as server:
        await server.wait_ready()
        chat = await open_page(server.url)
        first = await chat.ask("n=9 fault=stall@4")
        await chat.page.get_by_role("link", name="New chat").click()
        await expect(chat.articles).to_have_count(0)
        await chat.prompt.fill("n=2")
        await chat.send.click()
        await expect(chat.error).to_contain_text("No more than 1 of your answers")
        await expect(chat.prompt).to_have_value("n=2")
        await chat.page.go_back()
        await chat.stop.click()
        await expect(chat.article(first)).to_have_attribute("data-status", "stopped")
        await chat.page.go_forward()
        await chat.prompt.fill("n=2")
        await chat.send.click()
        await chat.ends(await chat.answer(), "n=2")
        chat.calm(network=True)
