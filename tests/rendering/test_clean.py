"""The allow-list by itself, as if everything before it had failed."""

import pytest

from chatapp.rendering.clean import clean


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
