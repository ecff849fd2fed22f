"""Which faults a random run injects, and when: a pure function of its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ("KINDS", "Fault", "plan")

#: Kinds of faults and how often they come: what costs a process' start comes rarely.
KINDS = {
    "viewer hangs up": 18.0,
    "browser–web connections cut": 14.0,
    "web–browser response cut after n bytes": 8.0,
    "502 or 503 to reconnects": 8.0,
    "browser–web black hole": 4.0,
    "browser–web bytes one by one": 3.0,
    "process–Redis connections cut": 12.0,
    "Redis replies lost after the command": 8.0,
    "process–Redis black hole": 3.0,
    "process–Redis slow": 3.0,
    "worker–provider connections cut": 3.0,
    "provider breaks off": 5.0,
    "provider refuses at first": 3.0,
    "provider sends odd bytes": 4.0,
    "provider slow to begin": 2.0,
    "Redis paused": 3.0,
    "Redis scripts flushed": 3.0,
    "Redis killed": 1.5,
    "Redis tail lost": 1.5,
    "process paused": 4.0,
    "process paused beyond the lease": 0.3,
    "process killed": 1.2,
    "process terminated": 1.2,
    "answer stopped by its owner": 3.0,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, whom (a share of those there are), how strongly, and how long after the last."""

    number: int
    kind: str
    whom: float
    strength: float
    pause: float

    def pick(self, count: int) -> int:
        """Choose one of `count`."""
        return min(int(self.whom * count), count - 1)

    def between(self, low: float, high: float) -> float:
        return low + self.strength * (high - low)


def plan(seed: int, faults: int, rate: float) -> list[Fault]:
    """Choose so many faults, `rate` a second on average; the same seed chooses the same."""
    rng = random.Random(seed)
    kinds, weights = list(KINDS), list(KINDS.values())
    return [
        Fault(
            number,
            # Each kind at least once, in any order, then by weight.
            kinds[number] if number < len(kinds) else rng.choices(kinds, weights)[0],
            rng.random(),
            rng.random(),
            rng.expovariate(rate),
        )
        for number in rng.sample(range(faults), faults)
    ]
