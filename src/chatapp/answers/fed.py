"""The logs that this process writes itself: who follows them is told what is written, and reads nothing."""

import asyncio
from contextlib import suppress
from time import monotonic

__all__ = ("Fed",)

#: How long such a log may be silent before it is read again as any other, and how often that is looked for.
_SILENCE = 0.2
_LOOK = 0.25


class Fed:
    """Which logs these are, and when each was last told of."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        #: Set when one of them is to be read again at once.
        self._left = asyncio.Event()

    def tell(self, key: str) -> float:
        """Note that a log was told of, and return when: now, in monotonic seconds."""
        self._told[key] = now = monotonic()
        return now

    def leave(self, key: str) -> None:
        """Note that a log is not written here any more."""
        if key in self._told:
            self._told[key] = 0.0
            self._left.set()

    def forget(self, key: str) -> None:
        """Note that nobody follows a log any more, or that it has ended."""
        self._told.pop(key, None)

    async def silent(self) -> list[str]:
        """Wait a moment, or until a log is left; return those that are not fed any more, but to be read."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._left.wait(), _LOOK)
        self._left.clear()
        now = monotonic()
        found = [key for key, since in self._told.items() if now - since > _SILENCE]
        for key in found:
            del self._told[key]
        return found
