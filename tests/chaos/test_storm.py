"""The random run, short enough for every change; `python -m benchmarks.faults` is the long one."""

from __future__ import annotations

import os
import random

import pytest

from tests.chaos.plan import KINDS, plan
from tests.chaos.storm import storm
from tests.conftest import Report

FAULTS = 200


def test_the_same_seed_chooses_the_same_faults() -> None:
    first = plan(7, 500, 5)
    assert first == plan(7, 500, 5)
    assert first != plan(8, 500, 5)
    assert {fault.kind for fault in first} == set(KINDS)


@pytest.mark.timeout(400)
async def test_storm(report: Report) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randint(1, 10**6))
    print(f"CHAOS_SEED={seed} repeats this choice of faults")
    result = await storm(seed, FAULTS)
    report.add(str(result))
    assert not result.findings, f"seed {seed}:\n" + "\n".join(result.findings)
    assert sum(result.injected.values()) == FAULTS
