"""What a generation has put into its log is kept in few bytes, and comes back as it was put in."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from chatapp.answers.entries import Entries, pieces
from chatapp.models import EntryType

KINDS = st.sampled_from([EntryType.DELTA, EntryType.DELTA, EntryType.REASONING, EntryType.RESET])
PUT = st.lists(st.tuples(KINDS, st.text(max_size=5), st.none() | st.text(max_size=3)), max_size=30)


@given(before=st.text(max_size=5), put=PUT)
def test_every_entry_comes_back_and_the_text_is_that_of_the_deltas(
    before: str, put: list[tuple[EntryType, str, str | None]]
) -> None:
    entries, text = Entries(before), before
    for kind, data, place in put:
        held = "" if kind is EntryType.RESET else data
        entries.add(kind, held.encode(), place)
        text = "" if kind is EntryType.RESET else text + held if kind is EntryType.DELTA else text
    assert len(entries) == len(put)
    for number, (kind, data, place) in enumerate(put):
        kept = b"" if kind is EntryType.RESET else data.encode()
        assert entries.entry(number) == (kind, kept, place or "")
    assert entries.text() == text.encode()
    assert not entries.ended


def test_the_end_is_known_and_holds_its_outcome() -> None:
    entries = Entries("")
    entries.add(EntryType.DELTA, b"all")
    entries.add(EntryType.END, b"{}")
    assert entries.ended
    assert (entries.entry(1), entries.text()) == ((EntryType.END, b"{}", ""), b"all")


def test_an_entry_of_a_word_costs_a_few_bytes_beside_it() -> None:
    entries = Entries("")
    for _ in range(1000):
        entries.add(EntryType.DELTA, b"a word or so")
    held = sum(sys.getsizeof(getattr(entries, name)) for name in ("_text", "_ends", "_others", "_places"))
    assert held < 1000 * 1.5 * len(b"a word or so") + 2048


@given(st.integers(0, 3), st.integers(1, 200_000))
def test_a_large_text_is_cut_between_characters(lead: int, size: int) -> None:
    text = "x" * lead + "é€𝄞"[lead % 3] * (size // 4)
    found = pieces(text.encode())
    assert all(len(piece) <= 64 << 10 for piece in found)
    assert "".join(piece.decode() for piece in found) == text
