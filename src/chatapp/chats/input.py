"""Check what people send, and put it into the form in which it is kept. Pure."""

import math

from chatapp.errors import InvalidInput, NotFound
from chatapp.models import ID_PATTERN

__all__ = (
    "PROMPT_LIMIT",
    "checked_max_tokens",
    "checked_request",
    "checked_temperature",
    "checked_text",
    "checked_title",
    "require_id",
    "title_of",
)

#: Characters of one question or system prompt.
PROMPT_LIMIT = 32_000
_TITLE_LENGTH = 60
_GIVEN_TITLE_LENGTH = 200
_MAX_TEMPERATURE = 2
_MAX_TOKENS = 1_000_000


def require_id(*ids: str) -> None:
    """Raise NotFound for what is no id of ours: before it becomes part of a key."""
    if not all(map(ID_PATTERN.fullmatch, ids)):
        raise NotFound


def checked_text(field: str, text: str, *, empty: bool = False) -> str:
    """Return the text as it is kept; raise InvalidInput for one that cannot be asked."""
    if not empty and not text.strip():
        raise InvalidInput(field, "Please write a message first.")
    if len(text) > PROMPT_LIMIT:
        raise InvalidInput(
            field, f"This is too long: {len(text):,} characters, at most {PROMPT_LIMIT:,} can be sent."
        )
    return text


def checked_request(request: str | None) -> str | None:
    """Return the name that a caller gave its request; raise InvalidInput for one that cannot be kept."""
    if request is not None and not (0 < len(request) <= 255 and request.isprintable()):
        raise InvalidInput("Idempotency-Key", "An Idempotency-Key has 1 to 255 printable characters.")
    return request


def checked_temperature(value: float | None) -> float | None:
    """Return a temperature as it may be sent; raise InvalidInput for one that no provider takes."""
    if value is None:
        return None
    if isinstance(value, bool) or not (math.isfinite(value) and 0 <= value <= _MAX_TEMPERATURE):
        raise InvalidInput("temperature", f"The temperature is a number from 0 to {_MAX_TEMPERATURE}.")
    return float(value)


def checked_max_tokens(value: int | None) -> int | None:
    """Return the most tokens of an answer as they may be sent; raise InvalidInput for nonsense."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_TOKENS:
        raise InvalidInput("max_tokens", f"The maximum length is a whole number from 1 to {_MAX_TOKENS:,}.")
    return value


def checked_title(title: str) -> str:
    """Return a title that a person gave, cut and on one line; raise InvalidInput for an empty one."""
    words = _one_line(title)
    if not words:
        raise InvalidInput("title", "A chat needs a name.")
    return words[:_GIVEN_TITLE_LENGTH]


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def title_of(prompt: str) -> str:
    """Return a chat's first title: the first words of its first question."""
    words = _one_line(prompt)
    return words if len(words) <= _TITLE_LENGTH else words[: _TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"
