"""Prepare a message for the templates: what stands around its text, and what can be done with it. Pure."""

from datetime import UTC, datetime

from markupsafe import Markup
from msgspec import Struct

from chatapp.models import Failure, FinishReason, Message, Status
from chatapp.web.reasoning import reasoning_html

__all__ = ("MessageView", "message_view")

#: Failures that trying again does not help: something in the provider's settings is wrong.
_SETUP_CODES = ("auth", "not_found", "connection", "protocol", "no_model", "quota")


class Versions(Struct, frozen=True):
    """Where a message stands among the versions at its place; the ids are those beside it."""

    label: str
    previous: str | None
    following: str | None


class MessageView(Struct, frozen=True, kw_only=True):
    """A message; `body` is safe HTML, `note` says why there is no more of it.

    `end`: a word for how it ended that the stylesheet knows. `waited`: seconds since it was asked for, while
    it runs. `remedy`: the one place where a failure can be mended, as address and words.
    """

    id: str
    path: str
    chat_path: str
    role: str
    status: Status
    body: Markup
    reasoning: Markup
    note: str | None
    end: str | None
    waited: int | None
    marked: bool
    copied: str | None
    go_on: bool
    again: str | None
    remedy: tuple[str, str] | None
    versions: Versions | None
    details: str
    tokens: str


def message_view(chat_id: str, message: Message, body: str, *, marked: bool = False) -> MessageView:
    """Put together what the page shows of a message; of one that is shown whole nothing while it runs."""
    active, hidden = message.status.active, message.status.active and message.whole
    reasoning = reasoning_html(message.reasoning, over=bool(message.text) or not active)
    end = _end(message.status, message.finish_reason)
    answered = message.role == "assistant" and not active
    path = f"/chats/{chat_id}/messages/{message.id}"
    return MessageView(
        id=message.id,
        path=path,
        chat_path=f"/chats/{chat_id}",
        role=message.role,
        status=message.status,
        body=Markup("" if hidden else body),  # noqa: S704  # made by `rendering`, which lets only its allow-list through
        reasoning=Markup("" if hidden else reasoning),  # noqa: S704  # escaped there
        note=_note(end, message.error),
        end=end,
        waited=_waited(message) if active else None,
        marked=marked,
        copied=f"/api{path}" if answered and message.text else None,
        go_on=answered and end in ("stopped", "interrupted", "length") and bool(message.text),
        again=("Retry" if end == "failed" else "Regenerate") if answered else None,
        remedy=_remedy(message.error) if answered and end == "failed" else None,
        versions=_versions(message) if not active else None,
        details=_details(message) if answered else "",
        tokens=_tokens(message) if answered else "",
    )


def _end(status: Status, reason: FinishReason | None) -> str | None:
    match status, reason:
        case ((Status.STOPPED | Status.INTERRUPTED | Status.FAILED), _):
            return str(status)
        case Status.COMPLETED, "length":
            return "length"
        case Status.COMPLETED, "content_filter":
            return "filtered"
    return None


def _note(end: str | None, error: Failure | None) -> str | None:
    why = error.message if error else ""
    match end:
        case "stopped":
            return "Stopped by you"
        case "interrupted":
            return f"Interrupted: {why}" if why else "Interrupted"
        case "failed":
            return why or "The answer failed."
        case "length":
            return "Cut off: length limit"
        case "filtered":
            return "Filtered by the provider"
    return None


def _remedy(error: Failure | None) -> tuple[str, str] | None:
    if error is not None and error.code in _SETUP_CODES:
        return "/setup", "Check the setup"
    if error is not None and error.code == "context_length":
        return "/", "New chat"
    return None


def _waited(message: Message) -> int:
    # Another host's clock may be ahead of ours.
    return max(0, int((datetime.now(UTC) - message.created_at).total_seconds()))


def _versions(message: Message) -> Versions | None:
    variants = message.variants
    if len(variants) < 2 or message.id not in variants:
        return None
    place = variants.index(message.id)
    return Versions(
        f"{place + 1} / {len(variants)}",
        variants[place - 1] if place else None,
        variants[place + 1] if place + 1 < len(variants) else None,
    )


def _details(message: Message) -> str:
    """Model, tokens, duration, and why it ended."""
    usage, seconds = message.usage, message.seconds
    ends = {"length": "length limit", "content_filter": "filtered", "stop": "finished"}
    parts = [
        message.model or "",
        f"{usage.completion_tokens:,} tokens" if usage and usage.completion_tokens else "",
        _duration(seconds) if seconds is not None else "",
        ends.get(message.finish_reason or "", str(message.status)),
    ]
    return " · ".join(filter(None, parts))


def _tokens(message: Message) -> str:
    usage = message.usage
    return f"{usage.prompt_tokens:,} tokens read, {usage.completion_tokens:,} written" if usage else ""


def _duration(seconds: float) -> str:
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
