"""What a scripted provider says, a pure function of the prompt: `n=400 rate=50 kind=emoji fault=rst@120`."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import islice, repeat
from typing import Any

from tests.rendering.corpus import HOSTILE
from tests.support.showcase import MATH, SHOWCASE

__all__ = ("FAULTS", "KINDS", "Fault", "Script", "mend")

# fmt: off
FAULTS = frozenset({
    "rst", "eof", "stall", "error", "badjson", "html", "status", "empty", "nofinish",
    "hold", "slowbytes", "crlf", "comments", "pings", "nospace", "big", "reasoning", "ignoreclose",
    "echo", "noprefill", "gone", "gzip",
})
# fmt: on
#: How a server takes a partial answer: says it again from the start, refuses it, forgets background answers.
ABILITIES = frozenset({"echo", "noprefill", "gone"})
BIG = 1_000_000  #: characters in one chunk, where `big@` says no other number

Random = random.Random


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, at a chunk (or, for `status`, with an HTTP status)."""

    name: str
    at: int = 0

    @classmethod
    def parse(cls, word: str) -> Fault:
        """Read `rst@120`, `status=429` or `html`."""
        match = re.fullmatch(r"([a-z]+)(?:[@=](\d+))?", word)
        if match is None or match[1] not in FAULTS:
            raise ValueError(f"unknown fault {word!r}")
        return cls(match[1], int(match[2] or 0))

    def __str__(self) -> str:
        return f"{self.name}@{self.at}" if self.at else self.name


