"""What it costs to show markdown while it arrives: CPU, bytes, and the longest hold of the event loop."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time, thread_time

import nh3
import pyromark
from markdown_it import MarkdownIt

from chatapp.rendering.document import Document, render

_SIZE = 100_000
_SECTION = """## A heading of the answer

Some **bold** text with `code`, *emphasis* and [a link](https://example.org/page), and then a sentence
that goes on for a while, as the sentences of an answer do, until it comes to its end.

- first *item* of a list
- second item, with `code`
- third item

```python
def area(width: int, height: int) -> int:
    return width * height
```

| name | value |
|---|---|
| one | 1 |
| two | 2 |

> A quote, and the formula $a_1 + b_2$.

"""

TEXTS = {
    "mixed": _SECTION,
    "fence": "    value = compute(value, 'text & more')\n",
    "list": "- an **item** of a long flat list\n",
    "table": "| a cell | `code` | 12.5 |\n",
    "paragraph": "some **bold** text and *more* of it, with `code` in between; ",
    "nested list": "".join("  " * (n % 6) + f"- item {n} of it\n" for n in range(12)),
}
_HEADS = {"fence": "```python\n", "table": "| a | b | c |\n|---|---|--:|\n"}

HOSTILE = {
    "[": "[",
    "![": "![",
    "[a](": "[a](",
    "*a ": "*a ",
    "_a__b_": "_a__b_ ",
    "**x *y": "**x *y ",
    "> (5,000 deep)": "> ",
    "* (deep)": "* ",
    "backticks": "".join("`" * n + " " for n in range(1, 200)),
    "<a ": "<a ",
    "$a": "$a ",
    "\\(": "\\( ",
    "links": "[a](http://e.org) ",
    "[^1]": "[^1]",
    "[a]: b": "[a]: b\n",
    "|": "|",
}


def text(name: str) -> str:
    """Return 100,000 characters of a kind."""
    unit = {**TEXTS, **HOSTILE}[name]
    size = 10_000 if "deep" in name else _SIZE
    head = _HEADS.get(name, "")
    return (head + unit * (size // len(unit) + 1))[:size]


def numbered(number: int) -> str:
    """Return the text with this number, of the ordinary ones and the hostile ones behind them."""
    return text([*TEXTS, *HOSTILE][number])


class Lag:
    """Looks how late the event loop comes back to it: by the clock, and what its thread did meanwhile."""

    def __init__(self) -> None:
        self.clock = self.cpu = 0.0

    async def watch(self) -> None:
        while True:
            begun, before = perf_counter(), thread_time()
            await asyncio.sleep(0)
            self.clock = max(self.clock, perf_counter() - begun)
            self.cpu = max(self.cpu, thread_time() - before)

    def __str__(self) -> str:
        return f"{self.cpu * 1e3:.1f} ({self.clock * 1e3:.1f})"


async def follow(whole: str, step: int, lag: Lag | None = None) -> dict[str, float]:
    """Let a text arrive in steps, with one viewer; return the figures."""
    lag = lag or Lag()
    watcher = asyncio.create_task(lag.watch())
    document, seen, sent, ops = Document(), 0, 0, 0
    costs: list[float] = []
    for end in [*range(step, len(whole), step), len(whole)]:
        begun = process_time()
        # The watcher runs between, for a microsecond or two.
        await document.extend(whole[:end])
        for op in document.ops(seen, end):
            sent += len(op.html.encode())
            ops += 1
        costs.append(process_time() - begun)
        seen = end
        await asyncio.sleep(0)
    await document.extend(whole, final=True)
    sent += sum(len(op.html.encode()) for op in document.ops(seen, len(whole), final=True))
    watcher.cancel()
    quarter = len(costs) // 4
    return {
        "final": len(document.html(len(whole), final=True).encode()),
        "sent": sent,
        "ops": ops,
        "cost": sum(costs) / len(costs) * 1e6,
        "first": sum(costs[:quarter]) / quarter * 1e6,
        "last": sum(costs[-quarter:]) / quarter * 1e6,
    }


def steps_table(step: int) -> None:
    """Print a row for each kind of text that arrives in steps."""
    print(f"\n100,000 characters in steps of {step}\n")
    print("| text | bytes sent / final HTML | CPU µs a step | first quarter | last quarter | longest hold |")
    print("|---|---|---|---|---|---|")
    for name in TEXTS:
        lag = Lag()
        figures = asyncio.run(follow(text(name), step, lag))
        print(
            f"| {name} | {figures['sent'] / figures['final']:.2f} | {figures['cost']:.0f} "
            f"| {figures['first']:.0f} | {figures['last']:.0f} | {lag} |"
        )


def hostile_table() -> None:
    """Print the longest hold of the event loop for texts made to be slow, in steps and at once."""
    print("\nTexts made to be slow: longest hold of the event loop\n")
    print("| text | in steps of 200 | in four and the end |")
    print("|---|---|---|")
    for name in HOSTILE:
        whole = text(name)
        lags = [Lag(), Lag()]
        for lag, step in zip(lags, (200, len(whole) // 4), strict=True):
            asyncio.run(follow(whole, step, lag))
        print(f"| `{name}` | {lags[0]} | {lags[1]} |")


def parsers_table() -> None:
    """Print what one parse costs with each library."""
    markdown_it = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    options = pyromark.Options.ENABLE_TABLES | pyromark.Options.ENABLE_STRIKETHROUGH
    parsers: dict[str, Callable[[str], object]] = {
        "markdown-it-py": markdown_it.render,
        "pyromark, HTML": partial(pyromark.html, options=options),
        "pyromark, events": lambda source: list(pyromark.events_with_range(source, options=options)),
        "pyromark, HTML, nh3": lambda source: nh3.clean(pyromark.html(source, options=options)),
        "render": render,
    }
    print("\nOne pass, ms\n")
    print("| | 300 characters | mixed, 100,000 | `_a__b_`, 20,000 | `![`, 20,000 |")
    print("|---|---|---|---|---|")
    sources = [_SECTION[:300], text("mixed"), text("_a__b_")[:20_000], text("![")[:20_000]]
    for name, parse in parsers.items():
        print(f"| {name} | {' | '.join(f'{best(partial(parse, source)):.3f}' for source in sources)} |")


def best(call: Callable[[], object]) -> float:
    """Return the shortest of a few runs in milliseconds."""
    runs = []
    for _ in range(5):
        begun = perf_counter()
        call()
        runs.append(perf_counter() - begun)
    return min(runs) * 1e3


def main() -> None:
    """Print all tables, or those named on the command line: parsers, steps, hostile."""
    tables = sys.argv[1:] or ["parsers", "steps", "hostile"]
    if "parsers" in tables:
        parsers_table()
    if "steps" in tables:
        steps_table(10)
        steps_table(40)
    if "hostile" in tables:
        hostile_table()


if __name__ == "__main__":
    main()
