"""Search in titles and texts of a person's chats: every word of the search is the beginning of a word there.

Signatures name the chats that may have all words (see `storage.signatures`); these are read, the last used
first, until a page is full.
"""

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from chatapp.chats.summaries import FIELDS, ChatPage, position, readable, summary_of
from chatapp.errors import InvalidInput
from chatapp.models import ChatSummary, MessageHead
from chatapp.storage import keys
from chatapp.storage.scripts import Command, run_all
from chatapp.storage.signatures import BYTES, bits_of, fold, terms_of, unspaced

__all__ = ("search",)

#: Characters of one search, and words.
_LONGEST = 200
_MOST_WORDS = 16
#: Chats read in one round trip.
_CHUNK = 20
#: Candidates that are ranked at once, and chats of a list that are looked at together where there are more.
_FEW = 400
_BLOCK = 200
#: Characters of a snippet before the hit, and in all.
_BEFORE = 40
_SNIPPET = 140
#: Bytes of texts after which the rest of a page is asked for with its cursor.
_READ_LIMIT = 16 << 20


#: When a chat was last used, and its id.
Place = tuple[float, str]


async def search(redis: Redis, owner: str, q: str, *, limit: int, cursor: str | None = None) -> ChatPage:
    """Return the chats that have all words of `q`, the last used first; no words, no chats."""
    terms = _terms(q)
    after = position(cursor)
    if not terms:
        return ChatPage([], None)
    patterns = [_pattern(term) for term in terms]
    found: list[ChatSummary] = []
    size = 0
    last = (float(after[0]), after[1]) if after else None
    async for places, more_come in _chunks(redis, owner, await _slots(redis, owner, terms), last):
        read = await _read(redis, [chat_id for _, chat_id in places])
        hits = {chat.id: _hit(chat, texts, patterns) for chat, texts in read}
        size += sum(len(text) for _, texts in read for text in texts.values())
        for place in places:
            hit = hits.get(place[1])
            if hit is not None:
                found.append(hit)
            more = more_come or place is not places[-1]
            if len(found) == limit or (size > _READ_LIMIT and place is places[-1]):
                return ChatPage(found, f"{place[0]!r}_{place[1]}" if more else None)
        # Looking through a chunk takes a while without a pause: let others run between two.
        await asyncio.sleep(0)
    return ChatPage(found, None)


def _terms(q: str) -> list[str]:
    if len(q) > _LONGEST:
        raise InvalidInput("q", f"A search has at most {_LONGEST} characters.")
    return terms_of(q)[:_MOST_WORDS]


async def _slots(redis: Redis, owner: str, terms: Sequence[str]) -> list[int]:
    """Return the numbers of the chats whose signatures have all grams of the terms, and some by chance."""
    signatures: Any = await redis.get(keys.user_signatures(owner))
    return _matching(signatures or b"", bits_of(terms, whole=False))


def _matching(signatures: bytes, bits: set[int]) -> list[int]:
    """Return the numbers of the signatures that have all bits set.

    The column of a bit is one byte of every signature; as one large number they are tested all at once.
    """
    count = len(signatures) // BYTES
    ones = int.from_bytes(b"\x01" * count, "big")
    left = ones
    for bit in bits:
        # A byte's bits are counted from the highest.
        column = int.from_bytes(signatures[bit >> 3 :: BYTES][:count], "big") >> (7 - (bit & 7))
        left &= column
        if not left:
            return []
    return [slot for slot, hit in enumerate(left.to_bytes(count, "big")) if hit]


async def _chunks(
    redis: Redis, owner: str, slots: Sequence[int], last: Place | None
) -> AsyncIterator[tuple[list[Place], bool]]:
    """Yield the chats with these numbers that come after `last`, a few at a time, and whether more come."""
    ranked = (
        _ranked(redis, owner, slots) if len(slots) <= _FEW else _walked(redis, owner, frozenset(slots), last)
    )
    async for block, more_come in ranked:
        places = [place for place in block if last is None or place < last]
        for start in range(0, len(places), _CHUNK):
            yield places[start : start + _CHUNK], more_come or start + _CHUNK < len(places)


async def _ranked(redis: Redis, owner: str, slots: Sequence[int]) -> AsyncIterator[tuple[list[Place], bool]]:
    """Yield all the chats with these numbers, the last used first."""
    if not slots:
        return
    found: Any = await redis.hmget(keys.user_slots(owner), [str(slot) for slot in slots])
    if chat_ids := [chat_id.decode() for chat_id in found if chat_id is not None]:
        scores: Any = await redis.zmscore(keys.user_chats(owner), chat_ids)
        pairs = zip(scores, chat_ids, strict=True)
        yield (
            sorted(((float(score), name) for score, name in pairs if score is not None), reverse=True),
            False,
        )