@dataclass(frozen=True, slots=True)
class Script:
    """An answer and its faults; the same script always says the same."""

    n: int = 40
    rate: float = 0.0  #: chunks per second, 0 for as fast as possible
    seed: int = 0
    kind: str = "plain"
    first: float = 0.0  #: seconds between the headers and the first token
    finish: str = "stop"
    times: int = 0  #: faults hit only so many calls with this prompt, 0 for all of them
    retry_after: str = ""  #: the `Retry-After` header of a `status` fault
    faults: tuple[Fault, ...] = ()

    @classmethod
    def parse(cls, prompt: str) -> Script:
        """Take the known `key=value` words of a prompt; a known key with a wrong value raises ValueError."""
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        for word in prompt.split():
            key, equals, value = word.partition("=")
            if not equals:
                continue
            if key == "fault":
                faults += [Fault.parse(part) for part in value.split(",")]
            elif key == "status":
                faults.append(Fault("status", int(value)))
            elif key == "kind" and value not in KINDS:
                raise ValueError(f"unknown kind {value!r}")
            elif key in _TYPES:
                values[key] = _TYPES[key](value)
        return cls(**values, faults=tuple(faults))

    @property
    def prompt(self) -> str:
        """The shortest prompt that parses into this script."""
        words = [
            f"{field.name}={value:g}" if isinstance(value, float) else f"{field.name}={value}"
            for field in fields(self)
            if field.name != "faults" and (value := getattr(self, field.name)) != field.default
        ]
        if self.faults:
            words.append("fault=" + ",".join(map(str, self.faults)))
        return " ".join(words)

    def fault(self, name: str) -> int | None:
        """Where the named fault strikes, or None when it is not in the script."""
        return next((fault.at for fault in self.faults if fault.name == name), None)

    def healthy(self) -> Script:
        """The same answer without its faults; what the server is able to do stays."""
        return replace(self, faults=tuple(fault for fault in self.faults if fault.name in ABILITIES))

    def chunks(self) -> list[str]:
        """Exactly the deltas sent when nothing cuts them short, lone surrogates included."""
        if self.fault("empty") is not None:
            return []
        chunks = list(islice(KINDS[self.kind](Random(f"{self.kind} {self.seed}")), self.n))
        if self.kind == "surrogate" and chunks and _HIGH.fullmatch(chunks[-1]):
            chunks[-1] = "."
        if (size := self.fault("big")) is not None and chunks:
            chunks[len(chunks) // 2] = "0123456789" * ((size or BIG) // 10)
        return chunks

    def rest(self, begun: str) -> list[str]:
        """The deltas behind the answer's beginning; ValueError when it is not the beginning of this one."""
        if not self.text.startswith(begun):
            raise ValueError("this is not what I said")
        rest, left = [], len(begun)
        for chunk in self.chunks():
            if chunk[left:]:
                rest.append(chunk[left:])
            left = max(0, left - len(chunk))
        return rest

    @property
    def text(self) -> str:
        """The whole answer, as a reader must see it."""
        return mend("".join(self.chunks()))

    def frame(self, data: object) -> bytes:
        """Encode one event (a string as it is, anything else as JSON) with the framing faults in force."""
        if not isinstance(data, str):
            # Lone halves exist only as escapes; everything else goes as UTF-8, to be split anywhere.
            data = json.dumps(data, ensure_ascii=self.kind == "surrogate", separators=(",", ":"))
        text = f"data:{data}\n\n" if self.fault("nospace") is not None else f"data: {data}\n\n"
        if self.fault("comments") is not None:
            text = f": keep-alive\n\n:\nunknown: field\nevent: chunk\n{text}"
        if self.fault("pings") is not None:
            text = f"event: ping\n\n{text}"
        if self.fault("crlf") is not None:
            text = text.replace("\n", "\r\n")
        return text.encode()


_TYPES: dict[str, Callable[[str], object]] = {
    "n": int,
    "rate": float,
    "seed": int,
    "kind": str,
    "first": float,
    "finish": str,
    "times": int,
    "retry_after": str,
}
_HIGH = re.compile("[\ud800-\udbff]")


def mend(text: str) -> str:
    """Join surrogate halves to the characters they mean; a half alone becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# The kinds: endless, so that the first n chunks do not depend on n.

_WORDS = re.findall(
    r"\w+",
    "the stream carries every answer from a first token to its last and nothing between them gets lost "
    "because each entry has an id that readers keep when networks fail",
)

_HOSTILE = (
    "\r",
    "\nafter a lone CR",
    "lone CR at the end\r",
    "CR and LF\r\n",
    "\n\n",
    "data: x\n",
    "\n\nevent: done\ndata: {}\n\n",
    "id: 9-9\n",
    ": hb\n",
    "nul \0 inside ",
    "\u2028line\u2029paragraph ",
    "\u202ertl override\u202c ",
    "\ufeffbom ",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<hx-partial hx-target=body>gone</hx-partial>",
    "</article></div></template>",
    "&amp;&lt;&#x27;",
    "\"quotes' `ticks` ",
    "\\back\\\\slash\\n\\u0041 ",
    "{{ 7*7 }} {% raw %} ",
    "[link](javascript:alert(1)) ",
    "]]> --> ",
    "\x1b[31m\x07\x7f ",
)

_CLUSTERS = (
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "👍🏽",
    "🇺🇳",
    "1️⃣",
    "😀",
    "𝔘",
    "𠜎",
    "e\u0301",
    "a\u0308\u0323",
    "नमस्ते",
    "한",
    "\u1112\u1161\u11ab",
    " ",
    "word",
)

_SPACES = (
    " ",
    " ",
    "\n",
    "\n\n",
    "\n\n\n",
    "\t",
    "  ",
    "    indented",
    "word",
    "word ",
    " word",
    "trailing  \n",
)


def _plain(rng: Random) -> Iterator[str]:
    while True:
        yield rng.choice(_WORDS) + " "


def _markdown(rng: Random) -> Iterator[str]:
    return _chop(_blocks(rng), rng, 12)


def _hostile(rng: Random) -> Iterator[str]:
    while True:
        for piece in rng.sample(_HOSTILE, len(_HOSTILE)):
            if rng.random() < 0.6:
                yield piece
            else:
                middle = len(piece) // 2
                yield from filter(None, (piece[:middle], piece[middle:]))


def _emoji(rng: Random) -> Iterator[str]:
    return _chop(_clusters(rng), rng, 3)


def _surrogate(rng: Random) -> Iterator[str]:
    for chunk in _emoji(rng):
        if len(chunk) == 1 and ord(chunk) > 0xFFFF:
            offset = ord(chunk) - 0x10000
            yield chr(0xD800 + (offset >> 10))
            yield chr(0xDC00 + (offset & 0x3FF))
        else:
            yield chunk


def _showcase(rng: Random) -> Iterator[str]:
    return _chop(repeat(SHOWCASE), rng, 12)


def _math(rng: Random) -> Iterator[str]:
    return _chop(repeat(MATH), rng, 6)


def _attack(rng: Random) -> Iterator[str]:
    return _chop(_attacks(rng), rng, 5)


def _attacks(rng: Random) -> Iterator[str]:
    while True:
        for text in rng.sample(HOSTILE, len(HOSTILE)):
            yield text + "\n\n"


def _space(rng: Random) -> Iterator[str]:
    yield "\n "
    while True:
        yield rng.choice(_SPACES)


KINDS: dict[str, Callable[[Random], Iterator[str]]] = {
    "plain": _plain,
    "markdown": _markdown,
    "hostile": _hostile,
    "emoji": _emoji,
    "space": _space,
    "surrogate": _surrogate,
    "showcase": _showcase,
    "math": _math,
    "attack": _attack,
}


def _chop(pieces: Iterator[str], rng: Random, longest: int) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        rest += piece
        while len(rest) > longest:
            size = rng.randint(1, longest)
            yield rest[:size]
            rest = rest[size:]


def _clusters(rng: Random) -> Iterator[str]:
    while True:
        yield rng.choice(_CLUSTERS)


def _blocks(rng: Random) -> Iterator[str]:
    def words(low: int, high: int) -> str:
        return " ".join(rng.choice(_WORDS) for _ in range(rng.randint(low, high)))

    makers: tuple[Callable[[], str], ...] = (
        lambda: f"{'#' * rng.randint(1, 4)} {words(1, 4)}",
        lambda: f"{words(6, 20)}, **{words(1, 2)}** and *{words(1, 2)}* with `{words(1, 2)}`.",
        lambda: f"- {words(2, 5)}\n- {words(2, 5)}\n  - {words(1, 3)}\n- {words(1, 5)}",
        lambda: f"1. {words(2, 5)}\n2. {words(2, 5)}",
        lambda: (
            f"```python\ndef {words(1, 1)}():\n    # {words(2, 4)}\n\n    return {rng.randint(0, 99)}\n```"
        ),
        lambda: f"| {words(1, 1)} | {words(1, 1)} |\n|---|--:|\n| {words(1, 2)} | {rng.randint(0, 99)} |",
        lambda: f"See [{words(1, 3)}](https://example.com/{rng.randint(0, 99)}) and <https://example.org>.",
        lambda: f"> {words(4, 9)}\n> {words(2, 4)}",
    )
    while True:
        for maker in rng.sample(makers, len(makers)):
            yield maker() + "\n\n"
