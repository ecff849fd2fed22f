"""What the page's stream costs: `python -m benchmarks.html [part…] [--report docs]`.

Real server processes, a real Redis, and for the part `together` a real Chromium. All of it takes eight
minutes, `together` four and a half of them; the report goes into docs/rendering.md.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import uvloop

from benchmarks import page as chromium
from benchmarks.client import Exchange, request_bytes
from benchmarks.lagging import worst_holds
from benchmarks.measure import cpu_seconds
from benchmarks.processes import provider
from benchmarks.rendering import HOSTILE, TEXTS, numbered
from benchmarks.systems import SYSTEMS, Kind, System, running
from benchmarks.viewers import Answer
from benchmarks.wire import Script
from chatapp.rendering.document import render

_NAMES = [*TEXTS, *HOSTILE]
_RATE = 50
#: Texts of answers at once, and how many times the size of the final HTML the stream may have.
_TOGETHER = {"mixed": 3, "fence": 5, "list": 5, "table": 5}
#: What a report replaces.
_FIGURES = re.compile(
    r"(?<=<!-- benchmarks.html: begin -->\n).*?(?=<!-- benchmarks.html: end -->)", re.DOTALL
)
_HOLDS = "ms by the clock | ours | CPU of the loop's thread | collector |"

#: What was asked of what, the limit, what was found, and whether that is enough.
Verdict = tuple[str, str, str, bool]


@dataclass
class Found:
    """What a part has found: figures beside what was asked, and tables."""

    verdicts: list[Verdict]
    tables: list[str]


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
    if not found.complete:
        raise RuntimeError(f"the stream {answer.path} ended before its answer did")
    return found


async def cpu() -> Found:
    """Measure the processor time of a token of 8 characters of mixed markdown, 100 answers at once."""
    script = Script(500, _RATE, text=_NAMES.index("mixed"))
    costs = {}
    async with provider() as port:
        for name in ("chatapp", "chatapp-html"):
            async with running(SYSTEMS[name], port) as system:
                await asyncio.gather(*(_one(system, Script(50, 100), 0.0) for _ in range(4)))
                before = cpu_seconds(system.processes)
                await asyncio.gather(*(_one(system, script, number / 100) for number in range(100)))
                costs[name] = (cpu_seconds(system.processes) - before) / (100 * script.n) * 1e6
    html, plain = costs["chatapp-html"], costs["chatapp"]
    what = "CPU of all server processes a token, HTML / JSON; 100 answers at once, mixed, 50 tokens/s"
    return Found(
        [(what, "1.4", f"{html / plain:.2f} ({html:.0f} / {plain:.0f} µs)", html / plain <= 1.4)], []
    )


async def _one(system: System, script: Script, after: float) -> Read:
    await asyncio.sleep(after)
    return await read(system.port, await system.begin(script))


async def alone() -> Found:
    """Measure how long the event loop is held by one answer of each kind, 20,000 characters/s."""
    rows = {}
    async with _lagging() as (system, file):
        for number, name in enumerate(_NAMES):
            script = Script(len(numbered(number)) // 100, 200, text=number, size=100)
            rows[name] = await _held(file, _one(system, script, 0.1))
    table = "\n".join(
        [
            f"One answer at a time, 100,000 characters, 20,000 characters/s:\n\n| text | {_HOLDS}",
            "|---|--:|--:|--:|--:|",
            *(
                f"| `{name}` | {' | '.join(f'{value:.1f}' for value in row.values())} |"
                for name, row in rows.items()
            ),
        ]
    )
    worst = max(rows, key=lambda name: rows[name]["ours"])
    return Found([_hold(f"one answer of any kind (worst: `{worst}`)", rows[worst])], [table])


async def together() -> Found:
    """Measure answers of 100,000 characters, 400 characters/s: their bytes, and what Chromium does."""
    scripts = {name: Script(12_500, _RATE, text=_NAMES.index(name)) for name in _TOGETHER}
    found = Found([], [])
    async with _lagging() as (system, file):
        begun = asyncio.Event()
        seen = asyncio.create_task(chromium.follow(system, scripts["mixed"], begun))
        # To start a browser takes both cores, and its first page has the static files compressed.
        await asyncio.wait({seen, asyncio.create_task(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
        readers = asyncio.gather(*(_one(system, script, 0.1) for script in scripts.values()))
        held = await _held(file, readers)
        for (name, limit), one in zip(_TOGETHER.items(), await readers, strict=True):
            ratio = one.size / len(render(numbered(_NAMES.index(name))).encode())
            what = f"bytes of the stream / final HTML, 400 characters/s, one {name}"
            found.verdicts.append((what, str(limit), f"{ratio:.2f}", ratio <= limit))
        page = await seen
    found.verdicts.append(_hold("five long answers at once, 400 characters/s", held))
    (clock, ran), (_, most) = page.longest, page.dearest
    longest = f"{clock:.0f} by the clock, {ran:.1f} of them on a processor; most CPU of a task {most:.1f}"
    found.verdicts.append(("Chromium, mixed, 400 characters/s: longest task, ms", "50", longest, clock <= 50))
    first, last = page.quarters[0], page.quarters[-1]
    for name, early, late in zip(("script", "style", "layout"), first[1:], last[1:], strict=True):
        what = f"Chromium: {name} of an event, first and last quarter, ms of CPU"
        found.verdicts.append((what, "equal", f"{early:.2f} and {late:.2f}", late <= 1.2 * early + 0.2))
    lines = ["| quarter | all of the main thread | script | style | layout |", "|---|--:|--:|--:|--:|"]
    for number, quarter in enumerate(page.quarters, 1):
        lines.append(f"| {number} | {' | '.join(f'{value:.2f}' for value in quarter)} |")
    lines.append(f"| a bare page | {' | '.join(f'{value:.2f}' for value in page.bare)} |")
    heading = f"Chromium, {page.events} events, ms of CPU of the main thread an event:\n"
    found.tables.append("\n".join([heading, *lines]))
    return found


async def hostile() -> Found:
    """Measure how long the event loop is held by texts made to be slow, all of them at once."""
    sizes = [len(numbered(len(TEXTS) + number)) // 40 for number in range(len(HOSTILE))]
    scripts = [Script(n, _RATE, text=len(TEXTS) + at, size=40) for at, n in enumerate(sizes)]
    async with _lagging() as (system, file):
        held = await _held(file, asyncio.gather(*(_one(system, script, 0.1) for script in scripts)))
    return Found([_hold(f"{len(HOSTILE)} hostile texts at once, 2,000 characters/s each", held)], [])


def _hold(what: str, held: Mapping[str, float]) -> Verdict:
    more = f"{held['clock']:.1f} by the clock; CPU {held['cpu']:.1f}, collector {held['collector']:.1f}"
    found = f"{held['ours']:.1f} ({more})"
    return f"event loop held, ms: {what}", "10", found, held["ours"] <= 10


async def _held(file: Path, work: Awaitable[object]) -> dict[str, float]:
    begun = monotonic()
    await work
    ended = monotonic()
    # What the end leaves to be done, and the line that tells of it.
    await asyncio.sleep(1.3)
    return worst_holds(file, begun, ended)


@asynccontextmanager
async def _lagging() -> AsyncIterator[tuple[System, Path]]:
    """Run the server with a watch on its event loop, which writes to the file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lag.jsonl"
        plain = SYSTEMS["chatapp-html"]
        kind: Kind = replace(
            plain,
            command=(sys.executable, "-m", "benchmarks.lagging"),
            env={**plain.env, "LAG_FILE": str(file)},
        )
        async with provider() as port, running(kind, port) as system:
            # What happens at the start is none of it.
            await asyncio.sleep(2.5)
            yield system, file


