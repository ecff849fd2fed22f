"""The allow-list by itself, as if everything before it had failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.rendering.clean import clean
from chatapp.rendering.text import render_text


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<a href='/logout'>x</a>", '<a rel="noopener noreferrer nofollow">x</a>'),
        ("<a href='//e.org'>x</a>", '<a rel="noopener noreferrer nofollow">x</a>'),
        ("<a href='javascript:x'>x</a>", '<a rel="noopener noreferrer nofollow">x</a>'),
        ("<p id=x name=y class=z style=c onclick=d hx-get=/e>x</p>", "<p>x</p>"),
        ("<img src=x onerror=y><iframe></iframe>x", "x"),
        ("\ufeffx", "\ufeffx"),
        ("<div class='code evil'>x</div>", '<div class="code">x</div>'),
        ("<button data-copy hx-post=/x type=submit>x</button>", '<button data-copy="">x</button>'),
    ],
)
def test_only_what_is_listed_is_left(html: str, left: str) -> None:
    assert clean(html) == left


def test_rows_and_cells_are_cleaned_where_they_belong() -> None:
    assert clean("<tr><td onclick=x>y</td></tr>", "tbody") == "<tr><td>y</td></tr>"
    assert clean("<td align=left>y</td>", "tr") == '<td align="left">y</td>'
    assert "<script" not in clean("</tbody></table><script>x</script>", "tbody")


@given(
    st.text(
        st.one_of(st.sampled_from("&<>\"'\xa0;#\n\r\t\0\ufeffa"), st.characters(exclude_categories=["Cs"]))
    )
)
def test_text_alone_is_written_as_text_among_elements_is(text: str) -> None:
    among = clean(f"<em>x</em>{render_text(text)}<br>").removeprefix("<em>x</em>").removesuffix("<br>")
    assert clean(render_text(text)) == among


@given(st.text("&<>\"';#amplt3x\n\r\0 "))
def test_html_that_is_no_element_is_written_as_the_same_among_elements_is(html: str) -> None:
    html = html.replace("<", "")
    among = clean(f"<em>x</em>{html}<br>").removeprefix("<em>x</em>").removesuffix("<br>")
    assert clean(html) == among
