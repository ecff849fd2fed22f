"""A chat as markdown and as JSON."""

from datetime import UTC, datetime
from json import loads
from typing import Any

from chatapp.chats.export import json, markdown
from chatapp.chats.reading import Transcript
from chatapp.models import Chat, Failure, Message, Status

NOW = datetime(2026, 11, 25, 18, 30, tzinfo=UTC)


def message(number: int, text: str, **more: Any) -> Message:
    fields: dict[str, Any] = {
        "parent_id": None,
        "role": "user",
        "status": Status.COMPLETED,
        "model": None,
        "created_at": NOW,
    }
    return Message(id=str(number), text=text, **{**fields, **more})


def transcript(*messages: Message) -> Transcript:
    chat = Chat(
        id="c", owner="o", title="Tea\nand <b>", model="m", system="Be\nbrief.", head="", created_at=NOW,
        updated_at=NOW,
    )  # fmt: skip
    return Transcript(chat, messages, None)


def test_markdown() -> None:
    failure = Failure("upstream_reset", "The connection\nbroke.")
    chat = transcript(
        message(1, "\n    indented code\n"),
        message(2, "\n- tea\n```\ncode\n```\n", role="assistant", model="m1", finish_reason="stop"),
        message(3, "half", role="assistant", model="m1", status=Status.INTERRUPTED, error=failure),
        message(4, "long", role="assistant", finish_reason="length"),
        message(5, "", role="assistant", status=Status.STOPPED),
    )
    assert markdown(chat) == (
        "# Tea and <b>\n\n> Be\n> brief.\n\n"
        "## You, 2026-11-25 18:30 UTC\n\n    indented code\n\n"
        "## Assistant (m1), 2026-11-25 18:30 UTC\n\n- tea\n```\ncode\n```\n\n"
        "## Assistant (m1), 2026-11-25 18:30 UTC\n\nhalf\n\n*(interrupted: The connection broke.)*\n\n"
        "## Assistant, 2026-11-25 18:30 UTC\n\nlong\n\n*(cut at the length limit)*\n\n"
        "## Assistant, 2026-11-25 18:30 UTC\n\n*(stopped)*\n"
    )


def test_json() -> None:
    exported = loads(json(transcript(message(1, "<script>“ü”"), message(2, "yes", role="assistant"))))
    assert (exported["title"], exported["system"], exported["id"]) == ("Tea\nand <b>", "Be\nbrief.", "c")
    assert [(m["id"], m["role"], m["text"]) for m in exported["messages"]] == [
        ("1", "user", "<script>“ü”"),
        ("2", "assistant", "yes"),
    ]
    assert "owner" not in exported
