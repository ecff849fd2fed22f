"""What can be done with a message: copy, versions, edit, continue, retry; each end looks like itself."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from chatapp.rendering.document import render
from chatapp.web.bodies import part_name
from tests.browser.conftest import Open
from tests.conftest import Stage, environment
from tests.rendering.dom import canonical
from tests.support.page import ChatPage, poll
from tests.support.processes import ServerProcess
from tests.support.provider import ScriptedProvider

PLAIN_HTTP = """Object.defineProperty(navigator, 'clipboard', { value: undefined });
document.addEventListener('copy', () => { window.copied = document.activeElement.value; });"""


def button(where: Locator, name: str) -> Locator:
    return where.get_by_role("button", name=name, exact=True)


async def stay(chat: ChatPage) -> None:
    await chat.page.evaluate("window.same = true")


async def stayed(chat: ChatPage) -> bool:
    """Tell whether it is still the same document."""
    return bool(await chat.page.evaluate("window.same === true"))


async def test_copy_is_markdown_also_on_plain_http(chat: ChatPage) -> None:
    await chat.page.add_init_script(PLAIN_HTTP)
    await chat.reload()
    answer = await chat.ask("n=60 rate=400 kind=markdown")
    await chat.ends(answer, "n=60 kind=markdown")
    copy = chat.article(answer).locator(".acts").get_by_role("button")
    await button(chat.article(answer).locator(".acts"), "Copy").click()
    await expect(copy.first).to_have_text("Copied")
    assert await chat.page.evaluate("window.copied") == (await chat.message(answer))["text"]
    await expect(copy.first).to_have_text("Copy", timeout=4000)
    chat.calm()


async def test_versions(chat: ChatPage) -> None:
    prompt = "n=30 rate=300"
    first = await chat.ask(prompt)
    await chat.ends(first, prompt)
    await expect(button(chat.articles.last, "Next version")).to_have_count(0)
    await stay(chat)
    await button(chat.article(first), "Regenerate").click()
    await expect(chat.article(first)).to_have_count(0)
    second = await chat.answer(2)
    await chat.ends(second, prompt)
    await expect(chat.article(second)).to_contain_text("2 / 2")
    await expect(button(chat.article(second), "Next version")).to_be_disabled()

    await button(chat.article(second), "Previous version").press("Enter")
    await expect(chat.article(first)).to_be_visible()
    assert await chat.answer(2) == first
    await expect(chat.article(first)).to_contain_text("1 / 2")
    await expect(button(chat.article(first), "Next version")).to_be_focused()
    assert await stayed(chat)
    await chat.reload()
    assert await chat.answer(2) == first
    following = await chat.ask("n=3 more")
    await chat.ends(following, "n=3")
    await button(chat.article(first), "Next version").click()
    assert await chat.answer(2) == second
    await button(chat.article(second), "Previous version").click()
    assert await chat.answer(4) == following
    chat.calm()


async def test_edit_in_place(chat: ChatPage) -> None:
    first = await chat.ask("n=3 the first words")
    await chat.ends(first, "n=3")
    question = chat.articles.first
    box = chat.page.get_by_role("textbox", name="Edit the question")
    await button(question, "Edit").click()
    await expect(box).to_have_value("n=3 the first words")
    await expect(box).to_be_focused()
    await box.fill("something else")
    await box.press("Escape")
    await expect(box).to_have_count(0)
    await expect(button(question, "Edit")).to_be_focused()
    await expect(question.locator('[data-part="body"]')).to_have_text("n=3 the first words")

    await chat.prompt.press("ArrowUp")
    await expect(box).to_be_focused()
    await button(question, "Cancel").click()
    await expect(box).to_have_count(0)

    await stay(chat)
    await chat.prompt.press("ArrowUp")
    await box.fill("n=5 other words")
    await button(question, "Save").click()
    await expect(chat.articles.first).to_contain_text("n=5 other words")
    await chat.ends(await chat.answer(2), "n=5")
    await expect(chat.articles.first).to_contain_text("2 / 2")
    await button(chat.articles.first, "Previous version").click()
    await expect(chat.article(first)).to_have_count(1)
    await expect(chat.articles.first).to_contain_text("n=3 the first words")
    assert await stayed(chat)
    chat.calm()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_the_box_of_an_edit_is_in_sight(stage: Stage, open_page: Open, width: int, height: int) -> None:
    """Between header and composer, for the newest question as for one far above, long or short."""
    chat = await open_page(stage.url, viewport={"width": width, "height": height})
    for prompt in ("n=2 short", "n=300 kind=markdown " + "and so on " * 80, "n=300 kind=markdown"):
        await chat.ends(await chat.ask(prompt), prompt)
    box = chat.page.get_by_role("textbox", name="Edit the question")
    for number in (2, 1, 0):
        question = chat.articles.nth(2 * number)
        await question.scroll_into_view_if_needed()
        await question.hover()
        await button(question, "Edit").click()
        await expect(box).to_be_focused()
        await expect(question.locator('[data-part="body"]')).to_be_hidden()

        async def in_sight() -> bool:
            header = await chat.page.locator("main > header").bounding_box()
            dock = await chat.page.locator("#composer").bounding_box()
            found = await box.bounding_box()
            assert header is not None
            assert dock is not None
            assert found is not None
            return bool(
                found["y"] >= header["y"] + header["height"] and found["y"] + found["height"] <= dock["y"]
            )

        await poll(in_sight, "the box between header and composer")
        await chat.page.wait_for_timeout(300)  # and it stays
        assert await in_sight()
        await box.press("Escape")
        await expect(question.locator('[data-part="body"]')).to_be_visible()
    chat.calm()


@pytest.mark.parametrize(
    ("prompt", "status", "end", "note", "action"),
    [
        ("n=40 finish=length", "completed", "length", "Cut off: length limit", "Continue"),
        ("n=40 finish=content_filter", "completed", "filtered", "Filtered by the provider", "Regenerate"),
        ("n=40 rate=400 fault=eof@30", "interrupted", "interrupted", "Interrupted: ", "Continue"),
        ("n=40 status=400", "failed", "failed", "The provider refused the request", "Retry"),
    ],
)
async def test_each_end_looks_like_itself(
    chat: ChatPage, prompt: str, status: str, end: str, note: str, action: str
) -> None:
    answer = await chat.ask(prompt)
    article = chat.article(answer)
    for _ in range(2):
        await expect(article).to_have_attribute("data-status", status)
        await expect(article).to_have_attribute("data-end", end)
        await expect(article.locator("footer")).to_contain_text(note)
        await expect(button(article, action)).to_be_visible()
        await expect(article.locator(".act.main")).to_have_count(1)
        await expect(article.locator(".act.main")).to_contain_text(action)
        await chat.reload()
    chat.calm()


async def test_a_refused_key_leads_to_the_setup(chat: ChatPage) -> None:
    answer = await chat.ask("n=5 status=401")
    await expect(button(chat.article(answer), "Retry")).to_be_visible()
    await chat.article(answer).get_by_role("link", name="Check the setup").click()
    await expect(chat.page.get_by_role("button", name="Test")).to_be_visible()


async def test_continue_goes_on_in_the_same_message(chat: ChatPage, stage: Stage) -> None:
    prompt = "n=150 rate=60 kind=markdown fault=stall@30"
    answer = await chat.ask(prompt)
    await chat.grown(answer, 60)
    await chat.stop.click()
    await expect(chat.article(answer)).to_have_attribute("data-status", "stopped")
    before = (await chat.message(answer))["text"]
    await stay(chat)
    await button(chat.article(answer), "Continue").click()
    await expect(chat.article(answer)).to_have_attribute("aria-busy", "true")
    stage.provider.release()
    await expect(chat.article(answer)).to_have_attribute("data-status", "completed", timeout=20_000)
    text = (await chat.message(answer))["text"]
    assert text.startswith(before)
    assert len(text) > len(before)
    live = await chat.html(answer)
    assert canonical(live) == canonical(render(text, part_name(answer)))
    assert await stayed(chat)
    await chat.reload()
    assert canonical(await chat.html(answer)) == canonical(live)
    chat.calm()


async def test_retry_on_another_model(redis_url: str, provider: ScriptedProvider, open_page: Open) -> None:
    env = environment(redis_url, provider.base_url) | {"OPENAI_MODELS": "scripted,other"}
    async with ServerProcess(env=env) as server:
        await server.wait_ready()
        chat = await open_page(server.url, viewport={"width": 390, "height": 844})
        prompt = "n=20 rate=300 status=400 times=1"
        failed = await chat.ask(prompt)
        await expect(chat.article(failed)).to_have_attribute("data-status", "failed")
        await button(chat.article(failed), "Other models").click()
        await button(chat.page.locator("#again"), "other").click()
        await expect(chat.article(failed)).to_have_count(0)
        again = await chat.answer(2)
        await expect(chat.article(again)).to_have_attribute("data-status", "completed")
        await expect(chat.article(again)).to_contain_text("other · 20 tokens · ")
        assert provider.calls[-1].model == "other"

        model = chat.page.get_by_role("combobox", name="Model")
        await expect(model).to_have_value("scripted")
        await model.select_option("other")
        await expect(chat.page.locator("#saved")).to_have_text("Saved")
        await chat.reload()
        await expect(model).to_have_value("other")
        await model.select_option("scripted")
        await chat.prompt.fill("n=4")  # the model goes along with each question
        await chat.send.click()
        await expect(chat.article(await chat.answer(4))).to_contain_text("scripted · ")
        chat.calm()


async def test_what_cannot_be_done_now_is_refused_in_words(chat: ChatPage, stage: Stage) -> None:
    first = await chat.ask("n=3")
    await chat.ends(first, "n=3")
    await chat.ask("n=3 fault=hold")
    await chat.article(first).hover()
    await button(chat.article(first), "Regenerate").click()
    await expect(chat.error).to_contain_text("An answer is still running in this chat")
    await expect(chat.articles).to_have_count(4)
    stage.provider.release()
    await expect(chat.send).to_be_visible()


async def test_actions_of_older_answers_show_for_pointer_and_keyboard(
    chat: ChatPage, open_page: Open
) -> None:
    first = await chat.ask("n=3")
    await chat.ends(first, "n=3")
    second = await chat.ask("n=3 more")
    await chat.ends(second, "n=3")

    async def opacity(page: ChatPage, message_id: str) -> str:
        """How opaque the actions are when they have faded in or out."""
        acts = page.article(message_id).locator(".acts")
        await acts.evaluate("e => Promise.allSettled(e.getAnimations().map((a) => a.finished))")
        return str(await acts.evaluate("e => getComputedStyle(e).opacity"))

    await chat.page.mouse.move(5, 300)
    assert await opacity(chat, second) == "1"
    assert await opacity(chat, first) == "0"
    await chat.article(first).hover()
    assert await opacity(chat, first) == "1"
    await chat.page.mouse.move(5, 300)
    assert await opacity(chat, first) == "0"
    await button(chat.article(first), "Copy").focus()
    assert await opacity(chat, first) == "1"
    for found in await chat.page.locator(".act:visible").all():
        box = await found.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24
    session = await chat.page.context.storage_state()
    phone = await open_page(
        chat.base,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        storage_state=session,
    )
    await phone.page.goto(chat.page.url)
    assert await opacity(phone, first) == "1"
