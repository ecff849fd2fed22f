"""Repairs that the project does not have yet, so that the search can go on behind what it has found.

Each takes away one of the violations that `test_known` shows in the program as it is:

- `predecessor`: where the fence rises, a reader asks whether the last entry it has is still in the log.
"""

from __future__ import annotations

__all__ = ("ALL_FIXES",)

ALL_FIXES = frozenset({"predecessor"})
