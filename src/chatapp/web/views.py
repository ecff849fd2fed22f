"""Fill the templates: whole pages, and the pieces of them that are sent later."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from chatapp.chats.service import Transcript
from chatapp.models import Chat, ChatSummary, Failure, FinishReason, Message, Outcome, Status
from chatapp.web.assets import Assets
from chatapp.web.bodies import Bodies
from chatapp.web.reasoning import reasoning_html

__all__ = ("Pages",)


class ChatView(Struct, frozen=True):
    """A chat as the list shows it."""

    id: str
    title: str
    running: bool
    updated_at: datetime


class MessageView(Struct, frozen=True):
    """A message as the page shows it; `body` is safe HTML, `note` says why there is no more of it."""

    id: str
    role: str
    status: Status
    body: Markup
    note: str | None
    created_at: datetime
    #: Seconds since it was asked for, while it runs.
    waited: int | None
    reasoning: Markup = Markup()


class Pages:
    """The templates, and what all of them need."""

    def __init__(self, templates: Path, assets: Assets, *, demo: bool) -> None:
        self.bodies = Bodies()
        self._demo = demo
        self._environment = Environment(
            loader=FileSystemLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["asset"] = assets.url

    async def page(
        self,
        chats: Sequence[ChatSummary],
        transcript: Transcript | None = None,
        *,
        error: str | None = None,
        draft: str = "",
    ) -> str:
        """Render a whole page: a chat, or the empty one."""
        running = transcript.running if transcript else None
        return self._render(
            "page.html",
            chats=[_chat(chat) for chat in chats],
            chat=transcript.chat if transcript else None,
            messages=await self._messages(transcript.messages) if transcript else [],
            stream_url=_stream_url(transcript) if transcript else None,
            running=running,
            demo=self._demo,
            request_id=_request_id(),
            error=error,
            draft=draft,
        )

    async def turn(self, chats: Sequence[ChatSummary], transcript: Transcript, answer_id: str) -> str:
        """Render what a sent question adds to the page: itself, its answer, and the stream of that."""
        answer = next(message for message in transcript.messages if message.id == answer_id)
        messages = [m for m in transcript.messages if m.id in (answer.parent_id, answer_id)]
        return self._render(
            "turn.html",
            chat=transcript.chat,
            messages=await self._messages(messages),
            stream_url=_stream_url(transcript),
            running=transcript.running,
            request_id=_request_id(),
            chats=[_chat(chat) for chat in chats],
        )

    def shell(self, message: Message, status: Status) -> str:
        """Render the message around its text, in a new state."""
        shown = msgspec.structs.replace(message, status=status)
        return self._render("shell.html", message=_message(shown, ""))

    def end(self, chat: Chat, message: Message, outcome: Outcome) -> str:
        """Render what an answer's end changes on the page."""
        shown = msgspec.structs.replace(
            message, status=outcome.status, finish_reason=outcome.finish_reason, error=outcome.error
        )
        return self._render("end.html", chat=chat, message=_message(shown, ""), request_id=_request_id())

    def setup(self, rows: Sequence[Struct], *, fragment: bool = False) -> str:
        """Render the page of the first run, or what a test changes on it."""
        return self._render("setup_checks.html" if fragment else "setup.html", rows=rows)

    def error(self, status: int, message: str) -> str:
        """Render an error as a page of its own."""
        return self._render("error.html", status=status, message=message)

    def error_fragment(self, message: str, *, renew: bool = False) -> str:
        """Render an error for the place above the composer; `renew`: the next try is a new request."""
        request_id = _request_id() if renew else None
        return self._render("error_fragment.html", message=message, request_id=request_id)

    async def _messages(self, messages: Sequence[Message]) -> list[MessageView]:
        return [_message(message, await self.bodies.html(message)) for message in messages]

    def _render(self, template: str, **context: object) -> str:
        return self._environment.get_template(template).render(**context)


def _chat(chat: ChatSummary) -> ChatView:
    return ChatView(chat.id, chat.title, chat.status.active, chat.updated_at)


def _message(message: Message, body: str) -> MessageView:
    return MessageView(
        message.id,
        message.role,
        message.status,
        Markup(body),  # noqa: S704  # made by `rendering`, which lets only its allow-list through
        _note(message.status, message.finish_reason, message.error),
        message.created_at,
        _waited(message),
        Markup(reasoning_html(message.reasoning, over=bool(message.text) or not message.status.active)),  # noqa: S704  # escaped there
    )


def _waited(message: Message) -> int | None:
    if not message.status.active:
        return None
    # Another host's clock may be ahead of ours.
    return max(0, int((datetime.now(UTC) - message.created_at).total_seconds()))


def _note(status: Status, reason: FinishReason | None, error: Failure | None) -> str | None:
    why = error.message if error else ""
    match status, reason:
        case Status.STOPPED, _:
            return "Stopped by you"
        case Status.INTERRUPTED, _:
            return f"Interrupted: {why}" if why else "Interrupted"
        case Status.FAILED, _:
            return why or "The answer failed."
        case Status.COMPLETED, "length":
            return "Cut off: the length limit was reached"
        case Status.COMPLETED, "content_filter":
            return "Cut off: filtered by the provider"
    return None


def _stream_url(transcript: Transcript) -> str | None:
    """The address of the running answer's stream, from exactly the text that the page shows on."""
    if transcript.running is None:
        return None
    answer = next(message for message in transcript.messages if message.id == transcript.running)
    return f"/chats/{transcript.chat.id}/messages/{answer.id}/stream?after={answer.last_event_id or ''}"


def _request_id() -> str:
    return secrets.token_hex(16)
