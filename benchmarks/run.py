"""The one command: `python -m benchmarks.run [rows…] [--quick]`; see README.md for what the rows mean."""

import argparse
import asyncio
import json
import os
import platform
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from benchmarks import rows_footprint, rows_tokens, rows_viewers
from benchmarks.bench import Bench, Figures
from benchmarks.processes import ROOT, provider
from benchmarks.systems import SYSTEMS, VENV_PYTHON

ROWS = dict(sorted((rows_tokens.ROWS | rows_viewers.ROWS | rows_footprint.ROWS).items()))


def main() -> None:
    """Read the command line, run the rows, and keep what they found."""
    titles = "\n".join(f"  {name}  {(row.__doc__ or '').splitlines()[0]}" for name, row in ROWS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=f"rows:\n{titles}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="row", choices=[*ROWS, []], help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="short answers, one round: does it work?")
    parser.add_argument("--rounds", type=int, default=3, help="times each system is measured (default 3)")
    parser.add_argument("--soak", type=float, default=60, metavar="SECONDS", help="length of row s")
    parser.add_argument("--systems", default="", help=f"only these, comma separated: {','.join(SYSTEMS)}")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "latest.json")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write performance.md and plots there")
    parser.add_argument("--no-run", action="store_true", help="only --report, from the results there are")
    arguments = parser.parse_args()
    if not arguments.no_run:
        only = tuple(filter(None, arguments.systems.split(",")))
        if unknown := set(only) - set(SYSTEMS):
            parser.error(f"no such system: {', '.join(sorted(unknown))}")
        rounds = 1 if arguments.quick else arguments.rounds
        uvloop.run(
            _run(
                arguments.rows or list(ROWS), arguments.output, arguments.quick, rounds, arguments.soak, only
            )
        )
    if arguments.report is not None:
        command = [str(VENV_PYTHON), "-m", "benchmarks.report", str(arguments.output), str(arguments.report)]
        subprocess.run(command, cwd=ROOT, check=True)


async def _run(
    rows: list[str], output: Path, quick: bool, rounds: int, soak: float, only: tuple[str, ...]
) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        # Otherwise an end from outside would leave the servers behind.
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    async with provider() as port:
        for name in rows:
            print(f"\n{name}: {(ROWS[name].__doc__ or '').splitlines()[0]}")
            bench = Bench(port, quick, rounds, soak, only)
            try:
                await ROWS[name](bench)
            finally:
                _save(output, name, bench.results, quick)


def _save(output: Path, name: str, results: list[Figures], quick: bool) -> None:
    """Put a row's figures in place of its former ones; other rows keep theirs."""
    output.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(output.read_text()) if output.exists() else {}
    kept[name] = {"machine": _machine(), "quick": quick, "results": results}
    output.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


def _machine() -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line for line in cpuinfo if line.startswith("model name")]
    return {
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit.stdout.strip(),
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
