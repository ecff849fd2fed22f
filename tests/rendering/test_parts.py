"""What is finished costs nothing any more: no bytes, no look of the garbage collector, no turn of others."""

import asyncio
import gc

from benchmarks.rendering import text

from chatapp.rendering.document import Document
from chatapp.rendering.parts import PART
from chatapp.rendering.step import Budget
from tests.rendering.dom import Body, canonical, fragment


async def test_a_part_has_so_many_blocks() -> None:
    document = Document("p")
    whole = "a\n\n" * (2 * PART + 3)
    await document.extend(whole)
    parts = fragment(document.html(len(whole))).childNodes
    assert [len(part.childNodes) for part in parts] == [PART, PART, 3]
    assert [part.getAttribute("id") for part in parts] == ["p-0", "p-1", "p-2"]


async def test_what_is_added_names_its_part_alone() -> None:
    document = Document("p")
    whole = "a\n\n" * (PART + 1)
    await document.extend(whole)
    await document.extend(f"{whole}b c")
    [op] = document.ops(len(whole), len(whole) + 3)
    assert (op.part, op.selector, op.swap, op.html) == (1, "", "beforeend", "<p>b c</p>")


async def test_a_long_fence_that_stays_plain_is_not_sent_again_when_it_closes() -> None:
    document = Document()
    open_fence = "```\n" + "a line of it\n" * 500
    await document.extend(open_fence)
    await document.extend(f"{open_fence}```\nafter")
    changed = document.ops(len(open_fence), len(open_fence) + 9)
    assert sum(len(op.html) for op in changed) < 200


async def test_finished_blocks_are_nothing_to_the_garbage_collector() -> None:
    whole = text("mixed")
    gc.collect()
    before = len(gc.get_objects())
    document = Document()
    for end in range(400, len(whole), 400):
        await document.extend(whole[:end])
    gc.collect()
    # A tree of each of its thousand blocks would be many more.
    assert len(gc.get_objects()) - before < 3_000


async def test_a_round_of_the_loop_is_not_used_up_twice() -> None:
    budget, order = Budget(), []

    async def work(name: str) -> None:
        await budget.do(lambda: order.append(name))
        budget.spend(1.0)
        await budget.do(lambda: order.append(name))

    async def other() -> None:
        order.append("other")

    async with asyncio.TaskGroup() as group:
        group.create_task(work("a"))
        group.create_task(other())
    assert order == ["a", "other", "a"]


async def test_a_table_keeps_its_rows_together_whatever_is_cheapest_to_send() -> None:
    # Cell by cell, row by row, or all rows anew: which of them depends on how long the text is.
    for length in range(120):
        row = f"| a | b |\n|---|---|\n| {'x' * length} | one"
        document = Document("p")
        await document.extend(row)
        body = Body(document.html(len(row)))
        rows = f"{row} two |\n| three"
        await document.extend(rows)
        body.apply(document.ops(len(row), len(rows)))
        assert body.html == canonical(document.html(len(rows)))
