"""Bytes of a long answer, which do not depend on the machine; times are the benchmark's."""

import pytest
from benchmarks.rendering import follow, text


@pytest.mark.parametrize("step", [10, 40])
@pytest.mark.parametrize(("name", "most"), [("mixed", 3.0), ("fence", 5.0), ("list", 5.0), ("table", 5.0)])
async def test_an_answer_is_not_sent_again_and_again(name: str, most: float, step: int) -> None:
    figures = await follow(text(name)[:20_000], step)
    assert figures["sent"] < most * figures["final"]
