"""How each system writes its events: bytes in, text out."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

__all__ = ("FORMATS", "Format", "Piece")


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event says: more text, or the end.

    In place of all before, when `reset`; in place of the last paragraph, when `again`.
    """

    text: str = ""
    reset: bool = False
    again: bool = False
    end: bool = False
    failed: bool = False
    event_id: str | None = None


Format = Callable[[bytes], Piece | None]

_decode: Callable[[str], Any] = msgspec.json.decode
_PARTIAL = re.compile(
    r'<hx-partial hx-target="#(?:body-\w+|p\w+-\d+)(>[^"]*)?" hx-swap="(\w+)">(.*?)</hx-partial>', re.DOTALL
)
_LAST = ">:last-child"
_TAG = re.compile(r"<[^>]*>|\n")


def _fields(event: bytes) -> tuple[str, str, str | None]:
    """Return an event's name, data and id."""
    name, data, event_id = "message", [], None
    for line in event.decode().split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            event_id = value
    return name, "\n".join(data), event_id


# Remembered, because a thousand viewers of one answer get the same bytes.
@lru_cache(maxsize=4096)
def _ours_json(event: bytes) -> Piece | None:
    name, data, event_id = _fields(event)
    match name:
        case "delta" | "reset":
            return Piece(_decode(data)["text"], name == "reset", event_id=event_id)
        case "end":
            return Piece(end=True, failed=_decode(data)["status"] != "completed", event_id=event_id)
    return None


@lru_cache(maxsize=4096)
def _ours_html(event: bytes) -> Piece | None:
    name, data, event_id = _fields(event)
    if name == "done":
        return Piece(end=True, failed=data != "completed", event_id=event_id)
    partials = _PARTIAL.findall(data) if name == "message" else []
    if not partials:
        return None
    (place, swap, _), *others = partials
    # The answer is paragraphs: the last one is added to, or renewed, and others come behind it.
    known = place in ("", _LAST) and all((a, b) == ("", "beforeend") for a, b, _ in others)
    # A piece may end inside of a word. A paragraph's first token has lost the space before it.
    text = "".join(_TAG.sub("", html.replace("<p>", " ")) for _, _, html in partials)
    return Piece(text, swap == "innerHTML", swap == "outerHTML", failed=not known, event_id=event_id)


@lru_cache(maxsize=4096)
def _plain(event: bytes) -> Piece | None:
    """`data: {"text": …}`, and `event: end`: the relay, the naive server and Nchan."""
    name, data, event_id = _fields(event)
    if name == "end":
        return Piece(end=True, event_id=event_id)
    return Piece(_decode(data)["text"], event_id=event_id) if data.startswith('{"text"') else None


def _ai_sdk(event: bytes) -> Piece | None:
    """The AI SDK's UI message stream, version 1."""
    data = event.removeprefix(b"data: ")
    if data.startswith(b'{"type":"text-delta"'):
        return Piece(_decode(data.decode())["delta"])
    if data.startswith((b'{"type":"error"', b'{"type":"abort"')):
        return Piece(failed=True)
    return Piece(end=True) if data == b"[DONE]" else None


FORMATS: dict[str, Format] = {
    "ours": _ours_json,
    "ours-html": _ours_html,
    "plain": _plain,
    "ai-sdk": _ai_sdk,
}
