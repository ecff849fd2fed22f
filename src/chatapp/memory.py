"""Set up the garbage collector, once everything is loaded."""

import gc

__all__ = ("settle",)

#: New objects, beyond those that were freed, before the garbage collector looks at the young ones: an event
#: to a thousand viewers makes some thousands at once, none of them garbage. It holds the event loop for
#: 0.3 µs an object: so not many, and the second generation is not much larger.
_YOUNG = 3_000
_YOUNG_RUNS = 1


def settle() -> None:
    """Keep the garbage collector from looking at what was loaded so far.

    It would look through all of it again and again, 60 ms at a time: the largest part of a token's p99 age.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _YOUNG_RUNS, 10)
