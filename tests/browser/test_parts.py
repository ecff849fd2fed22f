"""A long answer: what is far from the view is not laid out, and yet found, printed and selected."""

from __future__ import annotations

import json
import re
import zlib

from playwright.async_api import expect

from tests.conftest import Stage
from tests.support.page import ChatPage, poll

PROMPT = "n=2500 kind=markdown seed=3"
SHOWN = "e => e.checkVisibility({ contentVisibilityAuto: true })"
TRACED = "disabled-by-default-devtools.timeline.invalidationTracking"
#: A mark that neither the answer nor the page has anywhere else.
MARK = "ß"


async def far_part(chat: ChatPage) -> str:
    """Ask for a long answer; return the selector of a block of its begin, which is not laid out."""
    answer = await chat.ask(PROMPT)
    await chat.ends(answer, PROMPT)
    parts = chat.body(answer).locator("> *")
    assert await parts.count() > 4
    block = parts.nth(1).locator("> p").first

    async def skipped() -> bool:
        return not await block.evaluate(SHOWN)

    await poll(skipped, "a part far above is not laid out")
    part = await parts.nth(1).get_attribute("id")
    return f"#{part} > p:nth-of-type(1)"


async def test_the_browser_finds_what_is_not_laid_out(chat: ChatPage) -> None:
    block = chat.page.locator(await far_part(chat))
    text = str(await block.evaluate("e => e.firstChild.textContent"))
    assert len(text) > 20
    assert await chat.page.evaluate("text => find(text, false, false, true)", text)
    assert await block.evaluate("e => e.contains(getSelection().anchorNode)")
    assert await chat.page.evaluate("getSelection().toString()") == text

    async def seen() -> bool:
        return bool(
            await block.evaluate(
                "e => { const r = e.getBoundingClientRect(); return r.top >= 0 && r.top < innerHeight; }"
            )
        )

    await poll(seen, "what was found is in view")
    assert await block.evaluate(SHOWN)
    chat.calm()


async def test_a_print_has_what_is_not_laid_out(chat: ChatPage) -> None:
    block = chat.page.locator(await far_part(chat))
    assert MARK not in await chat.page.evaluate("document.body.textContent")
    await block.evaluate("(e, mark) => e.append(mark)", MARK)
    assert not await block.evaluate(SHOWN)
    # A font in a PDF has a table of the characters of which something is printed.
    assert f"{ord(MARK):04X}" in characters(await chat.page.pdf())
    chat.calm()


async def test_all_of_it_is_selected_and_copied(chat: ChatPage) -> None:
    block = chat.page.locator(await far_part(chat))
    await chat.page.evaluate("getSelection().selectAllChildren(document.querySelector('#transcript'))")
    assert str(await block.evaluate("e => e.firstChild.textContent")) in str(
        await chat.page.evaluate("getSelection().toString()")
    )
    chat.calm()


async def test_an_event_does_not_search_the_whole_answer(chat: ChatPage, stage: Stage) -> None:
    """Some rules of a style sheet make the browser look at all below an element for what they may change."""
    browser = chat.page.context.browser
    assert browser
    await chat.page.evaluate("""() => {
      window.swaps = 0;
      document.addEventListener('htmx:sse:after:message', () => { window.swaps += 1; });
    }""")
    await browser.start_tracing(page=chat.page, categories=[TRACED])
    # However busy the machine is, each of these pieces is an event, or more.
    stalls = range(20, 600, 20)
    prompt = f"n=600 kind=math fault=hold,{','.join(f'stall@{number}' for number in stalls)}"
    answer = await chat.ask(prompt)
    await chat.connected(1)
    seen = 0

    async def swapped() -> bool:
        return bool(await chat.page.evaluate("swaps") > seen)

    for number in stalls:
        seen = await chat.page.evaluate("swaps")
        stage.step()
        await stage.sent(prompt, number)
        await poll(swapped, f"what was said up to {number}")
    stage.step()
    await chat.ends(answer, prompt)
    await chat.body(answer).locator("math msub").first.wait_for()
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    searched = [
        event["args"]["data"]
        for event in events
        if event["name"] == "StyleInvalidatorInvalidationTracking"
        and re.match("HTML|BODY|MAIN|ARTICLE|DIV id='(transcript|body-)", event["args"]["data"]["nodeName"])
        and any(len(found) > 1 for found in event["args"]["data"]["invalidationList"])
    ]
    # Beginning and end of an answer change more than its text.
    assert await chat.page.evaluate("swaps") > 25
    assert len(searched) < 15, searched
    chat.calm()


async def test_the_end_does_not_search_the_whole_answer(chat: ChatPage, stage: Stage) -> None:
    """What is swapped in is searched for what htmx may begin, and at the end that is the message."""
    await chat.page.evaluate("""() => {
      window.searched = [];
      const { evaluate } = XPathExpression.prototype;
      XPathExpression.prototype.evaluate = function (node, ...more) {
        window.searched.push(Boolean(node.querySelector('[data-role="assistant"] > [data-part="body"] > *')));
        return evaluate.call(this, node, ...more);
      };
    }""")
    prompt = "n=40 rate=200 kind=markdown fault=stall@30"
    answer = await chat.ask(prompt)
    await chat.connected(1)
    await chat.stands_at(answer, prompt, 30)
    stage.provider.release()
    await chat.ends(answer, prompt)
    assert len(await chat.page.evaluate("searched")) > 5
    assert not any(await chat.page.evaluate("searched"))
    await chat.article(answer).get_by_role("button", name="Regenerate").click()
    await expect(chat.article(answer)).to_have_count(0)
    assert await chat.page.evaluate("'searched' in window"), "the page stays"
    chat.calm()


def characters(pdf: bytes) -> set[str]:
    """Return the code points, in hexadecimal digits, that the fonts of a PDF are used for."""
    found: set[str] = set()
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            text = zlib.decompress(stream)
        except zlib.error:
            continue
        if b"begincmap" in text:
            found |= {code.decode() for code in re.findall(rb"> <([0-9A-F]{4})>", text)}
    return found
