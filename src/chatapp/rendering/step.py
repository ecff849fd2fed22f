"""How long work is cut into steps: by generators that yield between two of them."""

from collections.abc import Callable

__all__ = ("Step",)

#: What is yielded: nothing, or work for a thread.
Step = Callable[[], None] | None
