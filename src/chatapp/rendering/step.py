"""Cut long work into steps: a generator yields after each, so that the event loop can do other things."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

__all__ = ("Budget", "Step")

T = TypeVar("T")

#: What steps yield: nothing, or work for a thread.
Step = Callable[[], None] | None

#: Seconds of one round of the event loop.
_SLICE = 0.001


class Budget:
    """The time that rendering may take of each round of the event loop, for all answers together."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._renewed = asyncio.Event()

    def spend(self, seconds: float) -> None:
        """Count what was taken of this round."""
        if not self._spent:
            self._renewed.clear()
            asyncio.get_running_loop().call_soon(self._renew)
        self._spent += seconds

    async def wait(self) -> None:
        """Go on at once while something is left of this round, else in a later one."""
        while self._spent > _SLICE:
            await self._renewed.wait()

    async def do(self, work: Callable[[], T]) -> T:
        """Do a piece of work that has no steps, in its turn."""
        await self.wait()
        begun = perf_counter()
        try:
            return work()
        finally:
            self.spend(perf_counter() - begun)

    def _renew(self) -> None:
        self._spent = 0.0
        self._renewed.set()
