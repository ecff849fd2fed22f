"""A long chat: the newest messages first, older ones above; a jump to a message; and the reader's place."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.conftest import Stage
from tests.support.client import Begun, Person
from tests.support.page import ChatPage, poll

TURNS = 40


async def long_chat(ann: Person) -> list[Begun]:
    """Ask so many questions, each answered shortly."""
    turns: list[Begun] = []
    for number in range(TURNS):
        turns.append(await ann.begin(f"n=12 question {number}", chat_id=turns[0].chat_id if turns else None))
        await ann.follow(turns[-1])
    return turns


async def opened(open_page: Open, ann: Person, path: str, **options: object) -> ChatPage:
    chat = await open_page(ann.base, "/setup", **options)
    ((name, value),) = ann.cookies.items()
    await chat.page.context.add_cookies([{"name": name, "value": value, "url": ann.base}])
    await chat.page.goto(ann.base + path)
    return chat


async def wheel(chat: ChatPage, up: float) -> None:
    """Turn the wheel with the pointer where it is, and wait until the page has glided to its new place."""
    wanted = await chat.page.evaluate("scrollY") - up
    await chat.page.mouse.wheel(0, -up)

    async def there() -> bool:
        return bool(abs(await chat.page.evaluate("scrollY") - wanted) < 1)

    await poll(there, f"{up} pixels up")


async def at_the_end(chat: ChatPage) -> None:
    async def there() -> bool:
        below = "document.documentElement.scrollHeight - innerHeight - scrollY"
        return bool(await chat.page.evaluate(below) < 3)

    await poll(there, "the end")


@pytest.mark.parametrize("width", [1280, 390])
async def test_older_messages_come_as_one_scrolls_up(ann: Person, open_page: Open, width: int) -> None:
    turns = await long_chat(ann)
    chat = await opened(
        open_page, ann, f"/chats/{turns[0].chat_id}", viewport={"width": width, "height": 800}
    )
    await expect(chat.articles).to_have_count(50)
    await expect(chat.articles.last).to_be_in_viewport()
    oldest = chat.articles.first
    await expect(oldest).to_contain_text("question 15")
    reading = chat.article(turns[15].user_message_id)
    await chat.page.mouse.move(width / 2, 300)
    await wheel(chat, 200)
    await reading.evaluate(
        "e => scrollTo({ top: scrollY + e.getBoundingClientRect().top - 100, behavior: 'instant' })"
    )
    before = await reading.bounding_box()
    await expect(chat.articles).to_have_count(2 * TURNS)
    after = await reading.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 3, "the reader's place"
    await expect(chat.page.get_by_role("link", name="Older messages")).to_have_count(0)
    chat.calm()


async def test_without_a_script_a_link_leads_to_them(ann: Person, open_page: Open) -> None:
    turns = await long_chat(ann)
    chat = await opened(open_page, ann, f"/chats/{turns[0].chat_id}", java_script_enabled=False)
    await chat.page.get_by_role("link", name="Older messages").click()
    await expect(chat.articles).to_have_count(2 * TURNS - 50)
    await expect(chat.articles.first).to_contain_text("question 0")
    await chat.page.get_by_role("link", name="Newer messages").click()
    await expect(chat.articles.last).to_be_attached()
    await expect(chat.articles).to_have_count(50)


async def test_a_message_that_is_jumped_to(ann: Person, open_page: Open) -> None:
    turns = await long_chat(ann)
    wanted = turns[5].user_message_id
    address = f"/chats/{turns[0].chat_id}?at={wanted}"
    for path in (address, f"{address}#message-{wanted}"):
        chat = await opened(open_page, ann, path)
        await expect(chat.article(wanted)).to_be_in_viewport()
        await expect(chat.article(wanted)).to_have_attribute("data-marked", "")
        chat.calm()


async def test_a_sent_question_moves_near_the_top(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url, viewport={"width": 1280, "height": 800})
    await chat.ends(await chat.ask("n=300 kind=markdown"), "n=300 kind=markdown")
    answer = await chat.ask("n=500 rate=100 fault=stall@40")
    await chat.grown(answer, 100)
    question = await chat.articles.nth(2).bounding_box()
    assert question is not None
    assert 40 <= question["y"] <= 120
    await asyncio.sleep(0.3)
    again = await chat.articles.nth(2).bounding_box()
    assert again == question, "it stays while the answer has room below it"
    stage.provider.release()
    await chat.ends(answer, "n=500")
    await expect(chat.article(answer).locator(".acts")).to_be_in_viewport()
    chat.calm()


@pytest.mark.parametrize(("width", "height"), [(1280, 600), (390, 844)])
async def test_an_answer_is_not_followed_by_who_does_not_want_it(
    stage: Stage, open_page: Open, width: int, height: int
) -> None:
    chat = await open_page(stage.url, viewport={"width": width, "height": height})
    page = chat.page

    async def prefer(follow: bool) -> None:
        if width < 768:
            await page.get_by_role("button", name="Show chats").click()
        await page.get_by_role("button", name="Preferences").click()
        await page.get_by_role("checkbox", name="Scroll along with an answer").set_checked(follow)
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")

    await prefer(False)
    await chat.reload()
    prompt = "n=900 rate=400 kind=markdown"
    answer = await chat.ask(prompt)
    await chat.grown(answer, 50)
    place = await page.evaluate("scrollY")
    await chat.ends(answer, prompt)
    assert await page.evaluate("scrollY") == place
    jump = page.get_by_role("button", name="Jump to latest")
    await expect(jump).to_be_visible()
    await jump.press("Enter")
    await expect(chat.article(answer).locator(".acts")).to_be_in_viewport()
    await expect(chat.prompt).to_be_focused()

    await chat.reload()
    await expect(chat.article(answer).locator(".acts")).to_be_in_viewport()  # a chat opens at its end
    await prefer(True)
    prompt += " again"
    answer = await chat.ask(prompt)
    await chat.ends(answer, prompt)
    await expect(chat.article(answer).locator(".acts")).to_be_in_viewport()
    chat.calm()


async def test_jump_to_latest_has_a_dot_when_there_is_news(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url, viewport={"width": 1280, "height": 600})
    jump = chat.page.get_by_role("button", name="Jump to latest")
    prompt = "n=900 rate=300 fault=stall@700 kind=markdown"
    answer = await chat.ask(prompt)
    await chat.stands_at(answer, prompt, 700)
    await at_the_end(chat)
    await expect(jump).to_be_hidden()
    await chat.page.mouse.move(640, 200)
    await wheel(chat, 400)
    await expect(jump).to_be_visible()
    await expect(jump).not_to_have_attribute("data-news", "")
    top = await chat.page.evaluate("scrollY")
    stage.provider.release()
    await expect(jump).to_have_attribute("data-news", "")
    await chat.ends(answer, "n=900 kind=markdown")
    assert await chat.page.evaluate("scrollY") == top
    await jump.click()
    await expect(jump).to_be_hidden()
    await at_the_end(chat)
    chat.calm()


async def test_the_readers_place_is_kept_when_the_next_part_of_an_answer_begins(
    stage: Stage, open_page: Open
) -> None:
    """What is above turns into something that is only laid out when it is seen: its size must not change."""
    chat = await open_page(stage.url, viewport={"width": 320, "height": 300})
    prompt = "n=360 rate=80 kind=markdown fault=stall@200"
    answer = await chat.ask(prompt)
    parts = chat.body(answer).locator(":scope > *")
    await chat.stands_at(answer, prompt, 200)
    await at_the_end(chat)
    await chat.page.mouse.move(160, 150)
    await wheel(chat, 200)
    await expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
    place = await chat.page.evaluate("scrollY")
    assert place > 1600, "further down than a part that was never measured would be tall"
    await expect(parts).to_have_count(1)
    stage.provider.release()
    await chat.ends(answer, "n=360 kind=markdown")
    assert await parts.count() > 1
    assert await chat.page.evaluate("scrollY") == place
    chat.calm()


async def test_a_selection_holds_the_view_still(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url, viewport={"width": 1280, "height": 600})
    prompt = "n=900 rate=300 fault=stall@400 kind=markdown"
    answer = await chat.ask(prompt)
    await chat.stands_at(answer, prompt, 400)
    await at_the_end(chat)
    place = await chat.page.evaluate("scrollY")
    assert place > 0
    heard = await chat.body(answer).locator("p").last.bounding_box()
    assert heard is not None
    await chat.page.mouse.move(heard["x"] + 2, heard["y"] + 5)
    await chat.page.mouse.down()
    await chat.page.mouse.move(heard["x"] + 100, heard["y"] + 5, steps=4)
    await chat.page.mouse.up()
    selected = await chat.page.evaluate("getSelection().toString()")
    assert selected
    stage.provider.release()
    await chat.ends(answer, "n=900 kind=markdown")
    assert await chat.page.evaluate("scrollY") == place
    assert await chat.page.evaluate("getSelection().toString()") == selected
    jump = chat.page.get_by_role("button", name="Jump to latest")
    await jump.click()
    await expect(jump).to_be_hidden()
    chat.calm()


async def test_what_is_opened_stays_where_it_is(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url, viewport={"width": 1280, "height": 600})
    answer = await chat.ask("n=20 fault=reasoning@600")
    await chat.ends(answer, "n=20")
    thoughts = chat.article(answer).locator("summary")
    before = await thoughts.bounding_box()
    await thoughts.click()
    jump = chat.page.get_by_role("button", name="Jump to latest")
    await expect(jump).to_be_visible()
    assert await thoughts.bounding_box() == before
    await jump.click()
    await expect(chat.article(answer).locator(".acts")).to_be_in_viewport()
    chat.calm()


@pytest.mark.parametrize("height", [256, 340, 400])
async def test_the_box_of_a_new_chat_stays_in_sight_above_a_keyboard(
    stage: Stage, open_page: Open, height: int
) -> None:
    """A phone makes the window smaller when its keyboard comes; the settings below the box are long."""
    phone = {"viewport": {"width": 320, "height": 844}, "has_touch": True, "is_mobile": True}
    chat = await open_page(stage.url, **phone)
    await chat.prompt.tap()
    await chat.page.set_viewport_size({"width": 320, "height": height})
    await chat.page.wait_for_timeout(300)
    await expect(chat.prompt).to_be_in_viewport(ratio=1)
    box, head = await chat.prompt.bounding_box(), await chat.page.locator("main > header").bounding_box()
    assert box is not None
    assert head is not None
    assert box["y"] >= head["y"] + head["height"]
    await chat.prompt.fill("n=2")
    await chat.send.tap()
    await chat.ends(await chat.answer(), "n=2")
    chat.calm()
