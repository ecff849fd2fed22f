"""The JSON API for programs."""

from typing import Annotated, Any

from litestar import Controller, Response, get, patch, post, put
from litestar.params import Parameter
from msgspec import UNSET, Meta, Struct, UnsetType

from chatapp.answers.hub import Hub
from chatapp.chats.service import Chats, Turn
from chatapp.models import Chat, Message
from chatapp.web.described import EVENTS, LOCATION, OptionalBody, problems
from chatapp.web.json_request import JsonRequest
from chatapp.web.streams import EventStream, cursor_from, json_stream

__all__ = ("ApiController",)


Temperature = Annotated[float, Meta(ge=0, le=2)]
MaxTokens = Annotated[int, Meta(ge=1, le=1_000_000)]


class OpenChat(Struct):
    """A new chat's first question; without a model the default one answers."""

    prompt: str
    model: str | None = None
    system: str | None = None
    temperature: Temperature | None = None
    max_tokens: MaxTokens | None = None
    stream: bool = True


class Ask(Struct):
    """The next question of a chat; a model that is named becomes the chat's."""

    prompt: str
    model: str | None = None


class Edit(Struct):
    """A question in other words."""

    prompt: str


class Regenerate(Struct):
    """Another answer, where wanted of another model."""

    model: str | None = None


class Configure(Struct):
    """What is to change of a chat; null puts a number back to the provider's default."""

    title: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    temperature: Temperature | UnsetType | None = UNSET
    max_tokens: MaxTokens | UnsetType | None = UNSET
    stream: bool | UnsetType = UNSET


class Settings(Struct):
    """A chat without its messages."""

    id: str
    title: str
    model: str
    system: str
    temperature: float | None
    max_tokens: int | None
    stream: bool


class Models(Struct):
    """The models that may be asked; none where the provider does not say which it has."""

    models: list[str]
    default: str | None


class Begun(Struct):
    """A question and its answer that has begun; `events_url` streams it."""

    chat_id: str
    user_message_id: str
    message_id: str
    events_url: str


class ChatDetail(Settings):
    """A chat with the messages of its visible branch."""

    messages: list[Message]


#: What may be wrong with a request that has a body, and with one that begins an answer.
_BODY = (403, 408, 413, 415, 422)
_ASKED = problems(*_BODY, 404, 409, 429, 502)


IdempotencyKey = Annotated[
    str | None,
    Parameter(
        header="Idempotency-Key", description="The same key and body again give the same answer again."
    ),
]


