"""The allow-list that every piece of HTML passes last, whatever made it.

Attributes take no text of the model but addresses, and those have no `<`: nh3 writes `<` in attributes as
it is, and htmx rewrites `<hx-...>` wherever it finds it in a message.
"""

import re
from functools import lru_cache

import nh3

__all__ = ("ATTRIBUTES", "CLASSES", "SCHEMES", "TAGS", "TOKEN_CLASSES", "VALUES", "clean", "clean_tags")

SCHEMES = frozenset({"http", "https", "mailto"})

TAGS = frozenset(
    re.findall(
        r"\w+",
        "a aside blockquote br button code del div em h1 h2 h3 h4 h5 h6 hr input label li ol p pre span "
        "strong sup table tbody td th thead tr ul",
    )
)

#: Attributes with any value.
ATTRIBUTES = {"a": {"href"}, "ol": {"start"}, "button": {"disabled"}, "input": {"checked", "disabled"}}

#: Attributes with one of a few values.
VALUES = {
    "a": {"target": {"_blank"}},
    "button": {"type": {"button"}, "data-copy": {""}},
    "div": {"role": {"group"}, "tabindex": {"0"}, "aria-label": {"Table"}},
    "pre": {"tabindex": {"0"}},
    "input": {"type": {"checkbox"}, "aria-label": {"Task"}},
    "td": {"align": {"left", "center", "right"}},
    "th": {"align": {"left", "center", "right"}, "scope": {"col"}},
}

#: Pygments' short names, without those for white space and plain names, which look like all other text.
TOKEN_CLASSES = frozenset(
    re.findall(
        r"\w+",
        "c ch cm cp cpf c1 cs g gd ge ges gr gh gi go gp gs gu gt k kc kd kn kp kr kt m mb mf mh mi mo il "
        "s sa sb sc dl sd s2 se sh si sx sr s1 ss na nb bp nc no nd ni ne nf fm nl nn nt nv vc vg vi vm "
        "o ow err",
    )
)

CLASSES = {
    "aside": {"footnote"},
    "div": {"code", "code-head", "math", "plain", "table"},
    "li": {"task"},
    "span": {"math", "language", *TOKEN_CLASSES},
    "sup": {"footnote-ref"},
}

_CLEANER = nh3.Cleaner(
    tags=set(TAGS),
    clean_content_tags=set(),
    attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
    tag_attribute_values={tag: dict(values) for tag, values in VALUES.items()},
    allowed_classes={tag: set(names) for tag, names in CLASSES.items()},
    url_schemes=set(SCHEMES),
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
)

#: Rows and cells mean nothing outside of a table.
_AROUND = {
    "table": ("<table>", "</table>"),
    "thead": ("<table><thead>", "</thead></table>"),
    "tbody": ("<table><tbody>", "</tbody></table>"),
    "tr": ("<table><tbody><tr>", "</tr></tbody></table>"),
}
#: Where those stand that mean nothing by themselves.
_PARENT = {"thead": "table", "tbody": "table", "tr": "tbody", "th": "tr", "td": "tr"}
_OPENING_TAG = re.compile(r"<(\w+)(?: [^<>]*)?>")
#: What `&` begins beside that which `render_text` writes.
_OTHER_ENTITY = re.compile("&(?!(?:amp|lt|gt|quot|#39);)|[\0\r]|>")


def clean(html: str, parent: str = "div") -> str:
    """Return only what the allow-list has, of HTML for inside of a `parent`."""
    if "<" not in html and not _OTHER_ENTITY.search(html):
        # Text alone, as the cleaner writes it, without its parser.
        return html.replace("&quot;", '"').replace("&#39;", "'").replace("\xa0", "&nbsp;")
    if html.startswith("\ufeff"):
        # A parser takes the first one for a mark of the encoding.
        html = f"\ufeff{html}"
    if parent not in _AROUND:
        return _CLEANER.clean(html)
    opening, closing = _AROUND[parent]
    return _CLEANER.clean(f"{opening}{html}{closing}").removeprefix(opening).removesuffix(closing)


@lru_cache(maxsize=512)
def clean_tags(tag: str, head: str, *, void: bool) -> tuple[str, str]:
    """Return the opening tag `head` and the closing one as the allow-list has them, or two times nothing."""
    closing = "" if void else f"</{tag}>"
    opening = clean(head + closing, _PARENT.get(tag, "div")).removesuffix(closing)
    found = _OPENING_TAG.fullmatch(opening)
    return (opening, closing) if found and found[1] == tag else ("", "")
