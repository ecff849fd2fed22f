"""How a process deals with its memory; set once, when everything is loaded."""

import ctypes
import gc
from contextlib import suppress

__all__ = ("settle",)

#: Objects made beyond those that went before the garbage collector looks at the young ones: an event to a
#: thousand viewers makes some thousands at once, of which none is garbage.
_YOUNG = 20_000
#: Bytes from which memory is taken from the system, and given back, by itself. glibc would raise that limit
#: to what it saw freed last, and long texts would leave holes that nobody fills.
_LARGE = 64 << 10
#: glibc's number for that limit.
_M_MMAP_THRESHOLD = -3


def settle() -> None:
    """Take everything that was loaded so far out of the garbage collector's sight, and let large blocks go.

    It would look through all of it again and again, 60 ms at a time: the largest part of a token's p99 age.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
    # Other C libraries have no such limit.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
