"""Whatever a model writes, whole or in any half, a page gets nothing but what the allow-list has."""

import pytest

from chatapp.rendering.document import Document, render
from tests.rendering.corpus import HOSTILE, TRICKY
from tests.rendering.dom import Body, check


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_hostile_text_has_no_live_node_at_any_moment(text: str) -> None:
    document = Document()
    body = Body()
    for end in range(1, len(text) + 1):
        await document.extend(text[:end])
        ops = document.ops(end - 1, end)
        for op in ops:
            # Rows and cells are checked in the table they are put into.
            check(op.html)
        body.apply(ops)
        check(document.html(end))
        check(body.html.replace("&lt;", "&amp;lt;"))
    check(render(text))


@pytest.mark.parametrize("before", ["> ", "- ", "1. ", "# ", "| ", "**", "[", "`", "```\n", "$", "[^1]: "])
def test_a_hostile_text_is_as_harmless_inside_of_something(before: str) -> None:
    for text in HOSTILE:
        check(render(before + text.replace("\n", f"\n{before}")))
        check(render(f"{before}x\n\n{text}"))


def test_a_harmless_text_passes_too() -> None:
    for text in TRICKY.values():
        check(render(text))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("[x](javascript:alert(1))", '<p><a rel="noopener noreferrer nofollow">x</a></p>'),
        (
            "![cat](https://e.org/c.png)",
            '<p><a href="https://e.org/c.png" target="_blank" rel="noopener noreferrer nofollow">cat</a></p>',
        ),
    ],
)
def test_what_is_refused_stays_readable(text: str, html: str) -> None:
    assert render(text) == f"<div>{html}</div>"


@pytest.mark.parametrize(
    "html", ["<b>x</b>", '<p class="x">y</p>', '<a href="//e.org">x</a>', '<p id="x">y</p>']
)
def test_the_check_finds_what_is_not_allowed(html: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check(html)
