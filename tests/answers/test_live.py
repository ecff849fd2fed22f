"""Readers of a log: whatever they saw, wherever they left, they end with the text of the log."""

import tracemalloc
from contextlib import nullcontext

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.answers.live import Hole, LiveAnswer, SavedAnswer, Update
from chatapp.models import Cursor, Entry, EntryType, Outcome, Reasoning, Status

COMPLETED = msgspec.json.encode(Outcome(status=Status.COMPLETED, finish_reason="stop"))

pieces = st.one_of(
    st.tuples(st.just(EntryType.DELTA), st.text(min_size=1, max_size=5)),
    st.tuples(st.just(EntryType.RESET), st.just("")),
    st.tuples(st.just(EntryType.CLAIM), st.just("")),
    st.tuples(st.just(EntryType.REASONING), st.text(max_size=5).map(lambda text: f"12 {text}")),
    st.tuples(st.just("?"), st.text(max_size=3)),
)


def log(items: list[tuple[str, str]], *, ended: bool = True) -> list[Entry]:
    """Number the entries as the scripts do: a claim begins a new fence."""
    fence = 100
    entries = [Entry(Cursor(fence, 0), EntryType.OPEN, b"")]
    for kind, data in items:
        fence += 7 if kind == EntryType.CLAIM else 0
        before = entries[-1].cursor if kind == EntryType.CLAIM else None
        entries.append(Entry(Cursor(fence, len(entries)), kind, data.encode(), before))
    if ended:
        entries.append(Entry(Cursor(fence, len(entries)), EntryType.END, COMPLETED))
    return entries


def text_of(items: list[tuple[str, str]]) -> str:
    text = ""
    for kind, data in items:
        if kind == EntryType.DELTA:
            text += data
        elif kind == EntryType.RESET:
            text = ""
    return text


def apply(text: str, update: Update | None) -> str:
    if update is None:
        return text
    return update.text if update.reset else text + update.text


@given(st.lists(pieces), st.data())
def test_a_reader_that_comes_and_goes_ends_with_the_text(
    items: list[tuple[str, str]], data: st.DataObject
) -> None:
    entries = log(items)
    live = LiveAnswer()
    text, cursor = "", None
    while entries:
        count = data.draw(st.integers(1, len(entries)), label="entries that arrive at once")
        live.apply(entries[:count])
        del entries[:count]
        if data.draw(st.booleans(), label="the reader looks"):
            # Coming back with a cursor, or with nothing at all.
            if data.draw(st.integers(0, 4), label="fresh") == 0:
                text, cursor = "", None
            update = live.since(live.locate(cursor) if cursor else 0)
            text = apply(text, update)
            cursor = update.cursor if update else cursor
    text = apply(text, live.since(live.locate(cursor) if cursor else 0))
    assert text == text_of(items) == live.text
    assert live.status is Status.COMPLETED


@given(st.lists(pieces), st.integers(0, 300), st.integers(0, 30))
def test_a_cursor_the_log_does_not_have_gets_everything_anew(
    items: list[tuple[str, str]], fence: int, seq: int
) -> None:
    entries = log(items)
    live = LiveAnswer()
    live.apply(entries)
    cursor = Cursor(fence, seq)
    known = cursor in {entry.cursor for entry in entries}
    assert (live.locate(cursor) is not None) == known
    if not known:
        update = live.since(None)
        assert update is not None
        assert update.reset
        assert update.text == text_of(items)


@given(st.lists(pieces, min_size=1))
def test_every_entry_has_its_cursor_and_a_known_one_leads_on_from_it(items: list[tuple[str, str]]) -> None:
    entries = log(items, ended=False)
    live = LiveAnswer()
    live.apply(entries)
    for position, entry in enumerate(entries, start=1):
        assert live.cursor(position) == entry.cursor
        assert live.locate(entry.cursor) == position


def test_a_reset_is_told_only_to_who_has_not_read_it() -> None:
    live = LiveAnswer()
    live.apply(log([(EntryType.DELTA, "a"), (EntryType.RESET, ""), (EntryType.DELTA, "b")], ended=False))
    assert live.since(2) == Update("b", True, 0, Cursor(100, 3), 4)
    assert live.since(3) == Update("b", False, 3, Cursor(100, 3), 4)


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param(Cursor(100, 5), id="a-hole"),
        pytest.param(Cursor(100, 0), id="the-same-again"),
        pytest.param(Cursor(99, 1), id="an-older-fence"),
    ],
)
def test_entries_that_do_not_follow_are_refused(strange: Cursor) -> None:
    live = LiveAnswer()
    live.apply([Entry(Cursor(100, 0), EntryType.OPEN, b"")])
    with pytest.raises(Hole):
        live.apply([Entry(strange, EntryType.DELTA, b"x")])


