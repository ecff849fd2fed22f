"""Write performance.md and its plots from a results file: `python -m benchmarks.report RESULTS FOLDER`.

Runs in the benchmarks' own environment, which has matplotlib.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

from benchmarks.asked import verdicts
from benchmarks.tables import TABLES

mpl.use("svg")
from matplotlib import pyplot as plt  # the backend comes first

Results = dict[str, Any]

#: What the figures cannot say by themselves: where the time goes, what was tried.
NOTES = Path(__file__).parent / "notes.md"

COLORS = {"chatapp": "C0", "relay": "0.5", "fastapi": "C2", "ai-sdk": "C3"}

#: Row, file, what is drawn over what, from the rows' steps.
PLOTS = (
    ("m", "growth", "answers", "us", "answers at once", "CPU µs a token"),
    ("n", "viewers", "viewers", "us", "viewers of one answer", "CPU µs a delivered token"),
    ("d", "rate", "answers", "p99_ms", "answers at once (50 tokens/s each)", "token age p99, ms"),
    ("h", "connections", "viewers", "connections", "viewers", "connections to Redis"),
    ("s", "soak", "answers", "server_kib", "answers so far", "server's memory (PSS), KiB"),
)


def main(results_file: Path, folder: Path) -> None:
    """Write the page and its plots."""
    rows: Results = json.loads(results_file.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    plots = dict(_plots(rows, folder))
    parts = [
        "# Performance\n",
        "Written by `python -m benchmarks.run --report docs`; "
        "[benchmarks/README.md](../benchmarks/README.md) says how the figures are made. Medians of the "
        "rounds. Compare the systems of a row with each other: times belong to this machine.\n",
        f"{_machines(rows)}\n",
        "## Asked and found\n",
        *_asked(rows),
        NOTES.read_text(),
    ]
    for row, title, figures in TABLES:
        if row in rows:
            parts.append(f"## {row}. {title}\n")
            if rows[row]["quick"]:
                parts.append("*A quick run: it shows that the row works, and nothing else.*\n")
            parts.append(_table(rows[row]["results"], figures))
        if row in plots:
            parts.append(f"![{title}]({plots[row]})\n")
    (folder / "performance.md").write_text("\n".join(parts))


def _asked(rows: Results) -> Iterable[str]:
    yield "| what | asked | found | |\n|---|---|---|---|"
    for what, asked, found, met in verdicts(rows):
        yield f"| {what} | {asked} | {found} | {'–' if met is None else 'met' if met else '**missed**'} |"
    yield ""


def _machines(rows: Results) -> str:
    found = [row["machine"] for row in rows.values()]
    times = sorted(machine["time"] for machine in found)
    first = found[0]
    commits = ", ".join(sorted({machine["commit"] for machine in found}))
    return (
        f"{first['cpu']}, {first['cores']} cores, Linux {first['kernel']}, Python {first['python']}; "
        f"{times[0]} to {times[-1]}; commit {commits}; load of the machine before each row: "
        f"{', '.join(str(machine['load']) for machine in found)}."
    )


def _table(results: list[Results], figures: Iterable[tuple[str, str]]) -> str:
    systems: defaultdict[str, list[Results]] = defaultdict(list)
    for result in sorted(results, key=lambda result: result["round"]):
        systems[result["system"]].append(result)
    names = [(name, heading) for name, heading in figures if any(name in result for result in results)]
    lines = [
        "| system | " + " | ".join(heading for _, heading in names) + " |",
        "|---" + "|--:" * len(names) + "|",
    ]
    for system, measured in systems.items():
        cells = [_cell([result[name] for result in measured if name in result]) for name, _ in names]
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    errors = sorted({f"{result['system']}: {result['error']}" for result in results if "error" in result})
    return "\n".join(lines + [""] + [f"- {error}" for error in errors] + ([""] if errors else []))


def _cell(values: list[Any]) -> str:
    if not values:
        return "–"
    if all(isinstance(value, bool) for value in values):
        return "yes" if all(values) else "no"
    value = median(values)
    if value == int(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _plots(rows: Results, folder: Path) -> Iterable[tuple[str, str]]:
    mpl.rcParams |= {"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 10}
    if "a" in rows:
        yield "a", _bars(rows["a"]["results"], folder / "performance-token.svg")
    for row, name, across, up, x_label, y_label in PLOTS:
        lines = [result for result in rows.get(row, {}).get("results", ()) if result.get("steps")]
        if not lines:
            continue
        figure, axes = plt.subplots(figsize=(6, 3.2))
        for number, result in enumerate(lines):
            first = result["system"] not in [line["system"] for line in lines[:number]]
            points = [(step[across], step[up]) for step in result["steps"]]
            label = result["system"] if first else None
            axes.plot(*zip(*points, strict=True), marker=".", color=COLORS[result["system"]], label=label)
        axes.set(xlabel=x_label, ylabel=y_label)
        if row == "d":
            axes.set_yscale("log")
            axes.axhline(100, color="0.7", linewidth=0.8)
        else:
            axes.set_ylim(0, 1.1 * max(step[up] for result in lines for step in result["steps"]))
        if len({line["system"] for line in lines}) > 1:
            axes.legend(frameon=False)
        yield row, _save(figure, folder / f"performance-{name}.svg")


def _bars(results: list[Results], file: Path) -> str:
    measured: defaultdict[str, list[Results]] = defaultdict(list)
    for result in results:
        if "us_per_token" in result:
            measured[result["system"]].append(result)
    figure, axes = plt.subplots(figsize=(6, 0.6 + 0.5 * len(measured)))
    for system in reversed(measured):
        redis = median(result["redis_us_per_token"] for result in measured[system])
        whole = median(result["us_per_token"] for result in measured[system])
        axes.barh(system, whole - redis, color="C0")
        axes.barh(system, redis, left=whole - redis, color="C1")
        axes.text(whole, system, f" {whole:.0f}", va="center")
    axes.set(xlabel="CPU µs a token (orange: Redis)")
    return _save(figure, file)


def _save(figure: Any, file: Path) -> str:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    return file.name


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
