"""The browser goes offline, the tab is hidden, the server is away: the page says so and catches up."""

from __future__ import annotations

import time
from functools import partial

from playwright.async_api import expect

from tests.conftest import Stage
from tests.support.page import ChatPage, poll
from tests.support.proxy import FaultProxy

PROMPT = "n=80 rate=300 kind=emoji fault=stall@40"

SET_HIDDEN = """(hidden) => {
  Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true });
  Object.defineProperty(document, 'visibilityState',
    { get: () => hidden ? 'hidden' : 'visible', configurable: true });
  document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
}"""


#: Remembers what the line about the connection says, and when.
LISTEN = """() => {
  const line = document.querySelector('[role=status]');
  window.said = [];
  new MutationObserver(() => said.push([line.textContent, Date.now() / 1000]))
    .observe(line, { childList: true, characterData: true });
}"""


async def stalled(chat: ChatPage) -> str:
    """Ask, and wait until the first half is there and nothing more comes."""
    answer = await chat.ask(PROMPT)
    await chat.connected(1)
    await chat.stands_at(answer, PROMPT, 40)
    return answer


async def said(chat: ChatPage, words: str) -> float:
    """Wait until the line about the connection has said these words; return when it first did."""

    async def look() -> bool:
        return words in dict(await chat.page.evaluate("said"))

    await poll(look, words)
    return float(next(when for text, when in await chat.page.evaluate("said") if text == words))


async def counted(chat: ChatPage, times: int) -> bool:
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
    await chat.page.evaluate(LISTEN)
    await chat.page.context.set_offline(False)
    await said(chat, "Back online")
    await expect(chat.connection).to_have_text("")
    await chat.ends(answer, PROMPT, timeout=4)
    await chat.page.context.set_offline(True)
    await expect(chat.connection).to_have_text("Offline")
    assert await chat.connection.evaluate(more) == "none", "no answer runs"
    chat.calm(network=True)


async def test_offline_and_online_many_times(chat: ChatPage, stage: Stage) -> None:
    prompt = "n=1000 rate=40"
    answer = await chat.ask(prompt)
    for _ in range(5):
        await chat.grown(answer, len(await chat.text(answer)) + 20)
        await chat.page.context.set_offline(True)
        await expect(chat.connection).to_have_text("Offline")
        await chat.page.context.set_offline(False)
    stage.provider.hurry()
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
    await far.page.evaluate(LISTEN)
    proxy.refuse()
    proxy.cut_all()
    cut = time.time()
    assert 1.5 < await said(far, "Reconnecting…") - cut < 4
    await finished(stage)
    await proxy.accept()
    await far.ends(answer, PROMPT)
    await expect(far.connection).to_have_text("")
    far.calm(network=True)


async def test_short_drops_are_not_worth_a_word(far: ChatPage, proxy: FaultProxy) -> None:
    prompt = "n=2000 rate=80"
    answer = await far.ask(prompt)
    await far.page.evaluate(LISTEN)
    for number in range(1, 4):
        await far.connected(number)
        await far.grown(answer, len(await far.text(answer)) + 20)
        proxy.cut_all()
        await far.streamed(number + 1)
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

    async def given_up() -> bool:
        return not any("/stream" in request.path for request in proxy.open)

    await poll(given_up, "no stream")
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
      document.addEventListener('htmx:sse:before:connection', () => { window.tried = Date.now() / 1000; });
      document.addEventListener('htmx:sse:after:connection', () => { connections += 1; });
    }""")
    delays = []
    for number in range(2, 6):
        await far.page.evaluate(SET_HIDDEN, True)
        await far.page.wait_for_timeout(100)
        shown = time.time()
        await far.page.evaluate(SET_HIDDEN, False)
        await far.streamed(number)
        delays.append(await far.page.evaluate("tried") - shown)
        # What is hidden before it is connected again has no connection to give up.
        await poll(partial(counted, far, number), f"{number} connections")
    assert 0 < min(delays) < 0.3, "a lost connection waits 0.35 s at least, a shown tab must not"
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