@pytest.mark.parametrize(
    ("before", "follows"),
    [
        pytest.param(Cursor(105, 1), True, id="what-was-read-last"),
        pytest.param(Cursor(100, 1), False, id="another-in-its-place"),
        pytest.param(None, True, id="as-an-older-version-wrote-it"),
    ],
)
def test_where_the_fence_rises_the_entry_before_must_be_the_one_that_was_read(
    before: Cursor | None, follows: bool
) -> None:
    live = LiveAnswer()
    live.apply([Entry(Cursor(100, 0), EntryType.OPEN, b""), Entry(Cursor(105, 1), EntryType.CLAIM, b"")])
    entry = Entry(Cursor(110, 2), EntryType.CLAIM, b"", before)
    with nullcontext() if follows else pytest.raises(Hole):
        live.apply([entry])
    assert live.position == (3 if follows else 2)


def test_a_saved_answer_knows_only_its_end() -> None:
    outcome = Outcome(status=Status.COMPLETED, finish_reason="stop")
    saved = SavedAnswer("text", outcome, (Cursor(100, 8), Cursor(200, 9)))
    assert saved.since(saved.locate(Cursor(100, 8))) is None
    assert saved.since(saved.locate(Cursor(200, 9))) is None
    assert saved.since(0) == Update("text", False, 0, Cursor(100, 8), 1)
    assert saved.since(saved.locate(Cursor(100, 4))) == Update("text", True, 0, Cursor(100, 8), 1)


@pytest.mark.parametrize(
    ("text", "cursor"),
    [
        ("5-0", Cursor(5, 0)),
        ("1795172186821-7", Cursor(1795172186821, 7)),
        ("99999999999999999999-1", Cursor(99999999999999999999, 1)),
        # Of the right form, and nothing that a log knows: as none, a reader with text has it twice.
        ("1" * 21 + "-1", Cursor(11111111111111111111, 1)),
        ("1-" + "9" * 10_000, Cursor(1, 99999999999999999999)),
        *((bad, None) for bad in ("", "0", "$", "5-", "-5", "5-*", "+", "5-1 ", " 5-1", "٥-١", "²-1")),
        ("1-1\r\nX: y", None),
        (None, None),
    ],
)
def test_cursors_from_outside(text: str | None, cursor: Cursor | None) -> None:
    assert Cursor.parse(text) == cursor


@given(st.lists(st.integers(1, 90_000), max_size=8), st.booleans())
def test_much_text_comes_in_several_updates(sizes: list[int], restarted: bool) -> None:
    items: list[tuple[str, str]] = [(EntryType.DELTA, "x" * size) for size in sizes]
    if restarted:
        items.insert(len(items) // 2, (EntryType.RESET, ""))
    live = LiveAnswer()
    live.apply(log(items))
    text, position = "", 0
    while (update := live.since(position)) is not None:
        assert len(update.text) <= 64 << 10 or update.text in [data for _, data in items]
        assert update.position > position
        text, position = apply(text, update), update.position
    assert text == text_of(items)


def test_readers_at_many_positions_cost_no_memory_each() -> None:
    live = LiveAnswer()
    live.apply(log([(EntryType.DELTA, "x" * 1000)] * 1000))
    tracemalloc.start()
    try:
        updates = [live.since(position) is not None for position in range(900)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(updates)
    assert held < 4 << 20


def test_reasoning_is_beside_the_text() -> None:
    thought = EntryType.REASONING
    entries = log(
        [(thought, "10 a "), (thought, "25 b"), ("d", "x"), ("x", ""), (thought, "5 c"), ("d", "y")]
    )
    live = LiveAnswer()
    seen = []
    for entry in entries:
        live.apply([entry])
        seen.append(live.reasoning())
    assert seen == [
        None,
        Reasoning("a ", 0.010),
        *[Reasoning("a b", 0.025)] * 2,
        None,
        *[Reasoning("c", 0.005)] * 3,
    ]
    assert live.reasoning(5) is None
    assert live.text == "y"


def test_much_reasoning_comes_in_parts() -> None:
    piece = "7 " + "x" * 40_000
    live = LiveAnswer()
    live.apply(log([(EntryType.REASONING, piece)] * 5 + [("d", "text")]))
    position, steps = 0, []
    while (update := live.since(position)) is not None:
        before, now = live.reasoning(position), live.reasoning(update.position)
        steps.append(len(now.text if now else "") - len(before.text if before else ""))
        position = update.position
    assert sum(steps) == 200_000
    assert max(steps) <= 64 << 10
