"""What a browser does with an answer while it grows: Chromium's own figures of its main thread."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from playwright.async_api import async_playwright

from benchmarks.systems import System
from benchmarks.wire import Script

__all__ = ("Page", "follow")

#: What a trace of the page holds: its tasks. Their CPU time does not count what other programs took.
_TRACED = "disabled-by-default-devtools.timeline"
_PARTS = ("TaskDuration", "ScriptDuration", "RecalcStyleDuration", "LayoutDuration")

_OBSERVE = """() => {
  window.swaps = 0;
  document.addEventListener('htmx:sse:after:message', () => { window.swaps += 1; });
}"""

#: The least that a page can do: a timer puts as many characters behind the others, and scrolls to the end.
_BARE = """([size, every]) => {
  document.body.innerHTML = '<main style="width: 42rem; margin: auto; font: 16px/1.65 sans-serif"></main>';
  const [words, main] = ['some words of a text that goes on ', document.querySelector('main')];
  window.swaps = 0;
  let [at, paragraph] = [0, null];
  setInterval(() => {
    if (at % 440 < size) paragraph = main.appendChild(document.createElement('p'));
    paragraph.append(words.repeat(size).slice(at % words.length).slice(0, size));
    scrollTo(0, document.documentElement.scrollHeight);
    at += size;
    window.swaps += 1;
  }, every);
}"""


@dataclass(frozen=True)
class Page:
    """The longest tasks by the clock and by CPU, and the work of an event by quarters.

    Of each task: ms by the clock, and of CPU. A quarter: ms of CPU of the main thread an event, in all, in
    script, for style and for layout. `bare`: the same of a page that does nothing but append the text.
    """

    events: int
    longest: tuple[float, float]
    dearest: tuple[float, float]
    quarters: Sequence[Sequence[float]]
    bare: Sequence[float]


async def follow(system: System, script: Script, begun: asyncio.Event) -> Page:
    """Let an answer come in Chromium, on a screen of usual size; say when it has begun."""
    async with async_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.goto(f"http://127.0.0.1:{system.port}/")
        client = await page.context.new_cdp_session(page)
        await client.send("Performance.enable", {"timeDomain": "threadTicks"})
        await page.get_by_role("textbox", name="Message").fill(str(script))
        await page.keyboard.press("Enter")
        await page.locator('[aria-busy="true"]').wait_for()
        await page.wait_for_timeout(1000)
        begun.set()
        await page.evaluate(_OBSERVE)
        await browser.start_tracing(page=page, categories=[_TRACED])
        lasts = script.n / script.rate - 1
        looks = [await _look(client.send, page.evaluate)]
        for _ in range(4):
            # The last one ends before the answer does, which is more than an event.
            await page.wait_for_timeout(lasts / 4 * 1000 * 0.97)
            looks.append(await _look(client.send, page.evaluate))
        await page.locator('article[data-role="assistant"][data-status="completed"]').wait_for(timeout=60_000)
        await page.wait_for_timeout(500)
        tasks = _tasks(json.loads(await browser.stop_tracing()))
        bare = await browser.new_page(viewport={"width": 1280, "height": 800})
        client = await bare.context.new_cdp_session(bare)
        await client.send("Performance.enable", {"timeDomain": "threadTicks"})
        await bare.evaluate(_BARE, [round(script.rate * script.size / 10), 100])
        alone = []
        for seconds in (2, 10):
            await bare.wait_for_timeout(seconds * 1000)
            alone.append(await _look(client.send, bare.evaluate))
        await browser.close()
    quarters = [_each(then, now) for then, now in pairwise(looks)]
    return Page(
        int(looks[-1][0]),
        max(tasks),
        max(tasks, key=lambda task: task[1]),
        quarters,
        _each(*alone),
    )


def _each(then: Sequence[float], now: Sequence[float]) -> Sequence[float]:
    """Return what was used between two looks, ms an event."""
    events = max(1, now[0] - then[0])
    return [(after - before) * 1e3 / events for before, after in zip(then[1:], now[1:], strict=True)]


async def _look(
    send: Callable[[str], Awaitable[dict[str, Any]]], evaluate: Callable[[str], Awaitable[float]]
) -> Sequence[float]:
    """Return how many events there were, and seconds of CPU for each of the parts."""
    found = await send("Performance.getMetrics")
    values = {str(one["name"]): float(one["value"]) for one in found["metrics"]}
    return [await evaluate("window.swaps"), *(values[name] for name in _PARTS)]


def _tasks(trace: dict[str, list[dict[str, Any]]]) -> list[tuple[float, float]]:
    """Return the tasks of a page's main thread: ms by the clock, and of CPU."""
    events = trace["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        (event["dur"] / 1e3, event.get("tdur", 0) / 1e3)
        for event in events
        if event["name"] == "RunTask" and event["ph"] == "X" and (event["pid"], event["tid"]) in mains
    ]
