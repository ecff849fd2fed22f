"""Which code is coloured, and what stays as it was written."""

import pytest

from chatapp.rendering.highlight import highlight
from chatapp.rendering.tree import Node, safe_html


def coloured(code: str, language: str) -> list[Node] | None:
    """Take all steps at once."""
    steps = highlight(code, language)
    while True:
        try:
            if step := next(steps):
                step()
        except StopIteration as done:
            nodes: list[Node] | None = done.value
            return nodes


def test_code_of_a_known_language() -> None:
    nodes = coloured('x = "<a>"\n', "python")
    assert nodes is not None
    assert safe_html(nodes) == 'x <span class="o">=</span> <span class="s2">"&lt;a&gt;"</span>\n'


@pytest.mark.parametrize(
    ("code", "language"),
    [
        pytest.param("x = 1\n", "", id="no-language"),
        pytest.param("x = 1\n", "klingon", id="unknown-language"),
        pytest.param("x = 1\n" * 6_000, "python", id="long"),
        pytest.param(f"x = '{'y' * 2_000}'\n", "python", id="long-line"),
    ],
)
def test_code_that_stays_plain(code: str, language: str) -> None:
    assert coloured(code, language) is None
