"""Unfinished markdown looks as it will look."""

import pytest

from chatapp.rendering.document import Document
from chatapp.rendering.mend import mend
from tests.rendering.dom import canonical


async def live(text: str) -> str:
    document = Document()
    await document.extend(text)
    return document.html(len(text))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        pytest.param("a **bol", "<p>a <strong>bol</strong></p>", id="strong"),
        pytest.param("a **bold*", "<p>a <strong>bold</strong></p>", id="strong-half-closed"),
        pytest.param("a **", "<p>a</p>", id="marks-alone"),
        pytest.param("a *it **both", "<p>a <em>it <strong>both</strong></em></p>", id="nested"),
        pytest.param("a `co", "<p>a <code>co</code></p>", id="code"),
        pytest.param("a ~~go", "<p>a <del>go</del></p>", id="strike"),
        pytest.param("2 * 3 snake_case", "<p>2 * 3 snake_case</p>", id="no-emphasis"),
        pytest.param(r"\(x_1 + y", r'<p><span class="math">\(x_1 + y\)</span></p>', id="math"),
        pytest.param("para\n#", "<p>para\n</p>", id="heading-or-not"),
        pytest.param("para\n---", "<p>para\n</p>", id="setext-or-not"),
        pytest.param("# **a", "<h1><strong>a</strong></h1>", id="heading"),
        pytest.param("- *a", "<ul><li><em>a</em></li></ul>", id="item"),
    ],
)
async def test_what_is_open_is_closed(text: str, html: str) -> None:
    assert canonical(await live(text)) == canonical(f"<div>{html}</div>").replace("\n</p>", "</p>")


async def test_half_a_link_is_its_text() -> None:
    html = await live("see [the page](https://exam")
    assert "the page</a>" in html
    assert "exam" not in html


@pytest.mark.parametrize("end", range(len("<https://e.org/page")))
async def test_half_an_address_has_no_bracket(end: int) -> None:
    html = await live("see " + "<https://e.org/page"[: end + 1])
    assert "&lt;" not in html
    assert ("<a " in html) == (end > len("<https:/"))


@pytest.mark.parametrize("text", ["a <b", "a <hr", "1 < 2", "`<h`", "<html lang"])
async def test_other_brackets_stay(text: str) -> None:
    assert "&lt;" in await live(text)


@pytest.mark.parametrize(
    "text",
    [
        "| a | b |\n",
        "| a | b |\n|--",
        "| a | b |\n|---|---|\n| 1",
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | **4",
    ],
)
async def test_half_a_table_is_a_table(text: str) -> None:
    html = await live(text)
    assert html.count("<th ") == 2
    assert "-</t" not in html


async def test_a_table_below_another_has_a_heading() -> None:
    html = await live("| a |\n|---|\n| 1 |\n\n| b | c")
    assert html.count("<th ") == 3
    assert "-</td>" not in html


@pytest.mark.parametrize("text", ["```py\nx = 1\n", "```py\nx = 1\n``", "```py\nx = 1\n```"])
async def test_an_open_fence_is_code_that_cannot_be_copied_yet(text: str) -> None:
    html = await live(text)
    assert "<code>x = 1\n</code>" in html
    assert 'data-copy="" disabled' in html


@pytest.mark.parametrize("text", ["", "a", "a **b** c", "```\n**a", "- a\n- b"])
def test_what_is_complete_stays_as_it_is(text: str) -> None:
    assert mend(text) == text
