"""Memory that nothing uses goes back to the system while the program runs."""

import ctypes
import subprocess
import sys

import pytest

#: In a process of its own: what other tests have left free would be filled first.
SCATTER = """
import asyncio
from chatapp import memory
from chatapp.tasks import background

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

async def main():
    memory._GIVE_BACK_EVERY = 0.05
    passing, staying = [], []
    for _ in range(1000):
        passing.append(bytearray(60_000))
        staying.append(bytearray(1_000))
    passing.clear()
    before = resident()
    async with background(memory.give_back()):
        await asyncio.sleep(0.5)
        print(before - resident(), len(staying))

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps it")
def test_scattered_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCATTER], capture_output=True, text=True, check=True)
    given_back_kib, staying = map(int, done.stdout.split())
    assert staying == 1000
    assert given_back_kib > 40_000