_PARTS: dict[str, Callable[[], Awaitable[Found]]] = {
    "cpu": cpu,
    "alone": alone,
    "together": together,
    "hostile": hostile,
}


async def _measured(parts: Iterable[str]) -> str:
    verdicts: list[Verdict] = []
    tables: list[str] = []
    loads = []
    for name in parts:
        loads.append(f"{os.getloadavg()[0]:.1f}")
        found = await _PARTS[name]()
        verdicts += found.verdicts
        tables += found.tables
        print(f"\n{name}\n", *_lines(found.verdicts), "", *found.tables, sep="\n", flush=True)
    load = f"Load of the machine before each part: {', '.join(loads)}.\n"
    return "\n".join([load, *_lines(verdicts), "", *(f"{table}\n" for table in tables)])


def _lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "| | asked | found | |\n|---|---|---|---|"
    for what, asked, found, met in verdicts:
        yield f"| {what} | {asked} | {found} | {'met' if met else '**missed**'} |"


def main() -> None:
    """Measure all parts, or those named on the command line, and print or report what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.html", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", choices=[*_PARTS, []], help=", ".join(_PARTS))
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write rendering.md there")
    arguments = parser.parse_args()
    figures = uvloop.run(_measured(arguments.parts or _PARTS))
    if arguments.report is not None:
        file = arguments.report / "rendering.md"
        text, count = _FIGURES.subn(lambda _: figures, file.read_text())
        if count != 1:
            raise SystemExit(f"{file} has no place for the figures")
        file.write_text(text)


if __name__ == "__main__":
    main()