async def _walked(
    redis: Redis, owner: str, slots: frozenset[int], last: Place | None
) -> AsyncIterator[tuple[list[Place], bool]]:
    """Yield the same block by block of the list: where so many fit, a page is full long before its end."""
    offset, more_come = 0, True
    highest = repr(last[0]) if last else "+inf"
    while more_come:
        listed: Any = await redis.zrange(
            keys.user_chats(owner),
            highest,
            "-inf",
            desc=True,
            byscore=True,
            offset=offset,
            num=_BLOCK,
            withscores=True,
        )
        offset += _BLOCK
        more_come = len(listed) == _BLOCK
        if listed:
            numbers: Any = await redis.hmget(keys.user_slots(owner), [chat_id for chat_id, _ in listed])
            yield (
                [
                    (float(score), chat_id.decode())
                    for (chat_id, score), number in zip(listed, numbers, strict=True)
                    if number is not None and int(number) in slots
                ],
                more_come,
            )


async def _read(redis: Redis, chat_ids: Sequence[str]) -> list[tuple[ChatSummary, dict[str, str]]]:
    """Return the chats that are there, each with the texts of its visible branch, the first message first."""
    replies = await run_all(
        redis,
        [
            command
            for chat_id in chat_ids
            for command in (
                Command("HMGET", keys.chat(chat_id), *FIELDS, "head"),
                Command("HGET", keys.generation(chat_id), "state"),
                Command("HGETALL", keys.messages(chat_id)),
            )
        ],
    )
    found = []
    for chat_id, *row in zip(chat_ids, replies[::3], replies[1::3], replies[2::3], strict=True):
        if not readable(row):
            continue
        (*fields, head), state, messages = row
        if (chat := summary_of(chat_id, fields, state)) is not None:
            # A map in RESP3, names and values in turn in RESP2.
            if not isinstance(messages, dict):
                messages = dict(zip(messages[::2], messages[1::2], strict=True))
            found.append((chat, _branch(messages, (head or b"").decode(errors="replace"))))
    return found


def _branch(fields: Mapping[bytes, bytes], head: str) -> dict[str, str]:
    path: dict[str, str] = {}
    current: str | None = head
    while current and current not in path and (raw := fields.get(current.encode())) is not None:
        path[current] = fields.get(f"{current}:text".encode(), b"").decode(errors="replace")
        try:
            current = msgspec.json.decode(raw, type=MessageHead).parent_id
        except msgspec.DecodeError:
            break
    return dict(reversed(path.items()))


def _pattern(term: str) -> re.Pattern[str]:
    return re.compile(("" if unspaced(term) else r"(?<![^\W_])") + re.escape(term))


def _hit(
    chat: ChatSummary, texts: Mapping[str, str], patterns: Sequence[re.Pattern[str]]
) -> ChatSummary | None:
    """Return the chat with the message that has most of the words, or None unless all are there."""
    missing = set(patterns) - _found(chat.title, patterns)
    best: tuple[int, str] = (0, "")
    for message_id, text in texts.items():
        here = _found(text, patterns)
        missing -= here
        if len(here) > best[0]:
            best = (len(here), message_id)
    if missing:
        return None
    if not best[0]:
        return chat
    return msgspec.structs.replace(chat, snippet=_snippet(texts[best[1]], patterns), match_id=best[1])


def _found(text: str, patterns: Sequence[re.Pattern[str]]) -> set[re.Pattern[str]]:
    folded = fold(unicodedata.normalize("NFC", text))
    return {pattern for pattern in patterns if pattern.search(folded)}


def _snippet(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """Return the text around the first hit, on one line."""
    text = unicodedata.normalize("NFC", text)
    folded = fold(text)
    at = min(match.start() for pattern in patterns if (match := pattern.search(folded)))
    # Folding may have changed the length of what is before it.
    place = at
    if len(folded) != len(text):
        place, length = 0, 0
        while length < at and place < len(text):
            length += len(fold(text[place]))
            place += 1
    start = max(0, place - _BEFORE)
    if start and (space := text.find(" ", start, place)) >= 0:
        start = space + 1
    end = min(len(text), start + _SNIPPET)
    words = " ".join(text[start:end].split())
    return ("…" if start else "") + words + ("…" if end < len(text) else "")
