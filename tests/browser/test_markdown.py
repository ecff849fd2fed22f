"""Answers as markdown: every kind of block, usable while it grows, and harmless whatever it says."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from chatapp.web.bodies import part_name
from tests.browser.conftest import Open
from tests.conftest import Stage
from tests.rendering.dom import check
from tests.support.page import ChatPage, poll
from tests.support.script import Script
from tests.support.showcase import SHOWCASE

#: Chunks of the first repetition, and of a little more than its fence and its table.
WHOLE = next(n for n in range(1, 1000) if Script(n=n, kind="showcase").text.startswith(SHOWCASE))
BELOW = next(n for n in range(1, 1000) if "A quote of" in Script(n=n, kind="showcase").text)
PROMPT = f"n={WHOLE} rate=300 kind=showcase"
STALLED = f"{PROMPT} fault=stall@{BELOW}"

KINDS_OF_BLOCKS = (
    "h1; h2; p strong; p em; p code; p del; ol > li; ul > li; ol ul; li.task input:checked; "
    ".code pre code .k; .table th; td[align=right]; blockquote p; hr; br; sup.footnote-ref; aside.footnote"
)
#: A selection's text, and how far the wide things are scrolled.
STATE = """e => [
  getSelection().toString(), e.querySelector('pre').scrollLeft, e.querySelector('.table').scrollLeft
]"""


async def visible(chat: ChatPage, answer: str, selector: str) -> None:
    async def there() -> bool:
        return await chat.body(answer).locator(selector).count() > 0

    await poll(there, selector)


async def test_every_kind_of_block(chat: ChatPage) -> None:
    answer = await chat.ask(PROMPT)
    await chat.ends(answer, PROMPT)
    body = chat.body(answer)
    for selector in KINDS_OF_BLOCKS.split("; "):
        assert await body.locator(selector).count() > 0, selector
    links = body.locator("a[href]")
    assert await links.count() == 2
    for number in range(2):
        await expect(links.nth(number)).to_have_attribute("rel", "noopener noreferrer nofollow")
        await expect(links.nth(number)).to_have_attribute("target", "_blank")
    chat.calm()


async def test_what_is_finished_stays_while_more_arrives(stage: Stage, open_page: Open) -> None:
    """The same nodes, selected and scrolled as they were, to the end and through it."""
    chat = await open_page(stage.url, viewport={"width": 320, "height": 568})
    answer = await chat.ask(STALLED)
    body = chat.body(answer)
    await visible(chat, answer, "blockquote")
    await body.evaluate("""e => {
      window.kept = [...e.querySelectorAll(':scope > * > *')].slice(0, -1);
      e.querySelector('pre').scrollLeft = 40;
      e.querySelector('.table').scrollLeft = 30;
      getSelection().selectAllChildren(e.querySelector('h2'));
    }""")
    before = await body.evaluate(STATE)
    assert before == ["Steps", 40, 30]
    stage.provider.release()
    await chat.ends(answer, PROMPT)
    assert await body.evaluate(STATE) == before
    assert await body.evaluate("""e => {
      const blocks = e.querySelectorAll(':scope > * > *');
      return kept.length > 5 && kept.every((node, n) => blocks[n] === node);
    }""")
    chat.calm()


async def test_a_reload_in_mid_answer_shows_the_same_blocks(chat: ChatPage, stage: Stage) -> None:
    answer = await chat.ask(STALLED)
    await chat.stands_at(answer, STALLED, BELOW)
    await visible(chat, answer, "blockquote")
    grown = await chat.html(answer)
    await chat.reload()
    assert await chat.html(answer) == grown
    stage.provider.release()
    await chat.ends(answer, PROMPT)
    chat.calm()


@pytest.mark.parametrize("clipboard", [True, False])
async def test_code_is_copied_once_it_is_complete(stage: Stage, open_page: Open, clipboard: bool) -> None:
    inside = SHOWCASE.index("    # The mean")
    half = next(n for n in range(1, 1000) if len(Script(n=n, kind="showcase").text) > inside + 60)
    permissions = ["clipboard-read", "clipboard-write"]
    chat = await open_page(stage.url, permissions=permissions)
    if not clipboard:
        # As on plain HTTP.
        await chat.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    answer = await chat.ask(f"{PROMPT} fault=stall@{half}")
    button = chat.body(answer).locator(".code button").first
    await expect(button).to_be_attached()
    await expect(button).to_be_disabled()
    place = await button.evaluate("e => JSON.stringify(e.getBoundingClientRect().toJSON().x)")
    stage.provider.release()
    await chat.ends(answer, PROMPT)
    await expect(button).to_be_enabled()
    assert await button.evaluate("e => JSON.stringify(e.getBoundingClientRect().toJSON().x)") == place
    await button.click()
    await expect(button).to_have_text("Copied")
    code = SHOWCASE.partition("```python\n")[2].partition("```")[0]
    if clipboard:
        assert await chat.page.evaluate("navigator.clipboard.readText()") == code
    else:
        await chat.prompt.focus()
        await chat.page.keyboard.press("Control+V")
        assert await chat.prompt.input_value() == code
    await expect(button).to_have_text("Copy", timeout=4000)
    chat.calm()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
@pytest.mark.parametrize("script", [True, False])
async def test_long_lines_of_code_wrap_if_wanted(
    stage: Stage, open_page: Open, width: int, height: int, script: bool
) -> None:
    chat = await open_page(stage.url, viewport={"width": width, "height": height})
    answer = await chat.ask(PROMPT)
    await chat.ends(answer, PROMPT)
    if not script:
        session = await chat.page.context.storage_state()
        plain = await open_page(
            stage.url,
            viewport={"width": width, "height": height},
            java_script_enabled=False,
            storage_state=session,
        )
        await plain.page.goto(chat.page.url)
        chat = plain
    block = chat.body(answer).locator(".code").first
    await expect(block.locator(".language")).to_have_text("python")
    wide = "e => e.scrollWidth > e.clientWidth + 1"
    await block.locator("pre code").evaluate("e => { e.lastChild.textContent += 'long '.repeat(60); }")
    assert await block.locator("pre").evaluate(wide)
    wrap = block.get_by_role("checkbox", name="Wrap")
    await wrap.focus()
    await chat.page.keyboard.press("Space")
    assert not await block.locator("pre").evaluate(wide)
    other = chat.body(answer).locator(".code").nth(1)
    if await other.count():
        await expect(other.get_by_role("checkbox", name="Wrap")).not_to_be_checked()
    await wrap.click()
    assert await block.locator("pre").evaluate(wide)
    chat.calm()


async def test_formulas_are_drawn_where_there_are_any(chat: ChatPage, stage: Stage) -> None:
    def asked() -> list[str]:
        return [
            request.url for request in chat.requests if "temml" in request.url or "math.js" in request.url
        ]

    first = await chat.ask(PROMPT)
    await chat.ends(first, PROMPT)
    assert not asked()
    prompt = "n=150 rate=300 kind=math"
    answer = await chat.ask(prompt)
    await chat.ends(answer, prompt)
    await visible(chat, answer, "math msub")
    await visible(chat, answer, "div.math math.tml-display")
    assert len(asked()) == 2
    await chat.reload()
    await visible(chat, answer, "math msub")
    drawn = chat.body(answer).locator("[data-drawn]")

    async def all_drawn() -> bool:
        return await drawn.count() == await chat.body(answer).locator(".math").count()

    await poll(all_drawn, "all formulas drawn")
    await expect(chat.body(answer)).to_contain_text("It costs $5 and $6, with $no$ formula.")
    await chat.ends(answer, prompt)
    chat.calm()


async def test_wide_things_scroll_inside_themselves(stage: Stage, open_page: Open) -> None:
    chat = await open_page(stage.url, viewport={"width": 320, "height": 568})
    prompts = (PROMPT, "n=150 kind=math", "n=400 kind=attack seed=2")
    for prompt in prompts:
        answer = await chat.ask(prompt)
        await chat.ends(answer, prompt)
        assert await chat.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert await chat.page.evaluate("document.querySelector('pre').scrollWidth") > 320
    assert await chat.page.evaluate("document.querySelector('.table').scrollWidth") > 320
    chat.calm()


@pytest.mark.parametrize("seed", range(4))
async def test_an_attack_never_comes_alive(chat: ChatPage, stage: Stage, seed: int) -> None:
    """Cut anywhere, looked at again and again: nothing but what the allow-list has."""
    stalls = ",".join(f"stall@{number}" for number in range(50, 700, 50))
    prompt = f"n=700 rate=250 kind=attack seed={seed} fault={stalls}"
    answer = await chat.ask(prompt)
    looks = 0
    while await chat.article(answer).get_attribute("aria-busy"):
        check(await chat.html(answer), part_name(answer))
        looks += 1
        stage.step()
    await chat.ends(answer, prompt)
    check(await chat.html(answer), part_name(answer))
    assert looks > 10
    await chat.reload()
    check(await chat.html(answer), part_name(answer))
    chat.calm()


async def test_what_a_model_thinks_is_above_its_answer(chat: ChatPage, stage: Stage) -> None:
    prompt = "n=30 rate=200 fault=reasoning@4,stall@0"
    answer = await chat.ask(prompt)
    block = chat.article(answer).locator("details")
    await expect(block.locator("summary")).to_have_text("Thinking…")
    await expect(block.locator("div")).to_be_hidden()
    await chat.reload()
    await expect(block.locator("summary")).to_have_text("Thinking…")
    assert await chat.body(answer).evaluate("e => getComputedStyle(e, '::before').content") == "none"
    await block.locator("summary").click()
    await expect(block.locator("div")).to_have_text("thought 0. thought 1. thought 2. thought 3.")
    stage.provider.release()
    await expect(block.locator("summary")).to_contain_text("Thought for ")
    await chat.ends(answer, prompt)
    await expect(block.locator("div")).to_be_visible()  # whoever reads it goes on reading
    label = await block.locator("summary").inner_text()
    await chat.reload()
    await expect(block.locator("summary")).to_have_text(label)
    await expect(block.locator("div")).to_be_hidden()
    await chat.ends(answer, prompt)
    chat.calm()


async def test_a_line_is_written_from_right_to_left_where_its_words_are(chat: ChatPage) -> None:
    """What comes later in such a line is left of what came before, a number or a Latin word, too."""
    places = """e => {
      const text = document.createTreeWalker(e, NodeFilter.SHOW_TEXT).nextNode();
      return [...text.data.matchAll(/\\S+/g)].map(({ index }) => {
        const range = document.createRange();
        range.setStart(text, index);
        range.setEnd(text, index + 1);
        return range.getBoundingClientRect().x;
      });
    }"""
    answer = await chat.ask("שלום n=2\nhello world")
    await chat.ends(answer, "n=2")
    hebrew, script, *latin = await chat.articles.first.locator('[data-part="body"]').evaluate(places)
    assert script < hebrew
    assert latin == sorted(latin)
    paragraph = chat.body(answer).locator("p")
    await paragraph.evaluate("e => { e.textContent = 'שלום world'; }")
    hebrew, world = await paragraph.evaluate(places)
    assert world < hebrew
    await chat.prompt.fill("שלום world")
    assert await chat.prompt.evaluate("e => getComputedStyle(e).unicodeBidi") == "plaintext"
