"""Shut down in order after a signal: first the application, then the server around it."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import FrameType

__all__ = ("on_termination",)

logger = logging.getLogger(__name__)


@asynccontextmanager
async def on_termination(
    drain: Callable[[], Awaitable[None]], hurry: Callable[[], None]
) -> AsyncIterator[None]:
    """At SIGTERM or SIGINT run `drain`, and after it the handlers that were installed so far.

    uvicorn's own closes the port at once and waits for open streams before it tells the application, so the
    application must come first. Fly.io sends SIGINT, everybody else SIGTERM, some of them twice; but a second
    SIGINT is somebody at a terminal who has waited long enough: `hurry`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    draining: asyncio.Task[None] | None = None

    async def end(number: int, frame: FrameType | None) -> None:
        try:
            await drain()
        except Exception:
            logger.exception("ending")
        before = previous[signal.Signals(number)]
        if callable(before):
            before(number, frame)

    def begin(number: int, frame: FrameType | None) -> None:
        nonlocal draining
        if draining is None:
            draining = loop.create_task(end(number, frame))
        elif number == signal.SIGINT:
            hurry()

    def handle(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(begin, number, frame)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, before in previous.items():
            # Who has ended in order does not die of the signal coming once more while Python shuts down.
            signal.signal(number, before if draining is None else signal.SIG_IGN)
