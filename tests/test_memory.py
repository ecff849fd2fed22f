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
    before = resident()  # KiB
    async with background(memory.give_back()), asyncio.timeout(10):
        while before - resident() < 40_000:
            await asyncio.sleep(0.05)
    print(len(staying))

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps it")
def test_scattered_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCATTER], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1000
