"""Compose the demo model's answers: pure, deterministic, as long as the question asks for."""

import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from chatapp.demo.prose import CODE, FORMULA, LIST, QUOTE, SECTIONS, SHORT, TABLE, TASKS, episode

__all__ = ("demo_answer", "tokens")

_MOST_WORDS = 5000
_FEWEST_WORDS = 40
_EXCERPT_CHARACTERS = 120
_SHOWPIECES = (LIST, TABLE, CODE, QUOTE, TASKS, FORMULA)
_TOKEN = re.compile(r"\s?\w{1,8}|\s+|[^\w\s]")

_INTRODUCTION = (
    "This is the **built-in demo model**. For a real one set `OPENAI_API_KEY`, or `OPENAI_BASE_URL` "
    "for any [compatible server](https://platform.openai.com/docs/api-reference/chat), and start again."
)


def demo_answer(messages: Sequence[Mapping[str, object]]) -> str:
    """Answer OpenAI-shaped `messages`; after a partial assistant message, give only what is missing."""
    if messages and messages[-1].get("role") == "assistant":
        begun = _text(messages[-1])
        whole = demo_answer(messages[:-1])
        return whole.removeprefix(begun) if whole.startswith(begun) else f"\n\n{whole}"
    question = next((_text(m) for m in reversed(messages) if m.get("role") == "user"), "")
    seed = zlib.crc32(question.encode("utf-8", "replace"))
    words = _wanted_words(question)
    blocks = [_INTRODUCTION, *_quoted(question)]
    return "\n\n".join(_fill(blocks, words, seed))


def tokens(text: str) -> list[str]:
    """Split text into word-like pieces that join to it again."""
    return _TOKEN.findall(text)


def _text(message: Mapping[str, object]) -> str:
    """Return the text of a message, whose content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


def _wanted_words(question: str) -> int:
    asked = re.search(r"\b(\d{1,3}(?:[,.]\d{3})+|\d{1,9})[\s-]*words?\b", question, re.IGNORECASE)
    if asked:
        number = int(re.sub(r"\D", "", asked[1]))
        return max(_FEWEST_WORDS, min(number, _MOST_WORDS))
    if re.search(r"\bvery long\b", question, re.IGNORECASE):
        return 2500
    if re.search(r"\b(long|longer|essay|story|in (detail|depth)|detailed)\b", question, re.IGNORECASE):
        return 800
    # A question of a line gets a paragraph or two; a page gets about a page.
    return min(100 + 2 * max(0, len(question.split()) - 12), 1000)


def _quoted(question: str) -> list[str]:
    """Quote the beginning of the question so that none of its markup works."""
    plain = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in question)
    line = " ".join(plain.split())
    if not line:
        return []
    if len(line) > _EXCERPT_CHARACTERS:
        line = line[:_EXCERPT_CHARACTERS].rpartition(" ")[0] or line[:_EXCERPT_CHARACTERS]
        line += "…"
    return ["You asked: “" + re.sub(r"[\\`*_\[\]<>~$&|#!^={}]", r"\\\g<0>", line) + "”"]


def _fill(blocks: list[str], words: int, seed: int) -> list[str]:
    """Append blocks until there are about as many words as wanted, the last one cut at a sentence."""
    blocks = list(blocks)
    left = words - sum(len(block.split()) for block in blocks)
    for block in _material(words, seed):
        length = len(block.split())
        if length > left:
            blocks.append(_sentences(block, left))
            break
        blocks.append(block)
        left -= length
    while not blocks[-1] or blocks[-1].startswith("#"):
        blocks.pop()
    return blocks


def _material(words: int, seed: int) -> Iterator[str]:
    """Yield blocks without end: first what suits the length, then one episode after another."""
    if words <= 200:
        yield SHORT[seed % len(SHORT)]
        yield _SHOWPIECES[(seed - 1) % len(_SHOWPIECES)]
    for number, (title, paragraphs) in enumerate(SECTIONS):
        if words > 200:
            yield f"## {title}"
        yield paragraphs[0]
        yield _SHOWPIECES[(seed + number) % len(_SHOWPIECES)]
        yield from paragraphs[1:]
    yield "## From the logbook"
    if words > 200:
        yield _SHOWPIECES[(seed - 1) % len(_SHOWPIECES)]
    for number in count():
        yield from episode(number, seed)


def _sentences(block: str, words: int) -> str:
    """Return the leading sentences of a paragraph within `words`; nothing of any other block."""
    if not block[0].isalpha():
        return ""
    kept: list[str] = []
    for sentence in re.split(r"(?<=[.!?]) ", block):
        words -= len(sentence.split())
        if words < 0:
            break
        kept.append(sentence)
    return " ".join(kept)
