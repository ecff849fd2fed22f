"""The page that a long run writes: its figures, and what is left of the runs before it."""

from __future__ import annotations

from collections import Counter

import pytest
from benchmarks import faults
from benchmarks.faults import _report, _round
from benchmarks.history import earlier_runs

from tests.chaos.storm import Result
from tests.chaos.tracked import Figures

MACHINE: dict[str, object] = {"time": "2026-01-02 03:04 UTC", "commit": "abc1234", "cores": 2}


def result(seed: int, *findings: str) -> Result:
    figures = Figures(faults=500, answers=150, endless=len(findings))
    return Result(seed, figures, Counter(), Counter(), Counter(completed=150), list(findings), 120.0)


def test_a_run_is_a_line_of_the_next_page() -> None:
    page = _report([result(1), result(2, "I8: something")], 2, MACHINE, ["- an older run\n  in two lines"])
    assert "- seed 2, I8: something" in page
    assert earlier_runs(page) == [
        "- 2026-01-02, commit abc1234, seeds 1 to 2: "
        "faults 1,000, lost 0, doubled 0, without a definite end 1, findings 1.",
        "- an older run\n  in two lines",
    ]


def test_the_history_stays_short() -> None:
    page = ""
    for seed in range(20):
        page = _report([result(seed)], 1, MACHINE, earlier_runs(page))
    history = earlier_runs(page)
    assert len(history) == 6
    assert "seeds 19:" in history[0]


def test_a_round_that_breaks_off_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def storm(*_: object, **__: object) -> Result:
        raise ExceptionGroup("of a task group", [RuntimeError("the handler is closed")])

    monkeypatch.setattr(faults, "storm", storm)
    broken = _round(7, 500, 6.0, 12)
    assert broken.seed == 7
    assert "broken off" in broken.findings[0]
    assert "handler is closed" in broken.findings[0]
