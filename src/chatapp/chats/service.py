"""What people do with chats: open one, ask, edit, choose a version, continue, stop. No HTTP here.

Every method takes the owner and answers NotFound for what is not theirs.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType
from redis.asyncio import Redis

from chatapp.answers.aftermath import add_digest, see_to_end
from chatapp.answers.hub import Hub
from chatapp.answers.lease import KEEP_LOG
from chatapp.chats.catalogue import Catalogue
from chatapp.chats.input import (
    checked_max_tokens,
    checked_request,
    checked_temperature,
    checked_text,
    checked_title,
    title_of,
)
from chatapp.chats.limits import Limits
from chatapp.chats.reading import Reading, Transcript
from chatapp.chats.starts import ANY_HEAD, Question, begin, can_go_on, reopen
from chatapp.chats.turns import Turn, Turns
from chatapp.errors import AnswerRunning, InvalidInput, KeyReused, NotFound
from chatapp.models import Chat, ChatEvent, Message, Outcome, Status
from chatapp.storage.durability import Durability
from chatapp.storage.events import publish
from chatapp.storage.messages import Saved, read_saved
from chatapp.storage.scripts import CONFIGURE, SELECT, STOP, Call, Reply, chat_keys, run
from chatapp.storage.signatures import index

__all__ = ("Chats", "Transcript", "Turn")


class Chats(Reading):
    """The chats in Redis; `secret` makes ids of repeated requests, so that a repetition finds its first."""

    def __init__(
        self,
        redis: Redis,
        hub: Hub,
        models: Catalogue,
        limits: Limits,
        secret: str,
        durability: Durability,
    ) -> None:
        super().__init__(redis, hub)
        self.models = models
        self._turns = Turns(redis, limits, durability)
        self._secret = secret.encode()

    async def open(
        self,
        owner: str,
        prompt: str,
        *,
        model: str = "",
        system: str = "",
        temperature: float | None = None,
        max_tokens: int | None = None,
        stream: bool = True,
        request: str | None = None,
    ) -> Turn:
        """Create a chat with its first question and answer."""
        prompt = checked_text("prompt", prompt)
        system = checked_text("system", system, empty=True)
        request = checked_request(request)
        settings = _settings(checked_temperature(temperature), checked_max_tokens(max_tokens), stream)
        model = await self.models.pick(model)
        # The chat of a repeated request must be found again before anything of it is known.
        chat_id = self._id("chat", owner, request) if request else secrets.token_hex(16)
        title = title_of(prompt)
        fields = {"title": title, "model": model, "system": system, "titled": "", **settings}
        body = [prompt, [title, model, system], *([settings] if settings else [])]
        question = Question(prompt, model, not stream, None, "", True, fields)
        return await self._begin(owner, chat_id, question, body, request)

    async def ask(
        self, owner: str, chat_id: str, prompt: str, *, model: str | None = None, request: str | None = None
    ) -> Turn:
        """Ask the next question; raise AnswerRunning while an answer of this chat runs.

        A model that is named becomes the chat's.
        """
        prompt = checked_text("prompt", prompt)
        request = checked_request(request)
        chat = await self.chat(owner, chat_id)
        picked = await self.models.pick(model or "", otherwise=chat.model)
        fields = {"model": picked} if model else {}
        question = Question(prompt, picked, not chat.stream, chat.head, chat.head, fields=fields)
        return await self._begin(owner, chat_id, question, [prompt, None, *fields.values()], request)

    async def edit(
        self, owner: str, chat_id: str, message_id: str, prompt: str, *, request: str | None = None
    ) -> Turn:
        """Ask a question again in other words, beside the first: nothing is lost."""
        prompt = checked_text("prompt", prompt)
        request = checked_request(request)
        chat, saved = await self._message(owner, chat_id, message_id)
        if saved.head.role != "user":
            raise InvalidInput("message", "Only a question can be edited.")
        question = Question(prompt, chat.model, not chat.stream, saved.head.parent_id, ANY_HEAD)
        return await self._begin(owner, chat_id, question, ["edit", message_id, prompt], request)

    async def regenerate(
        self,
        owner: str,
        chat_id: str,
        message_id: str,
        *,
        model: str | None = None,
        request: str | None = None,
    ) -> Turn:
        """Let a question be answered once more, beside the answer that is there."""
        request = checked_request(request)
        chat, saved = await self._message(owner, chat_id, message_id)
        if saved.head.role == "user" or saved.head.parent_id is None:
            raise InvalidInput("message", "Only an answer can be given again.")
        picked = await self.models.pick(model or "", otherwise=chat.model)
        question = Question(None, picked, not chat.stream, saved.head.parent_id, ANY_HEAD)
        return await self._begin(owner, chat_id, question, ["again", message_id, model or ""], request)

    async def go_on(self, owner: str, chat_id: str, message_id: str, *, request: str | None = None) -> Turn:
        """Let an answer that was cut off go on, as the same message."""
        request = checked_request(request) or secrets.token_hex(16)
        while True:
            _, saved = await self._message(owner, chat_id, message_id)
            start = reopen(owner, chat_id, saved, request)
            match await self._turns.start(start):
                case ["STALE"] if not can_go_on(saved):
                    raise InvalidInput("message", "Only an answer that was cut off can go on.")
                case ["STALE"]:
                    # Its digest came meanwhile, or it went on and ended.
                    continue
                case reply:
                    self._refuse(reply)
                    return Turn(chat_id, start.question_id, message_id)

    async def select(self, owner: str, chat_id: str, message_id: str) -> None:
        """Show this version of a message, down to the newest below it."""
        await self.require(owner, chat_id, message_id)
        self._refuse(await run(self._redis, Call(SELECT, chat_keys(chat_id, message_id), owner, message_id)))
        await publish(self._redis, owner, ChatEvent(type="changed", chat_id=chat_id, message_id=message_id))

    async def configure(
        self,
        owner: str,
        chat_id: str,
        *,
        title: str | None = None,
        model: str | None = None,
        system: str | None = None,
        temperature: float | UnsetType | None = UNSET,
        max_tokens: int | UnsetType | None = UNSET,
        stream: bool | None = None,
    ) -> Chat:
        """Change what is given of a chat; None puts a number back to the provider's default."""
        await self.chat(owner, chat_id)
        fields: dict[str, str] = {}
        if title is not None:
            fields |= {"title": checked_title(title), "titled": "manual"}
        if model is not None:
            fields["model"] = await self.models.pick(model)
        if system is not None:
            fields["system"] = checked_text("system", system, empty=True)
        if temperature is not UNSET:
            fields["temperature"] = _number(checked_temperature(temperature))
        if max_tokens is not UNSET:
            fields["max_tokens"] = _number(checked_max_tokens(max_tokens))
        if stream is not None:
            fields["stream"] = str(int(stream))
        if fields:
            pairs = [word for pair in fields.items() for word in pair]
            self._refuse(await run(self._redis, Call(CONFIGURE, chat_keys(chat_id, ""), owner, *pairs)))
            await self._tell_change(owner, chat_id, fields)
        return await self.chat(owner, chat_id)

    async def stop(self, owner: str, chat_id: str, message_id: str) -> Message:
        """Stop a running answer, or do nothing when it has ended; return the message as it is then."""
        await self.require(owner, chat_id, message_id)
        outcome = msgspec.json.encode(Outcome(status=Status.STOPPED))
        reply = await run(
            self._redis, Call(STOP, chat_keys(chat_id, message_id), owner, message_id, outcome, KEEP_LOG)
        )
        if reply[0] == "OK":
            await add_digest(self._redis, chat_id, message_id)
            await see_to_end(self._redis, chat_id, message_id)
        return await self.message(owner, chat_id, message_id)

    async def aclose(self) -> None:
        """Stop looking after new turns."""
        await self._turns.aclose()

    async def _message(self, owner: str, chat_id: str, message_id: str) -> tuple[Chat, Saved]:
        chat = await self.require(owner, chat_id, message_id)
        saved = await read_saved(self._redis, chat_id, message_id)
        if saved is None:
            raise NotFound
        return chat, saved

    async def _begin(
        self, owner: str, chat_id: str, question: Question, body: object, request: str | None
    ) -> Turn:
        """Begin a turn; of one that was begun by the same request before, return that."""
        request = request or secrets.token_hex(16)
        while True:
            start = begin(owner, chat_id, question, request, body)
            match await self._turns.start(start):
                case ["DUP", first_question, first_answer]:
                    return Turn(chat_id, first_question.decode(), first_answer.decode())
                case ["STALE", current]:
                    # Another turn began and ended since we looked: ask below it.
                    head = current.decode()
                    question = msgspec.structs.replace(question, head=head, above=head or None)
                case reply:
                    self._refuse(reply)
                    self._remember(chat_id, owner)
                    return Turn(chat_id, start.question_id, start.message_id)

    async def _tell_change(self, owner: str, chat_id: str, fields: Mapping[str, str]) -> None:
        title, model = fields.get("title"), fields.get("model")
        if title is not None:
            await index(self._redis, owner, chat_id, [title])
        event = ChatEvent(
            type="changed" if title is None else "renamed", chat_id=chat_id, title=title, model=model
        )
        await publish(self._redis, owner, event)

    def _refuse(self, reply: Reply) -> None:
        """Raise what a script's refusal stands for."""
        match reply:
            case ["OK" | "DUP", *_]:
                return
            case ["BUSY", active]:
                raise AnswerRunning(active.decode())
            case ["MISMATCH"]:
                raise KeyReused
            case _:
                raise NotFound

    def _id(self, kind: str, owner: str, request: str) -> str:
        return hmac.new(self._secret, f"{kind}\n{owner}\n{request}".encode(), hashlib.sha256).hexdigest()[:32]


def _settings(temperature: float | None, max_tokens: int | None, stream: bool) -> dict[str, str]:
    """Return the fields of a chat that differ from the defaults."""
    fields = {"temperature": _number(temperature), "max_tokens": _number(max_tokens)}
    return {name: value for name, value in fields.items() if value} | ({} if stream else {"stream": "0"})


def _number(value: float | None) -> str:
    return "" if value is None else str(value)
