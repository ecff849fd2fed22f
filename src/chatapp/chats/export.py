"""A chat as a file to keep. Pure."""

import msgspec
from msgspec import Struct

from chatapp.chats.reading import Transcript
from chatapp.models import Message, Status

__all__ = ("json", "markdown")

_NOTES = {
    Status.STOPPED: "stopped",
    Status.INTERRUPTED: "interrupted",
    Status.FAILED: "failed",
    Status.QUEUED: "not finished when this was exported",
    Status.RUNNING: "not finished when this was exported",
}


class _Exported(Struct, frozen=True):
    id: str
    title: str
    model: str
    system: str
    created_at: str
    updated_at: str
    messages: tuple[Message, ...]


def markdown(transcript: Transcript) -> str:
    """Return the messages as a markdown document, each text as it was written."""
    chat = transcript.chat
    parts = [f"# {_line(chat.title)}"]
    if chat.system:
        parts.append("\n".join(f"> {line}" for line in chat.system.splitlines()))
    for message in transcript.messages:
        parts.append(f"## {_heading(message)}")
        if message.text:
            parts.append(message.text.strip("\n"))
        if note := _note(message):
            parts.append(f"*({note})*")
    return "\n\n".join(parts) + "\n"


def json(transcript: Transcript) -> bytes:
    """Return the chat and its messages as one JSON object."""
    chat = transcript.chat
    exported = _Exported(
        id=chat.id,
        title=chat.title,
        model=chat.model,
        system=chat.system,
        created_at=chat.created_at.isoformat(),
        updated_at=chat.updated_at.isoformat(),
        messages=tuple(transcript.messages),
    )
    return msgspec.json.format(msgspec.json.encode(exported), indent=2)


def _heading(message: Message) -> str:
    who = "You" if message.role == "user" else "Assistant"
    model = f" ({_line(message.model)})" if message.model else ""
    return f"{who}{model}, {message.created_at:%Y-%m-%d %H:%M} UTC"


def _note(message: Message) -> str:
    if message.finish_reason == "length":
        return "cut at the length limit"
    note = _NOTES.get(message.status, "")
    return f"{note}: {_line(message.error.message)}" if note and message.error else note


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
