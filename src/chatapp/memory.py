"""How a process deals with its memory; set once, when everything is loaded."""

import gc

__all__ = ("settle",)

#: Objects made beyond those that went before the garbage collector looks at the young ones: an event to a
#: thousand viewers makes some thousands at once, of which none is garbage.
_YOUNG = 20_000


def settle() -> None:
    """Take everything that was loaded so far out of the garbage collector's sight.

    It would look through all of it again and again, 60 ms at a time: the largest part of a token's p99 age.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
