"""Run tasks beside a block, and make sure that they end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

__all__ = ("background", "cancel", "shared")

_Result = TypeVar("_Result")
#: Seconds after which a cancellation that had no effect is sent again.
_AGAIN = 0.5


async def cancel(tasks: Iterable["asyncio.Task[object]"]) -> None:
    """Cancel tasks and wait until they have ended.

    One cancellation is not enough: up to Python 3.11 `asyncio.wait_for`, through which redis-py sends every
    command, swallows one that arrives in the moment in which the awaited thing is done.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)


@asynccontextmanager
async def background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run a task beside the block, and cancel it when the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await cancel([task])


def shared(work: Coroutine[None, None, _Result]) -> "asyncio.Task[_Result]":
    """Begin a task for all who wait for it, shielded; if all of them give up, nobody misses its error."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
