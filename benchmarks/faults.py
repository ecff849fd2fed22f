"""The long random run: `python -m benchmarks.faults --faults 10000 --seed N` writes docs/faults.md."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from tests.chaos.plan import KINDS
from tests.chaos.storm import Result, storm
from tests.chaos.tracked import Figures

from benchmarks.history import earlier_runs
from benchmarks.processes import ROOT
from benchmarks.run import _machine

#: Faults a world lives through; then the next one starts afresh, with the next seed.
_ROUND = 500

_HEAD = """\
# Faults

Two web processes (one of them generates too), a worker, Redis with an append-only file, a proxy on
every way between them, and a dozen answers at a time with two viewers each, under random faults.
After each fault, and completely at the end of each answer, the invariants of
`tests/chaos/oracle.py` are checked. `python -m benchmarks.faults --faults N --seed S` makes the
same choice of faults again, and writes this page.
"""
_ENDS = """\
`interrupted` is the right end of an answer whose process or provider was taken from it: its text
is an exact beginning, at every viewer the one that is saved. `vanished` are answers that began in
the last moments that Redis lost; their viewers are told so.
"""


def main() -> None:
    """Run, in worlds of at most so many faults each, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further one adds 1")
    parser.add_argument("--rate", type=float, default=6.0, help="faults a second, aimed at")
    parser.add_argument("--answers", type=int, default=12, help="answers at once, in each world")
    parser.add_argument("--worlds", type=int, default=1, help="rounds at a time; two fill two cores")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "faults.md")
    arguments = parser.parse_args()
    output: Path = arguments.output
    earlier = earlier_runs(output.read_text()) if output.exists() else []
    # The commit that ran is that of now, whatever is committed meanwhile.
    machine = _machine()
    results: list[Result] = []
    for result in _rounds(arguments):
        print(result, *result.findings, sep="\n", flush=True)
        results = sorted([*results, result], key=lambda result: result.seed)
        # After every round: a run that is broken off has its page too.
        output.write_text(_report(results, arguments.worlds, machine, earlier))
    sys.exit(any(result.findings for result in results))


def _rounds(arguments: argparse.Namespace) -> Iterator[Result]:
    """Yield each round's result as soon as it is there."""
    left = range(arguments.faults, 0, -_ROUND)
    # Each in a process of its own: a world that breaks takes no other with it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.worlds, mp_context=context, max_tasks_per_child=1) as pool:
        yield from (
            running.result()
            for running in as_completed(
                pool.submit(_round, seed, min(faults, _ROUND), arguments.rate, arguments.answers)
                for seed, faults in enumerate(left, arguments.seed)
            )
        )


def _round(seed: int, faults: int, rate: float, answers: int) -> Result:
    """Run one world; what breaks it off is a finding too."""
    print(f"seed {seed}: {faults} faults", flush=True)
    try:
        return uvloop.run(storm(seed, faults, rate=rate, answers=answers))
    except Exception as error:
        traceback.print_exception(error)
        return Result(seed, Figures(), findings=[f"broken off: {_words(error)}"])


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(map(_words, error.exceptions))
    return f"{type(error).__name__}: {error}"


def _report(
    results: Sequence[Result], worlds: int, machine: dict[str, object], earlier: Sequence[str]
) -> str:
    sums = {name: sum(getattr(r.figures, name) for r in results) for name in vars(results[0].figures)}
    seconds = sum(result.seconds for result in results)
    ends = {s: sum(r.ends[s] for r in results) for r in results for s in r.ends}
    findings = [f"- seed {r.seed}, {finding}" for r in results for finding in r.findings]
    lines = [
        _HEAD,
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
        f"| findings | {len(findings):,} |",
        f"| duration | {seconds:,.0f} s: {sums['faults'] / max(seconds, 1):.1f} faults/s in each world |",
        "",
        "How the answers ended: " + ", ".join(f"{n:,} {s}" for s, n in sorted(ends.items())) + ".",
        _ENDS,
        "| fault | injected | answers hit |",
        "|---|--:|--:|",
    ]
    for kind in KINDS:
        injected, hit = (sum(c[kind] for c in counters) for counters in _counters(results))
        lines.append(f"| {kind} | {injected:,} | {hit:,} |")
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    lines += ["", f"{_seeds(results)}, worlds at a time {worlds}. {datetime.now(UTC):%Y-%m-%d}; {facts}."]
    if findings:
        lines += ["", "## Findings", "", *findings]
    if earlier:
        lines += ["", "## Earlier runs", "", *earlier]
    return "\n".join([*lines, ""])


def _seeds(results: Sequence[Result]) -> str:
    seeds = [result.seed for result in results]
    whole = seeds == list(range(seeds[0], seeds[-1] + 1))
    shown = f"{seeds[0]} to {seeds[-1]}" if whole and len(seeds) > 1 else ", ".join(map(str, seeds))
    return f"Seeds {shown}, {_ROUND} faults each at most"


def _counters(results: Sequence[Result]) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    return [result.injected for result in results], [result.hit for result in results]


if __name__ == "__main__":
    main()
