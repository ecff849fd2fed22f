"""A network that cuts, corrupts and lies: the words are exact, once, and never fewer than before."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Open
from tests.conftest import Stage
from tests.support.page import ChatPage, poll
from tests.support.proxy import FaultProxy

HEAD = 1000  # bytes of a response's head, and a little more


@pytest.mark.parametrize("kind", ["emoji", "hostile"])
async def test_cut_while_the_answer_runs(stage: Stage, open_page: Open, kind: str) -> None:
    """Three tabs, seven cuts each, at bytes that lie inside events, tags and characters."""
    prompt = f"n=900 rate=75 kind={kind} seed=4"

    async def follow(tab: int, proxy: FaultProxy) -> tuple[ChatPage, str]:
        chat = await open_page(proxy.url)
        for number in range(7):
            size = HEAD + 900 + 200 * (number % 3) + 3 * number + tab
            proxy.cut_after(size, path_contains="/stream", reset=number % 2 == 1)
        answer = await chat.ask(prompt)
        await chat.streamed(5, timeout=40)
        return chat, answer

    async with AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(FaultProxy("127.0.0.1", stage.server.port)) for _ in range(3)
        ]
        followed = await asyncio.gather(*(follow(tab, proxy) for tab, proxy in enumerate(proxies)))
        stage.provider.hurry()
        await asyncio.gather(*(chat.ends(answer, prompt, timeout=40) for chat, answer in followed))
        for chat, _ in followed:
            chat.calm(network=True)


@pytest.mark.parametrize("kind", ["emoji", "surrogate"])
async def test_cut_at_each_of_many_bytes(far: ChatPage, proxy: FaultProxy, stage: Stage, kind: str) -> None:
    """The same rest of the answer again and again, each time a byte more of it, inside characters too."""
    prompt = f"n=400 rate=0 kind={kind} fault=stall@30"
    answer = await far.ask(prompt)
    await far.grown(answer, 20)
    proxy.answer(503, path_contains="/stream")
    proxy.cut_all()
    stage.provider.release()
    await stage.provider.until(lambda: stage.provider.calls[-1].finished)
    await far.streamed(2)
    proxy.heal()
    sizes = [*range(HEAD, HEAD + 24), *range(HEAD + 24, HEAD + 1500, 97)]
    for size in sizes:
        # Each connection, until one was cut: the page may give one up that is being made.
        proxy.heal()
        proxy.cut_after(size, times=None, path_contains="/stream")

        async def struck(size: int = size) -> bool:
            return any(request.bytes_down == size for request in proxy.requests)

        await far.page.evaluate("dispatchEvent(new Event('online'))")  # ends the back-off
        await poll(struck, f"a cut after {size} bytes")
    proxy.heal()
    await far.page.evaluate("dispatchEvent(new Event('online'))")
    await far.ends(answer, prompt)
    far.calm(network=True)


async def test_cut_before_the_first_event(far: ChatPage, proxy: FaultProxy, stage: Stage) -> None:
    for size in (0, 50, HEAD, HEAD + 300):
        proxy.cut_after(size, path_contains="/stream")
    answer = await far.ask("n=60 rate=300 fault=hold")
    await far.streamed(1)
    stage.provider.release()
    await far.ends(answer, "n=60 rate=300")
    assert len(far.streams) == 5
    far.calm(network=True)


@pytest.mark.parametrize("kind", ["emoji", "hostile"])
async def test_one_byte_at_a_time(far: ChatPage, proxy: FaultProxy, kind: str) -> None:
    prompt = f"n=150 rate=100 kind={kind}"
    proxy.split(1)
    answer = await far.ask(prompt)
    await far.ends(answer, prompt)
    assert len(far.streams) == 1
    far.calm()


@pytest.mark.parametrize("status", [200, 502, 503])
async def test_a_proxy_answers_the_very_first_connect(
    far: ChatPage, proxy: FaultProxy, stage: Stage, status: int
) -> None:
    """Both of a stream that came with a sent question, and of one that came with the page."""
    prompt = "n=60 rate=300 kind=markdown fault=stall@30"
    proxy.answer(status, times=2, path_contains="/stream")
    answer = await far.ask(prompt)
    await far.connected(1)
    await far.grown(answer, 20)
    assert len(far.streams) == 3
    proxy.answer(status, times=2, path_contains="/stream")
    await far.reload()
    stage.provider.release()
    await far.ends(answer, prompt)
    assert len(far.streams) == 6
    far.calm(network=True)


@pytest.mark.parametrize("status", [200, 502, 503])
async def test_a_proxy_answers_reconnects(
    far: ChatPage, proxy: FaultProxy, stage: Stage, status: int
) -> None:
    prompt = "n=60 rate=300 kind=hostile fault=stall@30"
    answer = await far.ask(prompt)
    await far.connected(1)
    await far.grown(answer, 20)
    proxy.answer(status, times=2, path_contains="/stream")
    proxy.cut_all(reset=True)
    await far.streamed(4)
    stage.provider.release()
    await far.ends(answer, prompt)
    far.calm(network=True)


@pytest.mark.parametrize("first", [True, False])
async def test_a_stream_that_is_gone_is_not_asked_for_again(
    far: ChatPage, proxy: FaultProxy, first: bool
) -> None:
    if first:
        proxy.answer(404, path_contains="/stream")
    answer = await far.ask("n=60 rate=300 fault=stall@30")
    if not first:
        await far.connected(1)
        await far.grown(answer, 20)
        proxy.answer(404, path_contains="/stream")
        proxy.cut_all()
    await expect(far.connection).to_have_text("This answer is no longer here. Reload the page.")
    asked = len(far.streams)
    await far.page.wait_for_timeout(1500)
    assert len(far.streams) == asked
    far.calm(network=True)


async def test_last_event_id_lost_on_the_way(far: ChatPage, proxy: FaultProxy, stage: Stage) -> None:
    """Some proxies drop the header: the address says the place too."""
    proxy.strip(header_name="Last-Event-ID")
    prompt = "n=1000 rate=50 kind=emoji"
    answer = await far.ask(prompt)
    for number in range(1, 4):
        await far.connected(number)
        await far.grown(answer, len(await far.text(answer)) + 20)
        proxy.cut_all()
        await far.streamed(number + 1)
    stage.provider.hurry()
    await far.ends(answer, prompt)
    assert len(set(far.streams)) == len(far.streams) == 4
    far.calm(network=True)


async def test_what_is_there_is_not_drawn_again(far: ChatPage, proxy: FaultProxy, stage: Stage) -> None:
    """A reader may have selected it: new text comes after the old, which stays the same node."""
    prompt = "n=60 rate=300 fault=stall@30"
    answer = await far.ask(prompt)
    await far.connected(1)
    await far.grown(answer, 20)
    await far.reload()
    await far.connected(2)
    paragraph = far.body(answer).locator("p")
    await paragraph.evaluate("e => { window.first = e.firstChild; }")
    proxy.cut_all()
    await far.streamed(3)
    stage.provider.release()
    await far.ends(answer, prompt)
    same = "e => e.firstChild === window.first && e.childNodes.length > 1"
    assert await paragraph.evaluate(same)
    far.calm(network=True)


@pytest.mark.timeout(120)
async def test_a_half_open_connection_is_found_out(far: ChatPage, proxy: FaultProxy, stage: Stage) -> None:
    """Nothing comes any more and nothing closes: after 30 s of silence the page connects anew."""
    prompt = "n=60 rate=300 fault=stall@30"
    answer = await far.ask(prompt)
    await far.connected(1)
    await far.grown(answer, 20)
    proxy.blackhole()
    stage.provider.release()
    await far.streamed(2, timeout=45)
    await expect(far.connection).to_have_text("Reconnecting…")
    proxy.heal()
    await far.ends(answer, prompt)
    await expect(far.connection).to_have_text("")
    far.calm(network=True)
