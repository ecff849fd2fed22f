"""Search: every word of it begins a word of the chat, whatever the case, accents and script."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp.chats import search as searching
from chatapp.chats.listing import Listing
from chatapp.chats.removal import Removal
from chatapp.errors import InvalidInput
from chatapp.models import ChatSummary
from chatapp.storage import keys, signatures
from chatapp.storage.connections import Connections
from chatapp.storage.signatures import BYTES, bits_of, fold, forget, index, terms_of
from tests.answers.conftest import OWNER, Asked
from tests.chats.conftest import listed

SENTENCE = "The Transistor was invented in 1947 — naïve Größe, Ωmega, über_snake_case, ﬁne."


async def chat(connections: Connections, text: str, *, score: float = 1) -> Asked:
    """A chat that can be found."""
    asked = await listed(connections, text, score=score)
    await index(connections.commands, OWNER, asked.chat_id, ["t", text])
    return asked


async def find(connections: Connections, q: str) -> list[ChatSummary]:
    return list((await Listing(connections.commands).page(OWNER, q=q)).chats)


WORDS = (
    "transistor|TRANS inv|invented the|194|1947|naive|NAÏVE|grosse|größe|ωmega|uber|snake|case|fine|ﬁn|t|w"
)


@pytest.mark.parametrize("q", [*WORDS.split("|"), " the,  -- transistor! "])
async def test_found(connections: Connections, q: str) -> None:
    asked = await chat(connections, SENTENCE)
    [hit] = await find(connections, q)
    assert (hit.id, hit.match_id) == (asked.chat_id, asked.question_id)


@pytest.mark.parametrize("q", ["ransistor", "transistors", "transistor nothing", "194 8", "x", "ase"])
async def test_not_found(connections: Connections, q: str) -> None:
    await chat(connections, SENTENCE)
    assert await find(connections, q) == []


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("今日は東京に行きました。", "東京"),
        ("今日は東京に行きました。", "京"),
        ("今日は東京に行きました。", "東京 ました"),
        ("ﾃｽﾄです", "テスト"),
        ("がんばって", "がん"),
        ("สวัสดีครับ", "ดีครับ"),
        ("한국어 검색", "검색"),
        ("по-русски Ёлка", "елка"),
    ],
)
async def test_every_script(connections: Connections, text: str, q: str) -> None:
    asked = await chat(connections, text)
    [hit] = await find(connections, q)
    assert hit.match_id == asked.question_id
    assert await find(connections, q + "x" if q.isascii() else q + "ない") == []


async def test_nothing_to_look_for(connections: Connections) -> None:
    await chat(connections, SENTENCE)
    assert await find(connections, "—!?") == []
    assert len(await find(connections, "   ")) == 1
    with pytest.raises(InvalidInput):
        await find(connections, "x" * 201)


async def test_the_snippet(connections: Connections) -> None:
    text = "word " * 100 + "and\n  then ÄPFEL fall " + "far " * 100
    await chat(connections, text)
    [hit] = await find(connections, "apfel")
    assert hit.snippet is not None
    assert "and then ÄPFEL fall far" in hit.snippet
    assert (hit.snippet[0], hit.snippet[-1], len(hit.snippet) < 150) == ("…", "…", True)
    [hit] = await find(connections, "t")
    assert hit.snippet is not None
    # No space between the beginning of the snippet and the hit: it begins inside a word, not behind the hit.
    await chat(connections, f"{'-' * 60}plum and more", score=2)
    [hit] = await find(connections, "plum")
    assert hit.snippet == f"…{'-' * 40}plum and more"
    short = await chat(connections, "A short one", score=9)
    [hit] = await find(connections, "short")
    assert (hit.id, hit.snippet) == (short.chat_id, "A short one")


@pytest.mark.parametrize(("few", "block"), [(400, 200), (2, 3), (2, 10), (2, 50)])
async def test_pages_the_last_used_first(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, few: int, block: int
) -> None:
    monkeypatch.setattr(searching, "_FEW", few)
    monkeypatch.setattr(searching, "_BLOCK", block)
    await chat(connections, "pear", score=1)
    asked = [await chat(connections, f"apple {number}", score=number % 3) for number in range(10)]
    listing = Listing(connections.commands)
    found: list[str] = []
    cursor = None
    for _ in range(4):
        page = await listing.page(OWNER, q="apple", limit=3, cursor=cursor)
        found += [hit.id for hit in page.chats]
        cursor = page.next_cursor
    assert cursor is None
    ranked = sorted(((n % 3, one.chat_id) for n, one in enumerate(asked)), reverse=True)
    assert found == [chat_id for _, chat_id in ranked]


async def test_a_large_chat_ends_the_page(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request reads so much, and goes on with its cursor."""
    monkeypatch.setattr(searching, "_READ_LIMIT", 10)
    monkeypatch.setattr(searching, "_CHUNK", 1)
    for number in range(3):
        await chat(connections, f"a long text about apples {number}", score=number)
    listing = Listing(connections.commands)
    first = await listing.page(OWNER, q="apples")
    assert (len(first.chats), first.next_cursor is not None) == (1, True)
    assert len((await listing.page(OWNER, q="apples", cursor=first.next_cursor)).chats) == 1


async def test_a_place_is_used_again(connections: Connections) -> None:
    old = await chat(connections, "apple")
    await forget(connections.commands, OWNER, old.chat_id)
    assert await find(connections, "apple") == []
    new = await chat(connections, "pear")
    await chat(connections, "plum")
    assert await find(connections, "apple") == []
    assert [hit.id for hit in await find(connections, "pear")] == [new.chat_id]
    assert await connections.commands.strlen(keys.user_signatures(OWNER)) == 2 * BYTES


async def test_what_is_deleted_is_not_found(connections: Connections) -> None:
    asked = await chat(connections, "apple")
    await Removal(connections.commands).delete(OWNER, asked.chat_id)
    assert await find(connections, "apple") == []
    await Removal(connections.commands).restore(OWNER, asked.chat_id)
    assert len(await find(connections, "apple")) == 1


async def test_only_what_is_theirs(connections: Connections) -> None:
    await chat(connections, "apple")
    assert (await Listing(connections.commands).page("f" * 32, q="apple")).chats == []


@given(text=st.text(st.sampled_from("ab é\u0301ไก东京、。\n,.-"), max_size=200), long=st.integers(1, 30))
def test_a_long_text_is_looked_through_in_parts(text: str, long: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signatures, "_LONG", long)
        parts = list(signatures._parts(text))
    assert "".join(parts) == text
    assert {term for part in parts for term in terms_of(part)} == set(terms_of(text))


def test_no_part_of_an_answer_holds_others_up() -> None:
    assert max(map(len, signatures._parts("so many words " * 100_000))) < 25_000


async def test_a_very_long_text(connections: Connections) -> None:
    """Every bit is set, in one call."""
    text = " ".join(f"{number:x}z{number * 7:x}" for number in range(30_000))
    asked = await chat(connections, text)
    assert [hit.id for hit in await find(connections, "752fz")] == [asked.chat_id]


words = st.text(min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(text=st.lists(words, min_size=1, max_size=5).map(" ".join), cut=st.integers(1, 12))
def test_a_signature_misses_nothing(text: str, cut: int) -> None:
    """Every beginning of every word is in the signature of the text."""
    terms = terms_of(text)
    for term in terms:
        for query in terms_of(term[:cut]):
            assert bits_of([query], whole=False) <= bits_of(terms, whole=True)
    assert fold(fold(text)) == fold(text)
