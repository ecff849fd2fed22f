"""Memory that nothing uses goes back to the system while the program runs."""

import asyncio
import ctypes
import os
from pathlib import Path

import pytest

from chatapp import memory
from chatapp.tasks import background

PIECES = 1000


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps it")
async def test_scattered_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_GIVE_BACK_EVERY", 0.05)
    passing, staying = [], []
    for _ in range(PIECES):
        passing.append(bytearray(60_000))
        staying.append(bytearray(1_000))
    passing.clear()
    before = resident()
    async with background(memory.give_back()), asyncio.timeout(10):
        while before - resident() < PIECES * 60_000 / 2:
            await asyncio.sleep(0.05)
    assert len(staying) == PIECES
