"""What the search finds in the program as it is, each with its shortest trace.

Whoever repairs one of these in `src/` makes the model do the same and takes its name out of `fixes`: the
test for it goes then.
"""

import pytest

from tests.conftest import Report
from tests.model.fixes import ALL_FIXES
from tests.model.search import search
from tests.model.world import RESTART, Config

_QUIET = Config(texts=1, stops=0, viewer=False, recent=True)


@pytest.mark.parametrize(
    ("missing", "config", "what", "last"),
    [
        pytest.param(
            "predecessor", _QUIET._replace(faults=2, stops=1, viewer=True), "I2: the viewer", "reads on",
            id="a fenced worker writes where a lost claim was",
        ),
    ],
)  # fmt: skip
def test_known_violation(missing: str, config: Config, what: str, last: str, report: Report) -> None:
    fixes = ALL_FIXES - {missing}
    result = search(config._replace(fixes=fixes), limit=150_000)
    assert result.found is not None, result
    assert result.found.what.startswith(what), f"\n{result.found}"
    assert any(last in label for label in result.found.trace), f"\n{result.found}"
    report.add(f"model: known, without {missing!r}: {result.found}")


def test_a_restart_within_a_millisecond_would_give_a_fence_twice() -> None:
    """The bound of the promise: the fences of one millisecond are counted, and Redis restarts slower."""
    instant = _QUIET._replace(faults=1, fixes=ALL_FIXES, restart_ms=0)
    result = search(instant)
    assert result.found is not None
    assert result.found.what.startswith("I3")
    assert search(instant._replace(restart_ms=RESTART)).found is None
