"""The list of chats: found, renamed, deleted, taken back, and true whatever happens elsewhere."""

from __future__ import annotations

from playwright.async_api import Locator, expect

from tests.browser.conftest import Open
from tests.browser.test_connection import SET_HIDDEN
from tests.conftest import Stage
from tests.support.page import ChatPage, poll
from tests.support.proxy import FaultProxy


def link(chat: ChatPage, name: str) -> Locator:
    return chat.page.get_by_role("navigation", name="Chats").get_by_role("link", name=name)


async def choose(chat: ChatPage, name: str, item: str) -> None:
    """Choose from the menu of a chat."""
    row = chat.page.get_by_role("listitem").filter(has_text=name)
    await row.hover()
    await row.get_by_role("button", name="Chat options").click()
    await chat.page.get_by_role("menu", name="Chat options").get_by_role("menuitem", name=item).click()


async def asked(chat: ChatPage, prompt: str) -> str:
    """Ask in a new chat and wait for the end; return the chat's id."""
    await chat.page.goto(f"{chat.base}/")
    await chat.ends(await chat.ask(prompt), prompt)
    return chat.chat_id


async def test_search_and_jump(chat: ChatPage) -> None:
    first = await asked(chat, "n=2 zebras in the garden")
    await asked(chat, "n=2 nothing of that kind")
    box = chat.page.get_by_role("searchbox", name="Search chats")
    await chat.page.keyboard.press("Control+k")
    await expect(box).to_be_focused()
    await chat.page.keyboard.type("GARD zeb")
    await expect(link(chat, "zebras")).to_have_count(1)
    await expect(link(chat, "nothing of that kind")).to_have_count(0)
    await expect(chat.page.locator("mark").first).to_have_text("zeb")
    await box.press("ArrowDown")
    await chat.page.keyboard.press("Enter")
    await expect(chat.page).to_have_url(
        f"{chat.base}/chats/{first}?at={await marked(chat)}#message-{await marked(chat)}"
    )
    box = chat.page.get_by_role("searchbox", name="Search chats")
    await box.fill("no such word anywhere")
    await expect(chat.page.get_by_text("Nothing found.")).to_be_visible()
    await box.press("Escape")
    await expect(link(chat, "nothing of that kind")).to_be_visible()
    chat.calm()


async def marked(chat: ChatPage) -> str | None:
    return await chat.page.locator("article[data-marked]").get_attribute("data-message-id")


async def test_rename_in_place(chat: ChatPage) -> None:
    chat_id = await asked(chat, "n=2 an old name")
    other = await ChatPage.open(chat.page.context, chat.base, f"/chats/{chat_id}")
    await choose(chat, "an old name", "Rename")
    box = chat.page.get_by_role("textbox", name="Title")
    await expect(box).to_be_focused()
    await box.fill("never")
    await box.press("Escape")
    await expect(link(chat, "an old name")).to_be_focused()
    await choose(chat, "an old name", "Rename")
    await box.fill("a new name")
    # Enter that ends a word of an input method is none of ours.
    await box.evaluate(
        "e => e.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true }))"
    )
    await expect(box).to_be_visible()
    await box.press("Enter")
    await other.prompt.focus()
    for tab in (chat, other):
        await expect(link(tab, "a new name")).to_be_visible()
        await expect(tab.page.get_by_role("heading", level=1)).to_have_text("a new name")
        await expect(tab.page).to_have_title("a new name · Chat")
    await expect(other.prompt).to_be_focused()
    await chat.reload()
    await expect(link(chat, "a new name")).to_be_visible()
    chat.calm()
    other.calm()


async def test_delete_and_undo(chat: ChatPage) -> None:
    await asked(chat, "n=2 the first")
    await asked(chat, "n=2 the second")
    await choose(chat, "the first", "Delete")
    await expect(link(chat, "the first")).to_have_count(0)
    await expect(link(chat, "the second")).to_be_focused()
    await chat.page.get_by_role("button", name="Undo").press("Enter")
    await expect(link(chat, "the first")).to_be_visible()
    await expect(chat.page.get_by_role("button", name="Undo")).to_have_count(0)
    await expect(chat.prompt).to_be_focused()
    await choose(chat, "the first", "Delete")
    # It goes by itself after 8 s, which need not be waited for.
    (lifetime,) = await chat.page.locator(".toast").evaluate("""(e) => {
      const animations = e.getAnimations().filter(({ playState }) => playState === 'running');
      return animations.map((a) => { a.finish(); return a.effect.getTiming().duration; });
    }""")
    assert lifetime == 8000
    await expect(chat.page.get_by_role("button", name="Undo")).to_have_count(0)
    await chat.reload()
    await expect(link(chat, "the first")).to_have_count(0)
    chat.calm()


async def test_the_open_chat_is_deleted_from_a_drawer(open_page: Open, stage: Stage) -> None:
    phone = await open_page(stage.url, viewport={"width": 390, "height": 844})
    await asked(phone, "n=2 behind the drawer")
    await phone.page.get_by_role("button", name="Show chats").click()
    await choose(phone, "behind the drawer", "Delete")
    await expect(phone.page.get_by_text("This chat is deleted.")).to_be_visible()
    undo = phone.page.get_by_role("button", name="Undo")
    await expect(undo).to_be_focused()
    await undo.click()
    await expect(phone.prompt).to_be_visible()
    phone.calm()


