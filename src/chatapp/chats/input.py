"""What people may say: checked, and put in the form in which it is kept. Pure."""

from chatapp.errors import InvalidInput

__all__ = ("PROMPT_LIMIT", "checked_request", "checked_text", "title_of")

#: Characters of one question or system prompt.
PROMPT_LIMIT = 32_000
_TITLE_LENGTH = 60


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


def title_of(prompt: str) -> str:
    """Return a chat's first title: the first words of its first question."""
    words = " ".join("".join(c if c.isprintable() else " " for c in prompt).split())
    return words if len(words) <= _TITLE_LENGTH else words[: _TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"
