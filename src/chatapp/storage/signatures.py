"""Which chats may have these words: one Bloom signature a chat, all of a person's in one string.

A signature is a set of 4,096 bits, one for each gram: a beginning of a word. A search looks at the
columns of its own grams over all chats at once; what remains is a superset, to be looked at word by word.
Nothing is ever taken out of a signature: an old title costs a look in vain.
"""

import asyncio
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

from redis.asyncio import Redis

from chatapp.storage import keys
from chatapp.storage.scripts import FORGET, INDEX, Call, run

__all__ = ("BYTES", "bits_of", "fold", "forget", "index", "indexing", "terms_of", "unspaced")

#: Bytes of one signature.
BYTES = 512
_BITS = BYTES * 8
#: The beginnings of a word that are its grams, in characters.
_BEGINNINGS = (1, 2, 3, 4, 5, 6, 8)
#: Characters whose words are looked for off the event loop, and about so many at a time: one call of Python's
#: own functions holds all threads up until it is done, 0.3 s for each MB.
_LONG = 20_000
_GAP = re.compile(r"[\s、。，！？]")
_FOLDED_KEPT = 20_000
#: Scripts that put no spaces between words: Thai to Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_TERM = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_FIRST_UNSPACED = re.compile(rf"[{_UNSPACED}]")


class _Folding(dict[int, str]):
    """Character → the same without case, accents and width; only so many are kept."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        parts = unicodedata.normalize("NFKD", character).casefold()
        bare = "".join(c for c in parts if not unicodedata.combining(c))
        folded = unicodedata.normalize("NFKC", bare)
        if len(self) < _FOLDED_KEPT:
            self[code] = folded
        return folded


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Return the text as it is compared: character by character, so that a place can be found again."""
    return text.lower() if text.isascii() else text.translate(_FOLDING)


def terms_of(text: str) -> list[str]:
    """Return the folded words of a text, each once; runs of a script without spaces are one word each."""
    return list(dict.fromkeys(_TERM.findall(fold(unicodedata.normalize("NFC", text)))))


def unspaced(term: str) -> bool:
    """Whether a term may stand anywhere, and not only at the beginning of a word."""
    return _FIRST_UNSPACED.match(term) is not None


def bits_of(terms: Iterable[str], *, whole: bool) -> set[int]:
    """Return the bits that stand for terms: of whole words, or of what words begin with."""
    grams: set[str] = set()
    for term in terms:
        if unspaced(term):
            pairs = [term[i : i + 2] for i in range(len(term) - 1)]
            # A search for one character needs single characters; longer ones need only the pairs.
            grams.update(pairs if pairs and not whole else (*term, *pairs))
        else:
            grams.update([f" {term[:length]}" for length in _BEGINNINGS if length <= len(term)])
    return {crc32(gram.encode(errors="replace")) % _BITS for gram in grams}


async def index(redis: Redis, owner: str, chat_id: str, texts: Sequence[str]) -> None:
    """Let a chat of this owner be found by the words of these texts."""
    await run(redis, await indexing(owner, chat_id, texts))


async def indexing(owner: str, chat_id: str, texts: Sequence[str]) -> Call:
    """Return the call that lets a chat of this owner be found by the words of these texts."""
    if sum(map(len, texts)) > _LONG:
        signature = await asyncio.to_thread(_signature, texts)
    else:
        signature = _signature(texts)
    return Call(INDEX, _keys(owner), chat_id, signature)


async def forget(redis: Redis, owner: str, chat_id: str) -> None:
    """Free the place of a chat for another."""
    await run(redis, Call(FORGET, _keys(owner), chat_id, BYTES))


def _signature(texts: Iterable[str]) -> bytes:
    signature = bytearray(BYTES)
    terms = {term for text in texts for part in _parts(text) for term in terms_of(part)}
    for bit in bits_of(terms, whole=True):
        # A byte's bits are counted from the highest.
        signature[bit >> 3] |= 0x80 >> (bit & 7)
    return bytes(signature)


def _parts(text: str) -> Iterator[str]:
    """Cut a long text between words."""
    start = 0
    while start < len(text):
        gap = _GAP.search(text, start + _LONG)
        end = gap.start() if gap else len(text)
        yield text[start:end]
        start = end


def _keys(owner: str) -> tuple[str, str]:
    return keys.user_slots(owner), keys.user_signatures(owner)
