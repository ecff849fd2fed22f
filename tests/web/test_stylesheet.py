"""What the stylesheet must not have: docs/rendering.md says what it costs."""

import re
from pathlib import Path

STATIC = Path(__file__).parents[2] / "static"


def test_no_rule_looks_for_something_inside_of_what_surrounds_an_answer() -> None:
    """Each event of a stream would have all of it looked through again."""
    rules = "".join((STATIC / name).read_text() for name in ("app.css", "markdown.css"))
    around = re.findall(r"[^\s>~+,(]*(?=:has\(|:not\(:has\()", rules)
    assert around, "the expression finds nothing any more"
    for subject in around:
        assert not re.match(
            r"(html|body|main|article|#transcript|\[data-(role|part)\b|\[aria-busy)", subject
        ), subject


def test_the_scripts_are_lines_that_can_be_read() -> None:
    for path in STATIC.glob("*.js"):
        assert max(map(len, path.read_text().splitlines())) <= 110, path.name
