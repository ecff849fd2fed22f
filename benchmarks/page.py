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
_TASKS = "disabled-by-default-devtools.timeline"
_PARTS = ("TaskDuration", "ScriptDuration", "RecalcStyleDuration", "LayoutDuration")

_OBSERVE = """() => {
  window.swaps = 0;
  window.longest = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((task) => {
    window.longest = Math.max(window.longest, task.duration);
  })).observe({ type: 'longtask' });
  document.addEventListener('htmx:sse:after:message', () => { window.swaps += 1; });
}"""


@dataclass(frozen=True)
class Page:
    """The longest task by the clock (0: none of 50 ms) and of CPU, ms; the work of an event by quarters.

    A quarter: ms of CPU of the main thread an event, in all, in script, for style and for layout.
    """

    events: int
    longest: float
    longest_cpu: float
    quarters: Sequence[Sequence[float]]


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
        await browser.start_tracing(page=page, categories=[_TASKS])
        seconds = script.n / script.rate - 1
        looks = [await _look(client.send, page.evaluate)]
        for _ in range(4):
            # The last one ends before the answer does, which is more than an event.
            await page.wait_for_timeout(seconds / 4 * 1000 * 0.97)
            looks.append(await _look(client.send, page.evaluate))
        await page.locator('article[data-role="assistant"][data-status="completed"]').wait_for(timeout=60_000)
        await page.wait_for_timeout(500)
        longest: float = await page.evaluate("window.longest")
        trace = json.loads(await browser.stop_tracing())
        await browser.close()
    quarters = []
    for (then, *before), (now, *after) in pairwise(looks):
        quarters.append([(b - a) * 1e3 / max(1, now - then) for a, b in zip(before, after, strict=True)])
    return Page(int(looks[-1][0]), longest, _longest_task(trace), quarters)


async def _look(
    send: Callable[[str], Awaitable[dict[str, Any]]], evaluate: Callable[[str], Awaitable[float]]
) -> Sequence[float]:
    """Return how many events there were, and seconds of CPU for each of the parts."""
    found = await send("Performance.getMetrics")
    values = {str(one["name"]): float(one["value"]) for one in found["metrics"]}
    return [await evaluate("window.swaps"), *(values[name] for name in _PARTS)]


def _longest_task(trace: dict[str, list[dict[str, Any]]]) -> float:
    """Return the CPU time of the longest task of a page's main thread, in ms."""
    events = trace["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event.get("tdur", 0)
        for event in events
        if event["name"] == "RunTask" and event["ph"] == "X" and (event["pid"], event["tid"]) in mains
    ]
    return max(tasks, default=0) / 1e3