async def test_what_did_not_get_to_the_server_is_said(far: ChatPage, proxy: FaultProxy) -> None:
    await asked(far, "n=2 stays as it is")
    await choose(far, "stays as it is", "Rename")
    box = far.page.get_by_role("textbox", name="Title")
    await box.fill("another name")
    proxy.answer(502, times=1, path_contains="/rename")
    await box.press("Enter")
    await expect(far.page.get_by_text("This was refused.")).to_be_visible()
    await expect(box).to_have_count(0)
    await expect(link(far, "stays as it is")).to_be_visible()
    proxy.cut_after(0, path_contains="/delete")
    await choose(far, "stays as it is", "Delete")
    await expect(far.page.get_by_text("The server could not be reached.")).to_be_visible()
    far.calm(network=True)


async def test_the_open_chat_is_deleted_in_another_tab(chat: ChatPage) -> None:
    chat_id = await asked(chat, "n=2 open in both")
    other = await ChatPage.open(chat.page.context, chat.base, f"/chats/{chat_id}")
    await choose(chat, "open in both", "Delete")
    for tab in (chat, other):
        await expect(tab.page.get_by_text("This chat is deleted.")).to_be_visible()
        await expect(tab.prompt).to_be_hidden()
        await expect(tab.articles).to_have_count(2)
    await other.page.get_by_role("button", name="Undo").press("Enter")
    await expect(other.prompt).to_be_focused()
    for tab in (chat, other):
        await expect(tab.prompt).to_be_visible()
        await expect(link(tab, "open in both")).to_have_attribute("aria-current", "page")
        tab.calm()


async def test_a_question_from_another_device_streams_here(chat: ChatPage, stage: Stage) -> None:
    await asked(chat, "n=2 first words")
    other = await ChatPage.open(chat.page.context, chat.base, f"/chats/{chat.chat_id}")
    await chat.prompt.fill("a draft")
    prompt = "n=30 rate=200 fault=stall@15"
    answer = await other.ask(prompt)
    await chat.grown(answer, 20)
    await expect(link(chat, "first words")).to_have_attribute("data-running", "")
    await expect(chat.prompt).to_have_value("a draft")
    await expect(chat.stop).to_be_visible()
    stage.provider.release()
    await chat.ends(answer, prompt)
    await other.ends(answer, prompt)
    await expect(link(chat, "first words")).not_to_have_attribute("data-running", "")
    chat.calm()
    other.calm()


async def test_what_ends_unseen_is_unread(chat: ChatPage, stage: Stage) -> None:
    await chat.ask("n=4 fault=hold in the background")
    background = chat.page.url
    await link(chat, "New chat").click()
    await expect(link(chat, "in the background")).to_have_attribute("data-running", "")
    await chat.prompt.focus()
    stage.provider.release()
    await expect(link(chat, "in the background")).to_have_attribute("data-unread", "")
    await expect(link(chat, "in the background")).not_to_have_attribute("data-running", "")
    # The notice would go after 8 s.
    await chat.page.locator(".toast").evaluate("e => e.getAnimations().forEach((a) => a.pause())")
    await expect(chat.page).to_have_title("(1) New chat")
    await expect(chat.prompt).to_be_focused()
    await chat.page.get_by_role("link", name="has been answered").click()
    await expect(chat.page).to_have_url(background)
    await expect(link(chat, "in the background")).not_to_have_attribute("data-unread", "")
    await expect(chat.page).to_have_title("n=4 fault=hold in the background · Chat")
    chat.calm()


async def test_a_notification_only_for_who_asked_for_it(chat: ChatPage, stage: Stage) -> None:
    """Headless Chromium shows none and has no hidden tabs: what the page asks of the browser is looked at."""
    await chat.page.add_init_script("""
      window.told = [];
      window.Notification = class {
        static permission = 'default';
        static requestPermission() { return Promise.resolve(localStorage.getItem('answer') ?? 'denied'); }
        constructor(text, { tag }) { told.push([text, tag]); }
      };""")
    await chat.reload()
    wish = chat.page.get_by_role("checkbox", name="Notify me when an answer is done")

    async def choose(answer: str) -> None:
        await chat.page.evaluate("(answer) => localStorage.setItem('answer', answer)", answer)
        await chat.page.get_by_role("button", name="Preferences").click()
        await expect(wish).not_to_be_checked()
        await wish.click()

    async def unseen(prompt: str) -> None:
        await chat.page.evaluate(SET_HIDDEN, False)
        stage.provider.hold()
        answer = await chat.ask(prompt)
        await expect(link(chat, "nobody asked")).to_have_attribute("data-running", "")
        await chat.page.evaluate(SET_HIDDEN, True)
        stage.provider.release()
        await stage.provider.until(lambda: stage.provider.calls[-1].finished)
        assert answer

    await unseen("n=2 fault=hold nobody asked")
    await chat.page.wait_for_timeout(1000)
    assert await chat.page.evaluate("told") == []
    await chat.page.evaluate(SET_HIDDEN, False)
    await expect(chat.send).to_be_visible()

    await choose("denied")
    await expect(chat.page.get_by_text("does not allow notifications")).to_be_visible()
    await expect(wish).not_to_be_checked()
    await chat.page.keyboard.press("Escape")
    await choose("granted")
    await expect(wish).to_be_checked()
    await chat.page.keyboard.press("Escape")
    await unseen("n=2 fault=hold somebody asked")

    async def told() -> bool:
        return bool(await chat.page.evaluate("told.length"))

    await poll(told, "a notification")
    title = "“n=2 fault=hold nobody asked” has been answered"
    assert await chat.page.evaluate("told") == [[title, f"/chats/{chat.chat_id}"]]
    await expect(chat.page).to_have_title("(1) n=2 fault=hold nobody asked · Chat")
    await chat.page.evaluate(SET_HIDDEN, False)
    await expect(chat.page).to_have_title("n=2 fault=hold nobody asked · Chat")
    await chat.ends(await chat.answer(4), "n=2 fault=hold")
    await expect(chat.page.get_by_text("has been answered")).to_have_count(0)
    chat.calm()