class ApiController(Controller):
    """Chats, their messages and answers; the list and the public links have controllers of their own."""

    path = "/api"
    request_class = JsonRequest
    tags = ("chats",)

    @post(
        "/chats",
        summary="Open a chat with its first question",
        responses=problems(*_BODY, 429, 502),
        response_headers=LOCATION,
    )
    async def open(
        self, chats: Chats, owner: str, data: OpenChat, idempotency_key: IdempotencyKey = None
    ) -> Response[Begun]:
        turn = await chats.open(
            owner,
            data.prompt,
            model=data.model or "",
            system=data.system or "",
            temperature=data.temperature,
            max_tokens=data.max_tokens,
            stream=data.stream,
            request=idempotency_key,
        )
        return _begun(turn)

    @post(
        "/chats/{chat_id:str}/messages",
        summary="Ask the next question; 409 while an answer is running",
        responses=_ASKED,
        response_headers=LOCATION,
    )
    async def ask(
        self, chats: Chats, owner: str, chat_id: str, data: Ask, idempotency_key: IdempotencyKey = None
    ) -> Response[Begun]:
        turn = await chats.ask(owner, chat_id, data.prompt, model=data.model, request=idempotency_key)
        return _begun(turn)

    @put(
        "/chats/{chat_id:str}/messages/{message_id:str}",
        status_code=201,
        summary="Ask a question in other words, beside the first; 409 while an answer is running",
        responses=_ASKED,
        response_headers=LOCATION,
    )
    async def edit(
        self,
        chats: Chats,
        owner: str,
        chat_id: str,
        message_id: str,
        data: Edit,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[Begun]:
        return _begun(await chats.edit(owner, chat_id, message_id, data.prompt, request=idempotency_key))

    @post(
        "/chats/{chat_id:str}/messages/{message_id:str}/regenerate",
        summary="Answer once more, beside the answer that is there; 409 while an answer is running",
        responses=_ASKED,
        response_headers=LOCATION,
        operation_class=OptionalBody,
    )
    async def regenerate(
        self,
        chats: Chats,
        owner: str,
        chat_id: str,
        message_id: str,
        data: Regenerate | None = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[Begun]:
        model = data.model if data else None
        turn = await chats.regenerate(owner, chat_id, message_id, model=model, request=idempotency_key)
        return _begun(turn)

    @post(
        "/chats/{chat_id:str}/messages/{message_id:str}/continue",
        summary="Go on with an answer that was cut off, as the same message; 409 while an answer is running",
        responses=_ASKED,
        response_headers=LOCATION,
    )
    async def go_on(
        self,
        chats: Chats,
        owner: str,
        chat_id: str,
        message_id: str,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[Begun]:
        return _begun(await chats.go_on(owner, chat_id, message_id, request=idempotency_key))

    @post(
        "/chats/{chat_id:str}/messages/{message_id:str}/select",
        status_code=204,
        summary="Show this version of a message, and what is below it; 409 while an answer is running",
        responses=problems(403, 404, 409),
    )
    async def select(self, chats: Chats, owner: str, chat_id: str, message_id: str) -> None:
        await chats.select(owner, chat_id, message_id)

    @get("/chats/{chat_id:str}", summary="A chat and its messages", responses=problems(404))
    async def chat(self, chats: Chats, owner: str, chat_id: str) -> ChatDetail:
        transcript = await chats.transcript(owner, chat_id, limit=None)
        return ChatDetail(**_settings(transcript.chat), messages=list(transcript.messages))

    @patch(
        "/chats/{chat_id:str}",
        summary="Rename a chat, or change its settings: what is given",
        responses=problems(*_BODY, 404, 502),
    )
    async def configure(self, chats: Chats, owner: str, chat_id: str, data: Configure) -> Settings:
        chat = await chats.configure(
            owner,
            chat_id,
            title=None if data.title is UNSET else data.title,
            model=None if data.model is UNSET else data.model,
            system=None if data.system is UNSET else data.system,
            temperature=data.temperature,
            max_tokens=data.max_tokens,
            stream=None if data.stream is UNSET else data.stream,
        )
        return Settings(**_settings(chat))

    @get("/models", summary="The models that may be asked", responses=problems())
    async def models(self, chats: Chats) -> Models:
        known = await chats.models.known()
        return Models(list(known), known[0] if known else None)

    @get(
        "/chats/{chat_id:str}/messages/{message_id:str}",
        summary="A message; of a running answer, the text so far",
        responses=problems(404),
    )
    async def message(self, chats: Chats, owner: str, chat_id: str, message_id: str) -> Message:
        return await chats.message(owner, chat_id, message_id)

    @post(
        "/chats/{chat_id:str}/messages/{message_id:str}/stop",
        status_code=200,
        summary="Stop a running answer",
        responses=problems(403, 404),
    )
    async def stop(self, chats: Chats, owner: str, chat_id: str, message_id: str) -> Message:
        return await chats.stop(owner, chat_id, message_id)

    @get(
        "/chats/{chat_id:str}/messages/{message_id:str}/events",
        summary="Stream an answer as server-sent events: delta, reset, heartbeat, end",
        responses=EVENTS | problems(403, 404, 429),
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
        await chats.require_reader(owner, chat_id, message_id)
        return json_stream(hub, chat_id, message_id, cursor_from(last_event_id, after))


def _settings(chat: Chat) -> dict[str, Any]:
    return {name: getattr(chat, name) for name in Settings.__struct_fields__}


def _begun(turn: Turn) -> Response[Begun]:
    message = f"/api/chats/{turn.chat_id}/messages/{turn.message_id}"
    body = Begun(turn.chat_id, turn.user_message_id, turn.message_id, f"{message}/events")
    return Response(body, status_code=201, headers={"Location": message})
