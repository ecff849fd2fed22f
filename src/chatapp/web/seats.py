"""Limit how many streams one person may hold open in this process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from chatapp.errors import LimitReached

__all__ = ("Seats",)

#: Seconds after which trying again is worth it.
_RETRY = 5


class Seats:
    """The streams that are open now, by owner; at most `most` of each, 0 for any number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def seat(self, owner: str) -> Iterator[None]:
        """Count a stream as long as the block lasts, or raise LimitReached."""
        if self._most and self._taken[owner] >= self._most:
            raise LimitReached(
                f"You have {self._most} streams open here, and that is the most at once. Close some pages.",
                _RETRY,
            )
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
