"""Search in titles and texts of a person's chats: every word of the search is the beginning of a word there.

Signatures name the chats that may have all words (see `storage.signatures`); these are read, the last used
first, until a page is full.
"""

import asyncio
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from chatapp.chats.summaries import FIELDS, ChatPage, position, summary_of
from chatapp.errors import InvalidInput
from chatapp.models import ChatSummary, MessageHead
from chatapp.storage import keys
from chatapp.storage.scripts import Command, run_in_order
from chatapp.storage.signatures import BYTES, bits_of, fold, terms_of, unspaced

__all__ = ("search",)

#: Characters of one search, and words.
_LONGEST = 200
_MOST_WORDS = 16
#: Chats read in one round trip.
_CHUNK = 20
#: Characters of a snippet before the hit, and in all.
_BEFORE = 40
_SNIPPET = 140
#: Bytes of texts after which the rest of a page is asked for with its cursor.
_READ_LIMIT = 16 << 20


async def search(redis: Redis, owner: str, q: str, *, limit: int, cursor: str | None = None) -> ChatPage:
    """Return the chats that have all words of `q`, the last used first; no words, no chats."""
    terms = _terms(q)
    after = position(cursor)
    if not terms:
        return ChatPage([], None)
    ranked = await _ranked(redis, owner, await _candidates(redis, owner, terms))
    if after is not None:
        last = (float(after[0]), after[1])
        ranked = [place for place in ranked if place < last]
    patterns = [_pattern(term) for term in terms]
    found: list[ChatSummary] = []
    size = 0
    for start in range(0, len(ranked), _CHUNK):
        places = ranked[start : start + _CHUNK]
        read = await _read(redis, [chat_id for _, chat_id in places])
        hits = {chat.id: _hit(chat, texts, patterns) for chat, texts in read}
        size += sum(len(text) for _, texts in read for text in texts.values())
        for place in places:
            hit = hits.get(place[1])
            if hit is not None:
                found.append(hit)
            more = place != ranked[-1]
            if len(found) == limit or (size > _READ_LIMIT and place is places[-1]):
                return ChatPage(found, f"{place[0]!r}_{place[1]}" if more else None)
        # What is read here is looked through without a pause.
        await asyncio.sleep(0)
    return ChatPage(found, None)


def _terms(q: str) -> list[str]:
    if len(q) > _LONGEST:
        raise InvalidInput("q", f"A search has at most {_LONGEST} characters.")
    return terms_of(q)[:_MOST_WORDS]


async def _candidates(redis: Redis, owner: str, terms: Sequence[str]) -> list[str]:
    """Return the chats whose signatures have all grams of the terms, and some by chance."""
    signatures: Any = await redis.get(keys.user_signatures(owner))
    slots = _matching(signatures or b"", bits_of(terms, whole=False))
    if not slots:
        return []
    chat_ids: Any = await redis.hmget(keys.user_slots(owner), [str(slot) for slot in slots])
    return [chat_id.decode() for chat_id in chat_ids if chat_id is not None]


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


async def _ranked(redis: Redis, owner: str, chat_ids: Sequence[str]) -> list[tuple[float, str]]:
    """Return when the chats were last used, the latest first."""
    if not chat_ids:
        return []
    scores: Any = await redis.zmscore(keys.user_chats(owner), list(chat_ids))
    ranked = [
        (float(score), chat_id) for score, chat_id in zip(scores, chat_ids, strict=True) if score is not None
    ]
    return sorted(ranked, reverse=True)


async def _read(redis: Redis, chat_ids: Sequence[str]) -> list[tuple[ChatSummary, dict[str, str]]]:
    """Return the chats that are there, each with the texts of its visible branch, the first message first."""
    replies = await run_in_order(
        redis,
        *(
            command
            for chat_id in chat_ids
            for command in (
                Command("HMGET", keys.chat(chat_id), *FIELDS, "head"),
                Command("HGET", keys.generation(chat_id), "state"),
                Command("HGETALL", keys.messages(chat_id)),
            )
        ),
    )
    found = []
    for chat_id, (*fields, head), state, messages in zip(
        chat_ids, replies[::3], replies[1::3], replies[2::3], strict=True
    ):
        if (chat := summary_of(chat_id, fields, state)) is not None:
            # A map in RESP3, names and values in turn in RESP2.
            if not isinstance(messages, dict):
                messages = dict(zip(messages[::2], messages[1::2], strict=True))
            found.append((chat, _branch(messages, (head or b"").decode())))
    return found


def _branch(fields: Mapping[bytes, bytes], head: str) -> dict[str, str]:
    path: dict[str, str] = {}
    current: str | None = head
    while current and current not in path and (raw := fields.get(current.encode())) is not None:
        path[current] = fields.get(f"{current}:text".encode(), b"").decode(errors="replace")
        current = msgspec.json.decode(raw, type=MessageHead).parent_id
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
