"""The server with a watch on its event loop: `LAG_FILE` gets how late the loop came back at worst."""

import asyncio
import gc
import json
import os
from functools import partial
from pathlib import Path
from time import monotonic, thread_time

from litestar import Litestar

from chatapp import app
from chatapp.cli import main

_EVERY = 0.001
_create_app = app.create_app
_tasks: list[asyncio.Task[None]] = []


async def _watch(file: Path) -> None:
    # By the clock, and by the CPU time of the loop's own thread: other programs count in the first only.
    worst = {"wall": 0.0, "cpu": 0.0, "collector": 0.0}
    # What happens at the start is none of it.
    await asyncio.sleep(2)
    gc.callbacks.append(partial(_collecting, worst, [0.0]))
    written = monotonic()
    while True:
        wall, cpu = monotonic(), thread_time()
        await asyncio.sleep(_EVERY)
        worst["wall"] = max(worst["wall"], (monotonic() - wall - _EVERY) * 1e3)
        worst["cpu"] = max(worst["cpu"], (thread_time() - cpu) * 1e3)
        if monotonic() - written > 1:
            written = monotonic()
            file.write_text(json.dumps(worst))  # noqa: ASYNC240  # once a second, outside of what is measured


def _collecting(worst: dict[str, float], begun: list[float], phase: str, _: dict[str, int]) -> None:
    """Note how long the garbage collector takes, in this thread."""
    if phase == "start":
        begun[0] = thread_time()
    else:
        worst["collector"] = max(worst["collector"], (thread_time() - begun[0]) * 1e3)


async def _begin() -> None:
    _tasks.append(asyncio.create_task(_watch(Path(os.environ["LAG_FILE"]))))


def _watched() -> Litestar:
    made = _create_app()
    made.on_startup.append(_begin)
    return made


if __name__ == "__main__":
    app.create_app = _watched
    main()
