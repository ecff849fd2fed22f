"""Set up the garbage collector, once everything is loaded, and give back memory that nothing uses."""

import asyncio
import ctypes
import gc

__all__ = ("give_back", "settle")

#: New objects, beyond those that were freed, before the garbage collector looks at the young ones: an event
#: to a thousand viewers makes some thousands at once, none of them garbage. It holds the event loop for
#: 0.3 µs an object: so not many, and the second generation is not much larger.
_YOUNG = 3_000
_YOUNG_RUNS = 1
#: Seconds between two times that unused memory goes back; a time takes about a millisecond, in a thread.
_GIVE_BACK_EVERY = 10.0


def settle() -> None:
    """Keep the garbage collector from looking at what was loaded so far.

    It would look through all of it again and again, 60 ms at a time: the largest part of a token's p99 age.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _YOUNG_RUNS, 10)


async def give_back() -> None:
    """Give memory that is free in the midst of glibc's heap back to the system now and then, until cancelled.

    Text takes many times its size on its way, and what stays of it lies scattered over that room.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(_GIVE_BACK_EVERY)
        await asyncio.to_thread(trim, 0)
