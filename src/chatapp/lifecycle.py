"""From a signal to a quiet end: who is told, and in which order."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType

__all__ = ("on_termination",)


@asynccontextmanager
async def on_termination(callback: Callable[[], None]) -> AsyncIterator[None]:
    """Call `callback` in the event loop at SIGTERM or SIGINT, before the handlers installed so far.

    uvicorn's own shutdown waits for open streams before it tells the application, so the application
    must hear the signal itself. Fly.io sends SIGINT, everybody else SIGTERM, some of them twice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(callback)
        before = previous[signal.Signals(number)]
        if callable(before):
            before(number, frame)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
