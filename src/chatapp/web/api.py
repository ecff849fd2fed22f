"""The JSON API for programs."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, Response, get, post
from litestar.exceptions import ClientException, HTTPException
from litestar.params import Parameter
from msgspec import Struct

from chatapp.answers.hub import Hub
from chatapp.chats.service import Chats, Turn
from chatapp.models import Message, Status
from chatapp.web.streams import EventStream, cursor_from, json_stream

__all__ = ("ApiController",)


class OpenChat(Struct):
    """A new chat's first question; without a model the default one answers."""

    prompt: str
    model: str | None = None
    system: str | None = None


class Ask(Struct):
    """The next question of a chat."""

    prompt: str


class Begun(Struct):
    """A question and its answer that has begun; `events_url` streams it."""

    chat_id: str
    user_message_id: str
    message_id: str
    events_url: str


class ChatItem(Struct):
    """A chat as a list shows it; `status` is the state of its last answer."""

    id: str
    title: str
    updated_at: datetime
    status: Status


class ChatDetail(Struct):
    """A chat with the messages of its visible branch."""

    id: str
    title: str
    model: str
    system: str
    temperature: float | None
    max_tokens: int | None
    stream: bool
    messages: list[Message]


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is JSON; one that is not is the caller's error, whatever is wrong with it."""

    async def json(self) -> Any:
        if self.content_type[0] not in ("application/json", ""):
            raise HTTPException(status_code=415)
        try:
            return await super().json()
        except (UnicodeDecodeError, RecursionError):
            raise ClientException from None


IdempotencyKey = Annotated[
    str | None,
    Parameter(
        header="Idempotency-Key", description="The same key and body again give the same answer again."
    ),
]


class ApiController(Controller):
    """Routes of section 2 of the contract."""

    path = "/api"
    request_class = JsonRequest
    tags = ("chats",)

    @post("/chats", summary="Open a chat with its first question")
    async def open(
        self, chats: Chats, owner: str, data: OpenChat, idempotency_key: IdempotencyKey = None
    ) -> Response[Begun]:
        turn = await chats.open(
            owner,
            data.prompt,
            model=data.model or "",
            system=data.system or "",
            request=idempotency_key,
        )
        return _begun(turn)

    @post("/chats/{chat_id:str}/messages", summary="Ask the next question; 409 while an answer is running")
    async def ask(
        self, chats: Chats, owner: str, chat_id: str, data: Ask, idempotency_key: IdempotencyKey = None
    ) -> Response[Begun]:
        turn = await chats.ask(owner, chat_id, data.prompt, request=idempotency_key)
        return _begun(turn)

    @get("/chats/{chat_id:str}", summary="A chat and its messages")
    async def chat(self, chats: Chats, owner: str, chat_id: str) -> ChatDetail:
        transcript = await chats.transcript(owner, chat_id, limit=None)
        chat = transcript.chat
        return ChatDetail(
            chat.id,
            chat.title,
            chat.model,
            chat.system,
            chat.temperature,
            chat.max_tokens,
            chat.stream,
            list(transcript.messages),
        )

    @get(
        "/chats/{chat_id:str}/messages/{message_id:str}",
        summary="A message; of a running answer, the text so far",
    )
    async def message(self, chats: Chats, owner: str, chat_id: str, message_id: str) -> Message:
        return await chats.message(owner, chat_id, message_id)

    @post(
        "/chats/{chat_id:str}/messages/{message_id:str}/stop",
        status_code=200,
        summary="Stop a running answer",
    )
    async def stop(self, chats: Chats, owner: str, chat_id: str, message_id: str) -> Message:
        return await chats.stop(owner, chat_id, message_id)

    @get(
        "/chats/{chat_id:str}/messages/{message_id:str}/events",
        summary="Stream an answer as server-sent events: delta, reset, heartbeat, end",
    )
    async def events(
        self,
        chats: Chats,
        hub: Hub,
        owner: str,
        chat_id: str,
        message_id: str,
        last_event_id: Annotated[str | None, Parameter(header="Last-Event-ID")] = None,
        after: str | None = None,
    ) -> EventStream:
        cursor = cursor_from(last_event_id, after)
        await chats.require_answer(owner, chat_id, message_id, cursor)
        return json_stream(hub, chat_id, message_id, cursor)


def _begun(turn: Turn) -> Response[Begun]:
    message = f"/api/chats/{turn.chat_id}/messages/{turn.message_id}"
    body = Begun(turn.chat_id, turn.user_message_id, turn.message_id, f"{message}/events")
    return Response(body, status_code=201, headers={"Location": message})
