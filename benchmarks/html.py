"""What the page's stream costs beside that of programs: `python -m benchmarks.html [cpu] [long] [hostile]`.

Real server processes and a real Redis; the page of `long` is a real Chromium.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop
from playwright.async_api import async_playwright

from benchmarks.client import Exchange, request_bytes
from benchmarks.measure import cpu_seconds
from benchmarks.processes import provider
from benchmarks.rendering import HOSTILE, TEXTS, numbered
from benchmarks.systems import SYSTEMS, Kind, System, running
from benchmarks.viewers import Answer
from benchmarks.wire import Script
from chatapp.rendering.document import render

_NAMES = [*TEXTS, *HOSTILE]
_RATE = 50
#: What a trace of the page holds: its tasks. Their CPU time does not count what other programs took.
_TASKS = "disabled-by-default-devtools.timeline"
_LONG = ("mixed", "fence", "list", "table")

_OBSERVE = """() => {
  window.events = [];
  window.longest = 0;
  let begun = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((task) => {
    window.longest = Math.max(window.longest, task.duration);
  })).observe({ type: 'longtask' });
  document.addEventListener('htmx:sse:before:message', () => { begun = performance.now(); });
  document.addEventListener('htmx:sse:after:message', () => { events.push(performance.now() - begun); });
}"""


@dataclass
class Read:
    """What one reader has received."""

    size: int = 0
    complete: bool = False


async def read(port: int, answer: Answer) -> Read:
    """Read a stream to its end and count its bytes."""
    found = Read()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    tail = b""

    def on_body(data: bytes) -> None:
        nonlocal tail
        found.size += len(data)
        tail = (tail + data)[-2000:]

    def on_end() -> None:
        found.complete = b"completed" in tail and (b"event: done" in tail or b"event: end" in tail)
        if not ended.done():
            ended.set_result(None)

    request = request_bytes("GET", answer.path, answer.headers, b"")
    await loop.create_connection(lambda: Exchange(request, on_body, on_end), "127.0.0.1", port)
    await ended
    return found


async def cpu() -> None:
    """Print the processor time of a token of 8 characters of mixed markdown, 100 answers at once."""
    script = Script(500, _RATE, text=_NAMES.index("mixed"))
    print(f"\n100 answers of 500 tokens, mixed, 50 tokens/s; load {os.getloadavg()[0]:.1f}\n")
    print("| stream | CPU µs a token, all server processes | bytes a token | complete |\n|---|---|---|---|")
    costs = {}
    async with provider() as port:
        for name in ("chatapp", "chatapp-html"):
            async with running(SYSTEMS[name], port) as system:
                await asyncio.gather(*(_one(system, Script(50, 100), 0.0) for _ in range(4)))
                before = cpu_seconds(system.processes)
                found = await asyncio.gather(*(_one(system, script, number / 100) for number in range(100)))
                costs[name] = (cpu_seconds(system.processes) - before) / (100 * script.n) * 1e6
            size = sum(one.size for one in found) / (100 * script.n)
            print(f"| {name} | {costs[name]:.0f} | {size:.0f} | {sum(one.complete for one in found)} |")
    print(f"\nHTML / JSON: {costs['chatapp-html'] / costs['chatapp']:.2f}")


async def _one(system: System, script: Script, after: float) -> Read:
    await asyncio.sleep(after)
    return await read(system.port, await system.begin(script))


async def long() -> None:
    """Print the bytes of answers of 100,000 characters, and what a browser does with one."""
    print(f"\n100,000 characters, 400 characters/s; load {os.getloadavg()[0]:.1f}\n")

    async def all_of_it(system: System) -> None:
        scripts = [Script(12_500, _RATE, text=_NAMES.index(name)) for name in _LONG]
        page = asyncio.create_task(_page(system, scripts[0]))
        found = await asyncio.gather(*(_one(system, script, 0.1) for script in scripts))
        print("| text | bytes of the stream / final HTML | complete |\n|---|---|---|")
        for name, one in zip(_LONG, found, strict=True):
            final = len(render(numbered(_NAMES.index(name))).encode())
            print(f"| {name} | {one.size / final:.2f} | {one.complete} |")
        await page

    await _lagging(all_of_it)


async def hostile() -> None:
    """Print how long the event loop was held by texts made to be slow, all of them at once."""
    print(f"\n{len(HOSTILE)} hostile texts at once, 2,000 characters/s each; load {os.getloadavg()[0]:.1f}\n")

    async def all_of_it(system: System) -> None:
        sizes = [len(numbered(len(TEXTS) + number)) // 40 for number in range(len(HOSTILE))]
        scripts = [Script(n, _RATE, text=len(TEXTS) + at, size=40) for at, n in enumerate(sizes)]
        found = await asyncio.gather(*(_one(system, script, 0.1) for script in scripts))
        print(f"complete: {sum(one.complete for one in found)}")

    await _lagging(all_of_it)


async def _lagging(work: Callable[[System], Awaitable[None]]) -> None:
    """Run the server with a watch on its event loop, and print what that saw."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lag.json"
        plain = SYSTEMS["chatapp-html"]
        kind: Kind = replace(
            plain,
            command=(sys.executable, "-m", "benchmarks.lagging"),
            env={**plain.env, "LAG_FILE": str(file)},
        )
        async with provider() as port, running(kind, port) as system:
            await asyncio.sleep(2.5)
            await work(system)
            await asyncio.sleep(1.5)
        worst = json.loads(file.read_text())
        print("\nlongest hold of the event loop:", end=" ")
        print(f"{worst['cpu']:.1f} ms of CPU, {worst['wall']:.1f} ms by the clock;", end=" ")
        print(f"longest run of the garbage collector: {worst['collector']:.1f} ms of CPU")


