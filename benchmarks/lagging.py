"""The server with a watch on its event loop: `LAG_FILE` gets a line a second with the longest holds in it."""

import asyncio
import gc
import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic, process_time, thread_time
from typing import IO

from litestar import Litestar

from chatapp import app
from chatapp.cli import main
from chatapp.settings import Settings

__all__ = ("worst_holds",)

_EVERY = 0.001
_create_app = app.create_app
_tasks: list[asyncio.Task[None]] = []


def worst_holds(file: Path, begun: float, ended: float) -> dict[str, float]:
    """Return the worst of the seconds between two moments of the monotonic clock, ms.

    `clock`: how late the loop came back; `ours`: what the process had of that, without the time in which its
    thread stood in line for a processor, or none of its threads ran (more than held the loop, where a thread
    ran without the interpreter's lock); `cpu`: what the loop's thread used between two looks; `collector`:
    what one run of the garbage collector used.
    """
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    found = [line for line in lines if begun - 1 <= line["begun"] <= ended]
    return {name: max(line[name] for line in found) for name in ("clock", "ours", "cpu", "collector")}


async def _watch(file: IO[str]) -> None:
    worst = _nothing()
    gc.callbacks.append(partial(_collecting, worst, [0.0]))
    queue = _in_line()
    while True:
        wall, cpu, both, line = monotonic(), thread_time(), process_time(), next(queue)
        await asyncio.sleep(_EVERY)
        late = monotonic() - wall - _EVERY
        mine = thread_time() - cpu
        ours = max(0.0, min(late - (next(queue) - line), process_time() - both))
        for name, value in (("clock", late), ("ours", ours), ("cpu", mine)):
            worst[name] = max(worst[name], value * 1e3)
        if monotonic() - worst["begun"] > 1:
            print(json.dumps(worst), file=file, flush=True)
            worst |= _nothing()


def _nothing() -> dict[str, float]:
    return {"begun": monotonic(), "clock": 0.0, "ours": 0.0, "cpu": 0.0, "collector": 0.0}


def _in_line() -> Iterator[float]:
    """Yield for how long this thread has waited for a processor; Linux counts it, if it is built to."""
    file = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if not file.exists():
        while True:
            yield 0.0
    descriptor = os.open(file, os.O_RDONLY)
    while True:
        yield int(os.pread(descriptor, 100, 0).split()[1]) / 1e9


def _collecting(worst: dict[str, float], begun: list[float], phase: str, _: dict[str, int]) -> None:
    """Note how long the garbage collector takes, in this thread."""
    if phase == "start":
        begun[0] = thread_time()
    else:
        worst["collector"] = max(worst["collector"], (thread_time() - begun[0]) * 1e3)


async def _begin() -> None:
    file = Path(os.environ["LAG_FILE"]).open("a")  # noqa: ASYNC230, SIM115  # once; open to the process' end
    _tasks.append(asyncio.create_task(_watch(file)))


def _watched(settings: Settings | None = None) -> Litestar:
    made = _create_app(settings)
    made.on_startup.append(_begin)
    return made


if __name__ == "__main__":
    app.create_app = _watched
    main()
