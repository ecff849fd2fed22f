"""Addresses in a text: where they end."""

import pytest

from chatapp.rendering.document import render


@pytest.mark.parametrize(
    ("text", "address", "rest"),
    [
        ("see https://example.org/a.", "https://example.org/a", "."),
        ("(see https://example.org/a)", "https://example.org/a", ")"),
        ("https://example.org/a_(b)", "https://example.org/a_(b)", ""),
        ("(https://example.org/a_(b))", "https://example.org/a_(b)", ")"),
        ("https://example.org/?q=a,b!", "https://example.org/?q=a,b", "!"),
        ("www.example.org/a?", "http://www.example.org/a", "?"),
    ],
)
def test_an_address_ends_before_the_sentence_does(text: str, address: str, rest: str) -> None:
    html = render(text)
    assert html.count("<a ") == 1
    assert f'href="{address}"' in html
    assert html.endswith(f"</a>{rest}</p></div>")
