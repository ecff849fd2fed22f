"""The browser goes offline, the tab is hidden, the server is away: the page says so and catches up."""

from __future__ import annotations

import time
from functools import partial

from playwright.async_api import expect

from tests.conftest import Stage
from tests.support.markdown import shown_live
from tests.support.page import ChatPage, poll
from tests.support.proxy import FaultProxy
from tests.support.script import Script

PROMPT = "n=80 rate=300 kind=emoji fault=stall@40"
BEGUN = "".join(Script.parse(PROMPT).chunks()[:40])

SET_HIDDEN = """(hidden) => {
  Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true });
  Object.defineProperty(document, 'visibilityState',
    { get: () => hidden ? 'hidden' : 'visible', configurable: true });
  document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
}"""


async def stalled(chat: ChatPage) -> str:
    """Ask, and wait until the first half is there and nothing more comes."""
    answer = await chat.ask(PROMPT)
    begun = await shown_live(BEGUN)

    async def shown() -> bool:
        return await chat.text(answer) == begun

    await poll(shown, "the first half")
    return answer


async def connected(chat: ChatPage, times: int) -> bool:
    """Whether the page has counted so many connections."""
    return bool(await chat.page.evaluate("connections") >= times)


async def finished(stage: Stage) -> None:
    stage.provider.release()
    await stage.provider.until(lambda: stage.provider.calls[-1].finished)


async def test_offline_and_online_again(chat: ChatPage, stage: Stage) -> None:
    answer = await stalled(chat)
    await expect(chat.connection).to_have_text("")
    await chat.page.context.set_offline(True)
    await expect(chat.connection).to_have_text("Offline")
    more = "e => getComputedStyle(e, '::after').content"
    assert "your answer continues on the server" in await chat.connection.evaluate(more)
    await finished(stage)
    await chat.page.wait_for_timeout(200)  # what was on its way
    before = await chat.text(answer)
    await chat.page.wait_for_timeout(700)
    assert await chat.text(answer) == before
    await chat.page.context.set_offline(False)
    await expect(chat.connection).to_have_text("Back online")
    await expect(chat.connection).to_have_text("")
    await chat.ends(answer, PROMPT, timeout=4)
    await chat.page.context.set_offline(True)
    await expect(chat.connection).to_have_text("Offline")
    assert await chat.connection.evaluate(more) == "none", "no answer runs"
    chat.calm(network=True)


async def test_offline_and_online_many_times(chat: ChatPage) -> None:
    prompt = "n=250 rate=60"
    answer = await chat.ask(prompt)
    for _ in range(5):
        await chat.grown(answer, len(await chat.text(answer)) + 20)
        await chat.page.context.set_offline(True)
        await expect(chat.connection).to_have_text("Offline")
        await chat.page.context.set_offline(False)
    await chat.ends(answer, prompt)
    await expect(chat.connection).to_have_text("")
    chat.calm(network=True)


async def test_online_again_means_a_new_connection(chat: ChatPage, stage: Stage) -> None:
    """The old one may hang for long after the network has changed under it."""
    answer = await stalled(chat)
    await chat.page.evaluate("dispatchEvent(new Event('online'))")
    await chat.streamed(2)
    stage.provider.release()
    await chat.ends(answer, PROMPT)
    chat.calm()


async def test_reconnecting_is_said_after_two_seconds(far: ChatPage, proxy: FaultProxy, stage: Stage) -> None:
    answer = await stalled(far)
    proxy.refuse()
    proxy.cut_all()
    cut = time.monotonic()
    await expect(far.connection).to_have_text("Reconnecting…")
    assert 1.5 < time.monotonic() - cut < 4
    await finished(stage)
    await proxy.accept()
    await far.ends(answer, PROMPT)
    await expect(far.connection).to_have_text("")
    far.calm(network=True)


async def test_short_drops_are_not_worth_a_word(far: ChatPage, proxy: FaultProxy) -> None:
    prompt = "n=2000 rate=80"
    answer = await far.ask(prompt)
    await far.page.evaluate("""() => {
      window.said = [];
      new MutationObserver(() => said.push(document.querySelector('[role=status]').textContent))
        .observe(document.querySelector('[role=status]'), { childList: true, characterData: true });
    }""")
    for number in range(2, 5):
        await far.grown(answer, len(await far.text(answer)) + 20)
        proxy.cut_all()
        await far.streamed(number)
    await far.stop.click()
    await far.ends(answer, prompt, "stopped")
    assert await far.page.evaluate("said") == []
    far.calm(network=True)


async def test_a_hidden_tab_gives_its_stream_up_and_comes_back(
    far: ChatPage, proxy: FaultProxy, stage: Stage
) -> None:
    # Headless Chromium has no hidden tabs, so the document is made to say it is one.
    answer = await stalled(far)
    await far.page.evaluate(SET_HIDDEN, True)
    await far.page.wait_for_timeout(300)
    passed = [request.bytes_down for request in proxy.requests if "/stream" in request.path]
    before = await far.text(answer)
    await finished(stage)
    await far.page.wait_for_timeout(1500)
    streams = [request.bytes_down for request in proxy.requests if "/stream" in request.path]
    assert streams == passed, "the hidden tab still reads, or asks again"
    assert await far.text(answer) == before
    await expect(far.connection).to_have_text("")

    await far.page.evaluate(SET_HIDDEN, False)
    await far.ends(answer, PROMPT, timeout=3)
    assert len(far.streams) == 2
    far.calm()


async def test_a_tab_that_is_shown_again_connects_at_once(far: ChatPage, stage: Stage) -> None:
    answer = await stalled(far)
    await far.page.evaluate("""() => {
      window.connections = 1;
      document.addEventListener('htmx:sse:after:connection', () => { connections += 1; });
    }""")
    delays = []
    for number in range(2, 6):
        await far.page.evaluate(SET_HIDDEN, True)
        await far.page.wait_for_timeout(100)
        await far.page.evaluate(SET_HIDDEN, False)
        shown = time.monotonic()
        await far.streamed(number)
        delays.append(time.monotonic() - shown)
        # What is hidden before it is connected again has no connection to give up.
        await poll(partial(connected, far, number), f"{number} connections")
    assert min(delays) < 0.3, "a lost connection waits 0.35 s at least, a shown tab must not"
    stage.provider.release()
    await far.ends(answer, PROMPT)
    far.calm()


async def test_hidden_and_back_many_times(far: ChatPage) -> None:
    prompt = "n=2000 rate=80 kind=hostile"
    answer = await far.ask(prompt)
    for _ in range(6):
        await far.grown(answer, len(await far.text(answer)) + 10)
        await far.page.evaluate(SET_HIDDEN, True)
        await far.page.wait_for_timeout(50)
        await far.page.evaluate(SET_HIDDEN, False)
    await far.stop.click()
    await far.ends(answer, prompt, "stopped")
    far.calm()
