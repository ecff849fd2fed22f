"""Every state of a small world, under every interleaving and every placing of a few faults.

In each: what a viewer has is what the log has up to its cursor (I2), fences never fall and no id ever means
two things (I3), one end, the last, with the text saved that was logged (I4), no more claims than faults
explain (I5); and from each a quiet world comes to its end (I8). `world` says what the parts are, `search`
what can happen to them, `python -m tests.model` how to go further than here.
"""

import pytest

from tests.conftest import Report
from tests.model.search import search
from tests.model.world import Config


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("config", "states"),
    [
        pytest.param(Config(faults=0), 1_500, id="no fault"),
        pytest.param(Config(texts=1, faults=1, rollbacks=0), 12_000, id="one fault"),
    ],
)  # fmt: skip
def test_as_it_is(config: Config, states: int, report: Report) -> None:
    result = search(config)
    assert result.found is None, f"\n{result.found}"
    assert result.complete
    assert result.states >= states
    report.add(f"model: {result}")


#: docs/model.md has larger searches.
_TWO = Config(faults=2, stops=0, viewer=False)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("config", "states"),
    [
        pytest.param(_TWO._replace(texts=1), 16_000, id="two faults"),
        pytest.param(_TWO._replace(texts=1, rollbacks=2), 24_000, id="two lost tails"),
        pytest.param(_TWO._replace(rollbacks=0, evictions=1), 5_000, id="an evicted log"),
        pytest.param(_TWO._replace(faults=1, texts=1, strategy="prefill", handovers=1), 15_000, id="prefill"),
        pytest.param(_TWO._replace(faults=1, texts=1, strategy="restart", handovers=1), 18_000, id="restart"),
        pytest.param(_TWO._replace(faults=0, texts=1, turns=2), 500, id="two turns"),
        pytest.param(_TWO._replace(faults=1, stops=1), 22_000, id="stop"),
        pytest.param(_TWO._replace(faults=1, texts=1, viewer=True, reconnects=1), 12_000, id="viewer"),
        pytest.param(_TWO._replace(faults=1, rollbacks=0, texts=1, stops=1, reopens=1), 20_000, id="goes on"),
        pytest.param(
            _TWO._replace(faults=0, rollbacks=0, texts=1, stops=1, reopens=1, viewer=True),
            9_000,
            id="goes on, watched",
        ),
    ],
)
def test_under_faults(config: Config, states: int, report: Report) -> None:
    result = search(config)
    assert result.found is None, f"\n{result.found}"
    assert result.complete
    assert result.states >= states
    report.add(f"model: {result}")