async def test_a_hidden_tab_holds_no_connection_and_misses_nothing(chat: ChatPage, stage: Stage) -> None:
    await asked(chat, "n=2 known before")

    async def quiet() -> bool:
        before = len(chat.requests)
        await chat.page.wait_for_timeout(300)
        return len(chat.requests) == before

    await poll(quiet, "the list has been asked for after the end")
    # Headless Chromium has no hidden tabs, so the document is made to say it is one.
    await chat.page.evaluate(SET_HIDDEN, True)
    asked_before = len(chat.requests)
    response = await chat.page.context.request.post(
        f"{chat.base}/api/chats", data={"prompt": "n=2 meanwhile"}
    )
    assert response.status == 201
    await chat.page.wait_for_timeout(700)
    assert len(chat.requests) == asked_before
    await expect(link(chat, "meanwhile")).to_have_count(0)
    await chat.page.evaluate(SET_HIDDEN, False)
    await expect(link(chat, "meanwhile")).to_be_visible()
    chat.calm()


async def test_more_chats_come_as_one_scrolls(chat: ChatPage) -> None:
    for number in range(45):
        response = await chat.page.context.request.post(
            f"{chat.base}/api/chats", data={"prompt": f"n=1 chat number {number}."}
        )
        assert response.status == 201
    await chat.reload()
    links = chat.page.locator("#chat-list .chat")
    await expect(links).to_have_count(40)
    await links.last.scroll_into_view_if_needed()
    await expect(links).to_have_count(45)
    await expect(chat.page.locator("#chat-list h2")).to_have_text(["Today"])
    # What happens now takes nothing of it away.
    await chat.ask("n=1 one more")
    await expect(links).to_have_count(46)
    chat.calm()


async def test_eight_visible_tabs_on_running_chats(chat: ChatPage, stage: Stage) -> None:
    """HTTP/1.1 has six connections for all of them: their streams take turns, and requests go through."""
    prompt = "n=60 rate=30 fault=stall@50"
    answer = await chat.ask(prompt)
    tabs = [chat]
    for _ in range(7):
        tabs.append(await ChatPage.open(chat.page.context, stage.url, f"/chats/{chat.chat_id}"))
    for tab in tabs:
        await tab.grown(answer, len(await chat.text(answer)) - 5)
    response = await chat.page.evaluate("fetch('/health').then((response) => response.status)")
    assert response == 200
    stage.provider.release()
    for tab in tabs:
        await tab.ends(answer, prompt)
    events = [r for tab in tabs for r in tab.requests if "/events" in r.url]
    assert len({r.url for r in events}) <= 2, (
        "one connection for all, and one before the first chat had an id"
    )
    for tab in tabs:
        tab.calm()


async def test_the_list_without_a_script(stage: Stage, open_page: Open) -> None:
    plain = await open_page(stage.url, java_script_enabled=False)
    await plain.prompt.fill("n=2 a plain chat")
    await plain.send.click()
    # Until then the page loads itself again, whatever one does in it.
    await expect(plain.article(await plain.answer())).to_have_attribute("data-status", "completed")
    await plain.page.get_by_role("button", name="Chat options").click()
    await plain.page.get_by_role("textbox", name="Title").fill("a better title")
    await plain.page.get_by_role("button", name="Rename").click()
    await expect(link(plain, "a better title")).to_be_visible()
    await plain.page.get_by_role("searchbox", name="Search chats").fill("better")
    await plain.page.get_by_role("searchbox", name="Search chats").press("Enter")
    await expect(plain.page.get_by_role("heading", level=1)).to_have_text("Chats with “better”")
    await link(plain, "a better title").click()
    await plain.page.get_by_role("button", name="Chat options").click()
    await plain.page.get_by_role("button", name="Delete").click()
    await plain.page.get_by_role("button", name="Undo").click()
    await expect(plain.articles).to_have_count(2)
