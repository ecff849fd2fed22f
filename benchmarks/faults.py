"""The long random run: `python -m benchmarks.faults --faults 10000 --seed N` writes docs/faults.md."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from tests.chaos.plan import KINDS
from tests.chaos.storm import Result, storm

from benchmarks.processes import ROOT
from benchmarks.run import _machine

#: Faults a world lives through; then the next one starts afresh, with the next seed.
_ROUND = 500


def main() -> None:
    """Run, in worlds of at most so many faults each, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further one adds 1")
    parser.add_argument("--rate", type=float, default=6.0, help="faults a second, aimed at")
    parser.add_argument("--answers", type=int, default=12, help="answers at once")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "faults.md")
    arguments = parser.parse_args()
    results: list[Result] = []
    left, seed = arguments.faults, arguments.seed
    while left > 0:
        faults = min(left, _ROUND)
        print(f"seed {seed}: {faults} faults", flush=True)
        result = uvloop.run(storm(seed, faults, rate=arguments.rate, answers=arguments.answers))
        print(result, *result.findings, sep="\n", flush=True)
        results.append(result)
        left, seed = left - faults, seed + 1
        # After every round: a run that is broken off has its table too.
        arguments.output.write_text(_report(results))
    sys.exit(any(result.findings for result in results))


def _report(results: list[Result]) -> str:
    total = results[0].figures
    sums = {name: sum(getattr(r.figures, name) for r in results) for name in vars(total)}
    seconds = sum(result.seconds for result in results)
    ends = {s: sum(r.ends[s] for r in results) for r in results for s in r.ends}
    seeds = ", ".join(f"{r.seed} ({sum(r.injected.values()):,})" for r in results)
    machine = _machine()
    lines = [
        "# Faults\n",
        "Two web processes (one of them generates too), a worker, Redis with an append-only file, a proxy on",
        "every way between them, and a dozen answers at a time with two viewers each, under random faults.",
        "After each fault, and completely at the end of each answer, the invariants of",
        "`tests/chaos/oracle.py` are checked. `python -m benchmarks.faults --faults N --seed S` makes the",
        "same choice of faults again.\n",
        "| | |",
        "|---|--:|",
        f"| faults injected | {sums['faults']:,} |",
        f"| answers | {sums['answers']:,} |",
        f"| events delivered | {sums['events']:,} |",
        f"| connections of viewers | {sums['connections']:,} |",
        f"| **events lost** | **{sums['lost']:,}** |",
        f"| **events doubled** | **{sums['doubled']:,}** |",
        f"| **answers or views without a definite end** | **{sums['endless']:,}** |",
        f"| resets | {sums['resets']:,} |",
        f"| takeovers | {sums['takeovers']:,} |",
        f"| findings | {sum(len(r.findings) for r in results):,} |",
        f"| duration | {seconds:,.0f} s: {sums['faults'] / max(seconds, 1):.1f} faults/s |",
        "",
        "How the answers ended: " + ", ".join(f"{n:,} {s}" for s, n in sorted(ends.items())) + ".",
        "`interrupted` is the right end of an answer whose process or provider was taken from it: its text",
        "is an exact beginning, at every viewer the one that is saved. `vanished` are answers that began in",
        "the last moments that Redis lost; their viewers are told so.\n",
        "| fault | injected | answers hit |",
        "|---|--:|--:|",
    ]
    for kind in KINDS:
        injected, hit = (sum(counter[kind] for counter in c) for c in _counters(results))
        lines.append(f"| {kind} | {injected:,} | {hit:,} |")
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines += ["", f"Seeds (faults): {seeds}. {datetime.now(UTC):%Y-%m-%d}; {facts}.", ""]
    findings = [f"- seed {r.seed}, {finding}" for r in results for finding in r.findings]
    if findings:
        lines += ["## Findings\n", *findings, ""]
    return "\n".join(lines)


def _counters(results: list[Result]) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    return [result.injected for result in results], [result.hit for result in results]


if __name__ == "__main__":
    main()
