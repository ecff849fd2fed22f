"""The search finds bugs: each planted one, by the invariant that forbids it."""

import pytest

from tests.conftest import Report
from tests.model.mutations import MUTATIONS
from tests.model.search import search


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_bug_is_found(name: str, report: Report) -> None:
    mutation = MUTATIONS[name]
    result = search(mutation.config, mutation.patch, limit=mutation.limit)
    assert result.found is not None, f"{name}: not found in {result}"
    assert result.found.what.startswith(mutation.caught), f"\n{result.found}"
    report.add(f"model: {name}: {result.found.what[:60]}, {len(result.found.trace)} steps")


def test_without_a_planted_bug_nothing_is_found() -> None:
    configs = {mutation.config._replace(planted=frozenset()) for mutation in MUTATIONS.values()}
    for config in configs:
        if config.rollbacks:
            continue
        result = search(config)
        assert result.found is None, f"\n{result.found}"
