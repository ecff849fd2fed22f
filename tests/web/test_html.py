"""Bytes of a long answer on the wire, at 400 characters/s: an event of 40 characters each 0.1 s."""

import pytest
from benchmarks.rendering import text

from chatapp.models import Cursor
from chatapp.rendering.document import Document, render
from chatapp.web import sse
from chatapp.web.bodies import part_name
from chatapp.web.html import partials

MESSAGE = "0123456789abcdef0123456789abcdef"
FENCE = 1_764_096_712_345


@pytest.mark.parametrize(("name", "most"), [("mixed", 3.0), ("fence", 5.0), ("list", 5.0), ("table", 5.0)])
async def test_an_answer_costs_no_more_than_so_many_times_its_html(name: str, most: float) -> None:
    whole = text(name)
    document, seen, size = Document(part_name(MESSAGE)), 0, 0
    for end in [*range(40, len(whole), 40), len(whole)]:
        await document.extend(whole[:end])
        if data := partials(MESSAGE, document.ops(seen, end)):
            size += len(sse.event(data, event_id=Cursor(FENCE, end // 8)))
        seen = end
    await document.extend(whole, final=True)
    size += len(sse.event(partials(MESSAGE, document.last_ops(seen))))
    assert size < most * len(render(whole, part_name(MESSAGE)).encode())
