"""What the benchmark says of its figures, and how it counts commands of Redis."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from benchmarks.asked import verdicts
from benchmarks.measure import redis_command
from benchmarks.monitor import monitored


def judged(row: str, *results: dict[str, Any]) -> dict[str, tuple[str, bool | None]]:
    """Return what was found in a row, by the words of the line."""
    rows = {row: {"results": [{"system": "chatapp", **result} for result in results]}}
    return {what: (found, met) for what, _, found, met in verdicts(rows) if what.startswith(f"{row}: ")}


@pytest.mark.parametrize(
    ("steps", "flat", "growth"),
    [
        pytest.param(
            [100, 80, 60, 40], ("100, 80, 60, 40 µs: it falls", False), ("0.80 ×", True), id="falls"
        ),
        pytest.param([40, 41, 60, 100], ("40, 41, 60, 100 µs", False), ("2.50 ×", False), id="grows"),
        pytest.param([50, 55, 45, 50], ("50, 55, 45, 50 µs", False), ("1.10 ×", True), id="neither"),
        pytest.param([50, 55, 48, 50], ("50, 55, 48, 50 µs", True), ("1.10 ×", True), id="flat"),
    ],
)
@pytest.mark.parametrize("row", ["m", "n"])
def test_a_cost_that_falls_is_not_flat_and_does_not_grow(
    row: str, steps: list[float], flat: tuple[str, bool], growth: tuple[str, bool]
) -> None:
    (found, met), (grown, grown_met) = judged(row, {"steps": [{"us": step} for step in steps]}).values()
    assert (found, met) == flat
    assert (grown.partition(" (")[0], grown_met) == growth


def test_answers_with_and_without_a_viewer_are_judged_side_by_side() -> None:
    found = judged("i", {"held_alone_by_500": 2.5}, {"held_by_500": 3.5})
    assert found["i: a running answer without a viewer, 500 tokens"] == ("2.5 ×", True)
    assert found["i: a running answer with its viewer, 500 tokens"] == ("3.5 ×", False)
    assert found["i: … with its viewer, 2,000 tokens"] == ("not measured", None)


def test_commands_inside_scripts_are_judged_beside_those_that_are_sent() -> None:
    found = judged("j", {"sent_per_token": 0.25}, {"commands_per_token": 2.5})
    assert found["j: Redis commands a token, as sent"] == ("0.25", True)
    assert found["j: … with those inside scripts, as INFO counts"] == ("2.5", False)


async def test_commands_that_are_sent_are_told_from_those_that_scripts_make(redis_url: str) -> None:
    port = urlsplit(redis_url).port
    assert port is not None
    script = "redis.call('SET', 'key', ARGV[1]) return redis.call('GET', 'key')"
    async with monitored(port) as commands:
        for text in ("plain", "[0 lua] a line\r\nand another"):
            redis_command(port, "EVAL", script, "0", text)
            redis_command(port, "SET", "other", text)
    assert (commands.sent, commands.in_scripts) == (4, 4)
