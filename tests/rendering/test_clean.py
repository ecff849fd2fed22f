"""The allow-list by itself, as if everything before it had failed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatapp.rendering.clean import clean, clean_tags
from chatapp.rendering.document import render
from chatapp.rendering.text import render_text
from chatapp.rendering.tree import Element, safe_html
from tests.rendering.corpus import FRAGMENTS, HOSTILE, TRICKY


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


@pytest.mark.parametrize(
    ("tag", "head", "left"),
    [
        ("p", "<p onclick=x>", ("<p>", "</p>")),
        ("td", '<td align="left" id=x>', ('<td align="left">', "</td>")),
        ("script", "<script>", ("", "")),
        ("svg", "<svg onload=x>", ("", "")),
        ("p", "<p><img src=x onerror=y><em>", ("", "")),
        ("p", "x<p>", ("", "")),
        ("p", "<p", ("", "")),
        ("em", "<p>", ("", "")),
    ],
)
def test_of_a_tag_only_what_is_listed_is_left(tag: str, head: str, left: tuple[str, str]) -> None:
    assert clean_tags(tag, head, void=False) == left


def test_of_a_tag_without_an_end_only_what_is_listed_is_left() -> None:
    assert clean_tags("input", "<input type=checkbox onfocus=x autofocus>", void=True) == (
        '<input type="checkbox">',
        "",
    )
    assert clean_tags("img", "<img src=x onerror=y>", void=True) == ("", "")


def test_a_tree_gets_past_the_list_neither_by_its_texts_nor_by_its_elements() -> None:
    script = Element("script", "<script>", ["alert(1)"])
    tree = Element("p", "<p>", ["<script>x</script><b ", script, "onclick=y>&lt;", "<em>z"])
    assert safe_html([tree]) == "<p>xalert(1)onclick=y&gt;&lt;<em>z</em></p>"


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from([*FRAGMENTS, *HOSTILE, *TRICKY.values()]), max_size=12))
def test_piece_by_piece_is_as_all_at_once(parts: list[str]) -> None:
    # It would not be where HTML closes or moves an element because of another.
    html = render("".join(parts))
    assert clean(html) == html
