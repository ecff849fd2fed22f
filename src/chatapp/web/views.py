"""Fill the templates: whole pages, and the pieces of them that are sent later."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from chatapp.chats.service import Transcript
from chatapp.models import Chat, Message, Outcome, Status
from chatapp.web.assets import Assets
from chatapp.web.bodies import Bodies
from chatapp.web.list_view import ListView
from chatapp.web.lru import LruCache
from chatapp.web.message_views import MessageView, message_view

__all__ = ("Chosen", "Pages")

#: Characters of ended messages, as HTML and as text, that are kept.
_KEPT = 16 << 20
#: What a chat may be about: presets of the system prompt.
_TOPICS = ("Redis", "Python", "web development", "writing", "cooking")
#: Keys and what they do, as the page lists them.
_SHORTCUTS = (
    (("Enter",), "Send"),
    (("Shift", "Enter"), "New line"),
    (("Esc",), "Stop the answer"),
    (("↑",), "Edit the last question, in an empty box"),
    (("Ctrl", "K"), "Search chats"),
    (("Ctrl", "Shift", "O"), "New chat"),
    (("End",), "Jump to latest"),
    (("?",), "This list"),
)


class Chosen(Struct, frozen=True):
    """The settings that a form shows; numbers as they were typed, or as they are."""

    model: str = ""
    system: str = ""
    temperature: float | str | None = None
    max_tokens: int | str | None = None
    stream: bool = True


class Pages:
    """The templates, and what all of them need."""

    def __init__(self, templates: Path, assets: Assets, *, demo: bool) -> None:
        self.bodies = Bodies()
        #: Chat and message → article: every page of a chat shows the same ones again.
        self._kept: LruCache[tuple[str, Message], Markup] = LruCache(_KEPT)
        self._demo = demo
        self._environment = Environment(
            loader=FileSystemLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            # Looking at every file for every page costs as much as a round trip to Redis.
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(topics=_TOPICS, shortcuts=_SHORTCUTS)
        # Filters, because of a constant their work is done when a template is compiled.
        self._environment.filters["asset"] = assets.url
        self._environment.filters["icon"] = self._module("_icons.html")["icon"]
        for name in self._environment.list_templates():
            # Compiled at the start: two take 20 ms, and nobody's stream would go on meanwhile.
            self._environment.get_template(name)

    async def page(
        self,
        chats: ListView,
        models: Sequence[str],
        transcript: Transcript | None = None,
        *,
        error: str | None = None,
        draft: str = "",
        chosen: Chosen | Chat | None = None,
        edit: str | None = None,
        at: str | None = None,
        newest: bool = True,
    ) -> str:
        """Render a whole page: a chat, or the empty one.

        `edit`: the question that is being edited. `at`: the message that is marked. `newest`: there is
        nothing below these messages.
        """
        chosen = chosen or (transcript.chat if transcript else Chosen(next(iter(models), "")))
        return self._render(
            "page.html",
            chats=chats,
            chat=transcript.chat if transcript else None,
            articles=await self._articles(transcript, at=at, edit=edit) if transcript else [],
            before=transcript.older if transcript else None,
            newest=newest,
            stream_url=_stream_url(transcript) if transcript else None,
            running=transcript.running if transcript else None,
            demo=self._demo,
            request_id=_request_id(),
            error=error,
            draft=draft,
            models=models,
            chosen=chosen,
        )

    async def turn(
        self,
        chats: ListView,
        models: Sequence[str],
        transcript: Transcript,
        answer_id: str,
        *,
        opened: bool,
    ) -> str:
        """Render what a sent question adds to the page: itself, its answer, and the stream of that."""
        answer = next(message for message in transcript.messages if message.id == answer_id)
        added = [m for m in transcript.messages if m.id in (answer.parent_id, answer_id)]
        return self._render(
            "turn.html",
            chat=transcript.chat,
            articles=await self._articles(msgspec.structs.replace(transcript, messages=added)),
            stream_url=_stream_url(transcript),
            running=transcript.running,
            request_id=_request_id(),
            chats=chats,
            opened=opened,
            models=models,
        )

    async def transcript(self, transcript: Transcript) -> str:
        """Render the conversation anew, for a page that shows an older state of it."""
        growing = [message for message in transcript.messages if message.id == transcript.running]
        return self._render(
            "transcript.html",
            chat=transcript.chat,
            articles=await self._articles(transcript),
            growing=await self._messages(msgspec.structs.replace(transcript, messages=growing)),
            before=transcript.older,
            stream_url=_stream_url(transcript),
            running=transcript.running,
            request_id=_request_id(),
        )

    async def older(self, transcript: Transcript) -> str:
        """Render messages above those that a page shows."""
        return self._render(
            "older.html",
            chat=transcript.chat,
            articles=await self._articles(transcript),
            before=transcript.older,
        )

    def editor(self, chat: Chat, question: Message) -> str:
        """Render the box in which a question is edited."""
        return self._render("editor.html", message=message_view(chat.id, question, ""), text=question.text)

    def saved(self) -> str:
        """Render that settings were saved."""
        return self._render("saved.html")

    def shell(self, chat: Chat, message: Message, status: Status) -> str:
        """Render a message in a new state, without its text: that stays as the page has it."""
        shown = msgspec.structs.replace(message, status=status)
        return self._render("shell.html", message=message_view(chat.id, shown, ""))

    def end(self, chat: Chat, message: Message, outcome: Outcome) -> str:
        """Render what an answer's end changes on the page."""
        view = message_view(chat.id, message.ended(outcome), "")
        return self._render("end.html", chat=chat, message=view, request_id=_request_id())

    def rows(self, chats: ListView, current_id: str | None, *, part: bool) -> str:
        """Render the list of chats for a page that shows another one; `part`: what follows what it shows."""
        return self._render("list.html", chats=chats, current_id=current_id, part=part)

    def listing(self, chats: ListView) -> str:
        """Render a page that is only the list, for those who have no script."""
        return self._render("listing.html", chats=chats, chat=None)

    def options(self, chats: ListView, chat: Chat) -> str:
        """Render what can be done with a chat, as a page."""
        return self._render("options.html", chats=chats, chat=chat)

    async def shared(self, transcript: Transcript, base: str, token: str) -> str:
        """Render a shared chat; `base` is the address of this app, as its readers know it."""
        texts = [message.text for message in transcript.messages if message.role == "assistant"]
        words = " ".join(" ".join(texts).split())
        return self._render(
            "shared.html",
            chat=transcript.chat,
            messages=await self._messages(transcript),
            at=transcript.messages[-1].created_at if transcript.messages else transcript.chat.created_at,
            description=words if len(words) <= 160 else words[:159] + "…",
            base=base,
            token=token,
        )

    def chat_part(self, name: str, chat: Chat, **context: object) -> str:
        """Render what the menu of a chat changes on the page: "rename", "renamed", "removed" or "share"."""
        return self._render(f"{name}.html", chat=chat, **context)

    def deleted(self, chat: Chat) -> str:
        """Render that a chat was deleted, with the way back."""
        return self._render("deleted.html", chat=chat)

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

    async def _articles(
        self, transcript: Transcript, *, at: str | None = None, edit: str | None = None
    ) -> list[Markup]:
        """Render messages as the page shows them; those that have ended are kept as they are."""
        article = self._module("_messages.html")["article"]
        articles: list[Markup] = []
        for message in transcript.messages:
            key = transcript.chat.id, message
            plain = not message.status.active and message.id not in (at, edit)
            html = self._kept.get(key) if plain else None
            if html is None:
                body = await self.bodies.html(message)
                view = message_view(transcript.chat.id, message, body, marked=message.id == at)
                editing = message.text if message.id == edit else None
                html = article(view, editing=editing)
                if plain:
                    self._kept.put(key, html, len(html) + len(message.text))
            articles.append(html)
        return articles

    async def _messages(self, transcript: Transcript) -> list[MessageView]:
        return [
            message_view(transcript.chat.id, message, await self.bodies.html(message))
            for message in transcript.messages
        ]

    def _module(self, template: str) -> dict[str, Any]:
        """Return what a template has for others to import."""
        return vars(self._environment.get_template(template).module)

    def _render(self, template: str, **context: object) -> str:
        return self._environment.get_template(template).render(**context)


def _stream_url(transcript: Transcript) -> str | None:
    """Return the address of the running answer's stream, which goes on after the text that the page shows."""
    if transcript.running is None:
        return None
    answer = next(message for message in transcript.messages if message.id == transcript.running)
    return f"/chats/{transcript.chat.id}/messages/{answer.id}/stream?after={answer.last_event_id or ''}"


def _request_id() -> str:
    return secrets.token_hex(16)
