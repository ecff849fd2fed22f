"""The tokens that the scripted provider sends: each one names its place and when it was sent.

A token is nine bytes, such as ` 00c1xk9q`: a space, its index (three digits of base 36) and the machine's
monotonic clock (five digits, in units of 10 µs, turning over every ten minutes). It holds nothing that HTML
would escape or markdown would change, and one clock serves sender and reader. Every 64th begins a paragraph,
as answers do: a blank line in place of the space.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from time import monotonic_ns

__all__ = ("LIMIT", "PARAGRAPH", "WIDTH", "Script", "age", "encode", "now", "read")

WIDTH = 9
PARAGRAPH = 64
LIMIT = 36**3
_TURN = 36**5
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_TRIPLES = [a + b for a in _DIGITS for b in _PAIRS]


def now() -> int:
    """Return the clock as tokens carry it."""
    return monotonic_ns() // 10_000 % _TURN


def age(sent: int, received: int) -> int:
    """Return how long a token took, in units of 10 µs."""
    return (received - sent) % _TURN


def encode(index: int, sent: int) -> str:
    """Write a token as a part of a JSON string."""
    high, low = divmod(sent, 1296)
    before = " " if index % PARAGRAPH or not index else r"\n\n"
    return f"{before}{_TRIPLES[index]}{_TRIPLES[high]}{_PAIRS[low]}"


@lru_cache(maxsize=8192)
def read(text: str) -> tuple[int, Sequence[int]]:
    """Return the index of the first token in `text`, and when each was sent.

    Raises ValueError when they do not follow on each other. Remembered, because a thousand viewers of one
    answer read the same text.
    """
    first = int(text[1:4], 36)
    sent = []
    for number, start in enumerate(range(0, len(text), WIDTH)):
        if text[start] != " " or int(text[start + 1 : start + 4], 36) != first + number:
            raise ValueError(f"token {first + number} reads {text[start : start + WIDTH]!r}")
        sent.append(int(text[start + 4 : start + WIDTH], 36))
    return first, sent


class Script:
    """What a prompt asks of the provider: `n=500 rate=50 head=0`.

    `n` tokens in all, the first `head` of them as fast as the connection takes them, the others at `rate` a
    second, each stream at its own phase. The first token is sent when the request arrives.
    `text`: the number of a text of markdown, which is sent in place of tokens, `size` characters each time.
    """

    def __init__(
        self, n: int = 500, rate: float = 50.0, head: int = 0, text: int | None = None, size: int = 8
    ) -> None:
        if not 0 < n <= LIMIT:
            raise ValueError(f"n={n} is not from 1 to {LIMIT}")
        self.n = n
        self.rate = rate
        self.head = head
        self.text = text
        self.size = size

    def __str__(self) -> str:
        text = "" if self.text is None else f" text={self.text} size={self.size}"
        return f"n={self.n} rate={self.rate:g} head={self.head}{text}"

    @classmethod
    def parse(cls, prompt: str) -> "Script":
        """Find the numbers in a prompt, or in a request; of a chat's questions the last one counts."""
        found = dict(re.findall(r"\b(n|rate|head|text|size)=([0-9.]+)", prompt))
        return cls(
            int(found.get("n", 500)),
            float(found.get("rate", 50)),
            int(found.get("head", 0)),
            int(found["text"]) if "text" in found else None,
            int(found.get("size", 8)),
        )
