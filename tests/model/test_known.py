"""What is promised only as far as this."""

from tests.model.search import search
from tests.model.world import RESTART, Config

_LOSS = Config(texts=1, faults=1, stops=0, viewer=False)


def test_a_restart_within_a_millisecond_would_give_a_fence_twice() -> None:
    """The fences of one millisecond are counted, and Redis restarts slower."""
    result = search(_LOSS._replace(restart_ms=0))
    assert result.found is not None
    assert result.found.what.startswith("I3")
    assert search(_LOSS._replace(restart_ms=RESTART)).found is None