async def _page(system: System, script: Script) -> None:
    """Follow an answer in Chromium; print its long tasks, and the work of an event early and late."""
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
        await page.evaluate(_OBSERVE)
        await browser.start_tracing(page=page, categories=[_TASKS])
        quarters = []
        seconds = script.n / script.rate
        for _ in range(4):
            before = await _metrics(client.send)
            await page.wait_for_timeout(seconds / 4 * 1000 * 0.97)
            quarters.append(
                [now - then for now, then in zip(await _metrics(client.send), before, strict=True)]
            )
        await page.locator('article[data-role="assistant"][data-status="completed"]').wait_for(timeout=60_000)
        await page.wait_for_timeout(500)
        events: list[float] = await page.evaluate("window.events")
        longest: float = await page.evaluate("window.longest")
        cpu_longest = _longest_task(json.loads(await browser.stop_tracing()))
        await browser.close()
    part = len(events) // 4
    first, last = sorted(events[:part]), sorted(events[-part:])
    print(
        f"\nChromium: {len(events)} events; longest task over 50 ms by the clock: {longest:.0f} ms (0: none);"
    )
    print(f"longest task of all: {cpu_longest:.1f} ms of CPU")
    print("| quarter | ms of CPU of the main thread | of it script | layout | style |\n|---|---|---|---|---|")
    for number, found in enumerate(quarters, 1):
        print(f"| {number} | {' | '.join(f'{value * 1e3:.0f}' for value in found)} |")
    if part:
        print(
            f"swap of an event, ms, median: first quarter {first[part // 2]:.2f}, last {last[part // 2]:.2f}"
        )


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


async def _metrics(send: Callable[[str], Awaitable[dict[str, list[dict[str, float]]]]]) -> Sequence[float]:
    found = await send("Performance.getMetrics")
    values = {str(one["name"]): one["value"] for one in found["metrics"]}
    names = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
    return [values[name] for name in names]


async def _main(parts: Sequence[str]) -> None:
    for name, part in (("cpu", cpu), ("long", long), ("hostile", hostile)):
        if not parts or name in parts:
            await part()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1:]))
