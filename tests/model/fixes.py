"""Repairs that the project does not have yet, so that the search can go on behind what it has found.

Each takes away one of the violations that `test_known` shows in the program as it is:

- `digest`: the digest of a stopped answer is saved only while its saved end is that stop.
- `age`: whoever ends an answer leaves it listed, and a claim takes it off the list only when its end is old
  enough to be on disk for certain; the claim has to tell how old (the patch).
- `predecessor`: where the fence rises, a reader asks whether the last entry it has is still in the log.
"""

from __future__ import annotations

__all__ = ("AGE", "ALL_FIXES")

ALL_FIXES = frozenset({"digest", "age", "predecessor"})

#: The end's time in the field of the lease, which an ended answer does not need.
AGE = {
    "prelude": (
        "'seq', int(seq), 'owner', '', 'lease', 0)",
        "'seq', int(seq), 'owner', '', 'lease', int(now_ms()))",
    ),
    "claim": (
        "  return {'CLOSED', g[2]}\nend\nlocal now = now_ms()\n",
        "  return {'CLOSED', g[2], now_ms() - tonumber(g[3])}\nend\nlocal now = now_ms()\n",
    ),
}
