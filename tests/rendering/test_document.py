"""The body of a live answer: equal for all who have read as far, and in the end that of the whole text."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatapp.rendering.document import Document, render
from chatapp.rendering.parse import Block, Context, parse
from chatapp.rendering.parts import PART
from chatapp.rendering.tree import safe_html
from tests.rendering.corpus import FRAGMENTS, TRICKY
from tests.rendering.dom import Body, canonical

#: Those in which something depends on what else there is, or is replaced before the parser.
SEEN_BEFORE = {"links", "definition-in-parts", "footnotes", "crlf", "unicode"}
ALL = pytest.mark.parametrize("name", TRICKY)


async def follow(text: str, stops: list[int]) -> Document:
    """Read a text up to each of the stops; check the body on the way."""
    document = Document()
    body, seen = Body(), 0
    for stop in stops:
        await document.extend(text[:stop])
        body.apply(document.ops(seen, stop))
        seen = stop
        assert body.html == canonical(document.html(stop)), text[:stop]
    await document.extend(text, final=True)
    again = Body()
    again.root = body.root.cloneNode(True)
    body.apply(document.ops(seen, len(text), final=True))
    assert body.html == canonical(document.html(len(text), final=True))
    if seen == len(text):
        for _ in range(2):
            again.apply(document.last_ops(len(text)))
            assert again.html == body.html
    assert body.html == canonical(render(text))
    return document


@ALL
async def test_the_end_is_the_whole_text_character_by_character(name: str) -> None:
    text = TRICKY[name]
    await follow(text, list(range(1, len(text) + 1)))


@ALL
async def test_a_state_does_not_depend_on_the_chunks(name: str) -> None:
    text = TRICKY[name]
    slow = Document()
    for stop in range(len(text) + 1):
        await slow.extend(text[:stop])
        fresh = Document()
        await fresh.extend(text[:stop])
        assert canonical(fresh.html(stop)) == canonical(slow.html(stop)), text[:stop]


@ALL
async def test_a_viewer_may_come_back_with_any_position(name: str) -> None:
    text = TRICKY[name]
    dice = random.Random(name)
    document = Document()
    for stop in sorted(dice.sample(range(len(text)), min(3, len(text)))):
        await document.extend(text[:stop])
    await document.extend(text)
    for _ in range(30):
        start, end = sorted(dice.sample(range(len(text) + 1), 2))
        alone = Document()
        await alone.extend(text[:start])
        body = Body(alone.html(start))
        assert body.html == canonical(document.html(start)), text[:start]
        body.apply(document.ops(start, end))
        assert body.html == canonical(document.html(end)), (text[:start], text[start:end])


@pytest.mark.parametrize("name", sorted(set(TRICKY) - SEEN_BEFORE))
def test_block_by_block_is_as_one_parse_of_all(name: str) -> None:
    steps = parse(TRICKY[name], Context(), highlighted=True)
    blocks: list[Block] = []
    try:
        while True:
            if step := next(steps):
                step()
    except StopIteration as done:
        blocks = done.value.blocks
    nodes = [block.node for block in blocks]
    parts = [f"<div>{safe_html(nodes[at : at + PART])}</div>" for at in range(0, len(nodes), PART)]
    assert canonical(render(TRICKY[name])) == canonical("".join(parts))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(st.sampled_from(sorted(TRICKY)), min_size=1, max_size=3),
    between=st.sampled_from(["\n\n", "\n", ""]),
    places=st.lists(st.floats(0, 1), max_size=12).map(sorted),
)
async def test_any_chunks_of_any_documents(names: list[str], between: str, places: list[float]) -> None:
    # Nothing is drawn in here: how a draw ends the test does not get through the loop.
    text = between.join(TRICKY[name] for name in names)
    await follow(text, [int(place * len(text)) for place in places])


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=30),
    places=st.lists(st.floats(0, 1), max_size=12).map(sorted),
)
async def test_any_chunks_of_any_text(parts: list[str], places: list[float]) -> None:
    text = "".join(parts)
    stops = [int(place * len(text)) for place in places]
    document = await follow(text, stops)
    for stop in stops[-3:]:
        fresh = Document()
        await fresh.extend(text[:stop])
        assert document.html(stop) == fresh.html(stop)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (r"write `\(` and `\)` around it", r"<p>write <code>\(</code> and <code>\)</code> around it</p>"),
        (r"`$$` and `$$`", "<p><code>$$</code> and <code>$$</code></p>"),
        (r"`` \[ ` `` or \[x\]", r'<p><code>\[ `</code> or <span class="math">\[x\]</span></p>'),
    ],
)
def test_what_stands_in_code_is_no_math(text: str, html: str) -> None:
    assert render(text) == f"<div>{html}</div>"
