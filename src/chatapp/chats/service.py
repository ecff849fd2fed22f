"""What people do with chats: open one, ask, stop an answer, look at them. No HTTP here.

Every method takes the owner and answers NotFound for what is not theirs.
"""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from chatapp.answers.hub import Hub
from chatapp.answers.outbox import KEEP_LOG
from chatapp.answers.provider import OpenAIProvider
from chatapp.answers.runner import announcement
from chatapp.chats.input import checked_request, checked_text, title_of
from chatapp.errors import AnswerRunning, InvalidInput, KeyReused, NotFound
from chatapp.models import ID_PATTERN, Chat, ChatSummary, Cursor, Message, MessageHead, Outcome, Role, Status
from chatapp.storage import keys
from chatapp.storage.connections import UNREACHABLE
from chatapp.storage.durability import Durability
from chatapp.storage.messages import Saved, branch, read_saved, read_saved_messages
from chatapp.storage.scripts import (
    BEGIN,
    DIGEST,
    SCHEDULE,
    STOP,
    UNLIST,
    Call,
    Command,
    chat_keys,
    run,
    run_in_order,
)
from chatapp.tasks import cancel

__all__ = ("Chats", "Transcript", "Turn")

logger = logging.getLogger(__name__)

_MODEL_NAME = re.compile(r"[\x21-\x7e]{1,200}")
#: After this the reaper looks for a turn whose hint was lost.
_HINT_MS = 2000
_LISTED = 100
_OWNERS_KEPT = 10_000


class Turn(Struct, frozen=True):
    """A question and its answer that has begun."""

    chat_id: str
    user_message_id: str
    message_id: str


class Transcript(Struct, frozen=True):
    """A chat with the messages of its visible branch; `running` is the active answer's id.

    The text of a running answer is read with its `last_event_id`: together they are one snapshot.
    """

    chat: Chat
    messages: Sequence[Message]
    running: str | None


class Chats:
    """The chats in Redis; `secret` makes ids of repeated requests, so that a repetition finds its first."""

    def __init__(
        self, redis: Redis, hub: Hub, provider: OpenAIProvider, models: Sequence[str], secret: str
    ) -> None:
        self._redis = redis
        self._hub = hub
        self._provider = provider
        self._models = tuple(models)
        self._secret = secret.encode()
        self._owners: dict[str, str] = {}
        self._durability = Durability(redis)
        self._looking: set[asyncio.Task[None]] = set()

    async def open(
        self, owner: str, prompt: str, *, model: str = "", system: str = "", request: str | None = None
    ) -> Turn:
        """Create a chat with its first question and answer."""
        prompt = checked_text("prompt", prompt)
        system = checked_text("system", system, empty=True)
        request = checked_request(request)
        model = self._checked_model(model) or (await self._provider.models())[0]
        # The chat of a repeated request must be found again before anything of it is known.
        chat_id = self._id("chat", owner, request) if request else secrets.token_hex(16)
        fields = (title_of(prompt), model, system)
        return await self._begin(owner, chat_id, prompt, request, head="", model=model, create=fields)

    async def ask(self, owner: str, chat_id: str, prompt: str, *, request: str | None = None) -> Turn:
        """Ask the next question; raise AnswerRunning while an answer of this chat runs."""
        prompt = checked_text("prompt", prompt)
        request = checked_request(request)
        chat = await self.chat(owner, chat_id)
        return await self._begin(owner, chat_id, prompt, request, head=chat.head, model=chat.model)

    async def stop(self, owner: str, chat_id: str, message_id: str) -> Message:
        """Stop a running answer, or do nothing when it has ended; return the message as it is then."""
        await self.require(owner, chat_id, message_id)
        outcome = msgspec.json.encode(Outcome(status=Status.STOPPED))
        reply = await run(
            self._redis, Call(STOP, chat_keys(chat_id, message_id), owner, message_id, outcome, KEEP_LOG)
        )
        if reply[0] == "OK":
            await self._add_digest(chat_id, message_id)
        return await self.message(owner, chat_id, message_id)

    async def chat(self, owner: str, chat_id: str) -> Chat:
        """Return a chat of this owner."""
        if not ID_PATTERN.fullmatch(chat_id):
            raise NotFound
        raw: Any = await self._redis.hgetall(keys.chat(chat_id))
        fields = {name.decode(): value.decode() for name, value in raw.items()}
        if not hmac.compare_digest(fields.get("owner", ""), owner) or "deleted_at" in fields:
            raise NotFound
        self._remember(chat_id, owner)
        return msgspec.convert({"id": chat_id, **fields}, Chat, strict=False)

    def _remember(self, chat_id: str, owner: str) -> None:
        """Keep whose chat this is; it never changes."""
        self._owners[chat_id] = owner
        if len(self._owners) > _OWNERS_KEPT:
            del self._owners[next(iter(self._owners))]

    async def require(self, owner: str, chat_id: str, message_id: str) -> None:
        """Raise NotFound unless the chat is this owner's and the message's id is well-formed."""
        await self.chat(owner, chat_id)
        if not ID_PATTERN.fullmatch(message_id):
            raise NotFound

    async def transcript(self, owner: str, chat_id: str) -> Transcript:
        """Return a chat with its visible branch, a running answer as far as it has got."""
        chat = await self.chat(owner, chat_id)
        saved = branch(await read_saved_messages(self._redis, chat_id), chat.head)
        messages = [await self._current(chat_id, message) for message in saved]
        running = next((m.id for m in messages if m.status.active), None)
        return Transcript(chat, messages, running)

    async def message(self, owner: str, chat_id: str, message_id: str) -> Message:
        """Return one message."""
        await self.require(owner, chat_id, message_id)
        saved = await read_saved(self._redis, chat_id, message_id)
        if saved is None:
            raise NotFound
        return await self._current(chat_id, saved)

    async def require_answer(self, owner: str, chat_id: str, message_id: str, after: Cursor | None) -> None:
        """Raise NotFound unless this is an answer in a chat of this owner; read what its reader needs.

        Reads nothing for an answer that somebody watches: a thousand readers that come back at once should
        cost Redis nothing.
        """
        if self._owners.get(chat_id) != owner:
            await self.chat(owner, chat_id)
        if not ID_PATTERN.fullmatch(message_id):
            raise NotFound
        async with self._hub.follow(chat_id, message_id, after) as watched:
            ended = watched.answer is not None and watched.answer.outcome is not None
        if ended:
            # No chat with a running answer is deleted, but one may be in which all have ended.
            await self.chat(owner, chat_id)

    async def answer_head(self, chat_id: str, message_id: str) -> Message:
        """Return an answer of a chat as it is saved, its text perhaps older than its log."""
        saved = (
            await read_saved(self._redis, chat_id, message_id) if ID_PATTERN.fullmatch(message_id) else None
        )
        if saved is None or saved.head.role == "user":
            raise NotFound
        return saved.message()

    async def summaries(self, owner: str) -> list[ChatSummary]:
        """Return this owner's chats, the last used first."""
        listed: Any = await self._redis.zrevrange(keys.user_chats(owner), 0, _LISTED - 1)
        ids = [chat_id.decode() for chat_id in listed]
        async with self._redis.pipeline(transaction=False) as pipe:
            for chat_id in ids:
                pipe.hmget(keys.chat(chat_id), ["title", "updated_at"])
                pipe.hget(keys.generation(chat_id), "state")
            replies = await pipe.execute() if ids else []
        summaries = []
        for chat_id, (title, updated_at), state in zip(ids, replies[::2], replies[1::2], strict=True):
            # Listed before it is made: a crash in between leaves a name without a chat.
            if title is not None and state is not None:
                when = datetime.fromisoformat(updated_at.decode())
                summaries.append(
                    ChatSummary(
                        id=chat_id, title=title.decode(), updated_at=when, status=Status(state.decode())
                    )
                )
        return summaries

    async def _begin(
        self,
        owner: str,
        chat_id: str,
        prompt: str,
        request: str | None,
        *,
        head: str,
        model: str,
        create: tuple[str, str, str] | None = None,
    ) -> Turn:
        request = request or secrets.token_hex(16)
        fingerprint = hashlib.sha256(msgspec.json.encode([prompt, create])).hexdigest()
        while True:
            question_id, answer_id = secrets.token_hex(16), secrets.token_hex(16)
            now = datetime.now(UTC)
            question = _head(question_id, head or None, "user", None, now)
            answer = _head(answer_id, question_id, "assistant", model, now)
            work = f"{chat_id} {answer_id}"
            begin = Call(
                BEGIN,
                chat_keys(chat_id, answer_id),
                owner,
                request,
                fingerprint,
                int(create is not None),
                head,
                question_id,
                question,
                prompt,
                answer_id,
                answer,
                now.isoformat(),
                *(create or ()),
            )
            # In this order: listed as due before it exists, a turn is found by the reaper if Redis or we end
            # here. A hint of what was not begun harms nobody.
            listed, _, reply, _ = await run_in_order(
                self._redis,
                Call(SCHEDULE, [keys.DUE], work, _HINT_MS, ""),
                Command("ZADD", keys.user_chats(owner), str(now.timestamp()), chat_id),
                begin,
                announcement(work),
            )
            # Sent again after a lost reply it finds this very turn, which must stay listed.
            if reply[0] == "OK" or reply[2:] == [answer_id.encode()]:
                self._remember(chat_id, owner)
                self._see_to_disk(begin, work)
                return Turn(chat_id, question_id, answer_id)
            await run(self._redis, Call(UNLIST, [keys.DUE], work, listed[1]))
            match reply:
                case ["DUP", first_question, first_answer]:
                    return Turn(chat_id, first_question.decode(), first_answer.decode())
                case ["STALE", current]:
                    # Another turn began and ended since we looked: ask below it.
                    head = current.decode()
                case ["BUSY", active]:
                    raise AnswerRunning(active.decode())
                case ["MISMATCH"]:
                    raise KeyReused
                case _:
                    raise NotFound

    def _see_to_disk(self, begin: Call, work: str) -> None:
        """Begin a turn again that Redis has lost with its last second; it is the same one."""

        async def look_again() -> None:
            # Listed first: whatever happens then, the reaper finds it.
            listed = Call(SCHEDULE, [keys.DUE], work, _HINT_MS, "")
            while True:
                await self._durability.settled()
                try:
                    _, reply = await run_in_order(self._redis, listed, begin)
                    if reply[0] != "OK":
                        return
                    logger.warning("a turn that Redis had lost was begun again")
                    await run_in_order(self._redis, announcement(work))
                except UNREACHABLE:
                    # Away again; what it knows when it is back is seen then.
                    continue

        task = asyncio.create_task(look_again())
        self._looking.add(task)
        task.add_done_callback(self._looked)

    def _looked(self, task: "asyncio.Task[None]") -> None:
        self._looking.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.warning("whether a new turn is on disk: %s", type(error).__name__)

    async def aclose(self) -> None:
        """Stop looking after new turns."""
        await cancel(self._looking)

    async def _current(self, chat_id: str, saved: Saved) -> Message:
        """Return a message with what runs of it now."""
        if saved.head.role == "user" or saved.outcome is not None:
            return saved.message()
        async with self._hub.follow(chat_id, saved.head.id, None) as watched:
            answer = watched.answer
            assert answer is not None
            outcome = answer.outcome
            return msgspec.structs.replace(
                saved.message(),
                status=answer.status,
                text=answer.text,
                last_event_id=str(answer.top) if answer.top else None,
                finish_reason=outcome.finish_reason if outcome else None,
                usage=outcome.usage if outcome else None,
                error=outcome.error if outcome else None,
                reasoning=answer.reasoning(),
            )

    async def _add_digest(self, chat_id: str, message_id: str) -> None:
        """Save the digest of a stopped answer's text, which no script can compute, unless that was lost."""
        saved = await read_saved(self._redis, chat_id, message_id)
        if saved and saved.outcome and saved.raw_outcome:
            digest = hashlib.sha256(saved.text.encode()).hexdigest()
            outcome = msgspec.json.encode(msgspec.structs.replace(saved.outcome, sha256=digest))
            call = Call(DIGEST, [keys.messages(chat_id)], message_id, saved.raw_outcome, outcome)
            await run(self._redis, call)

    def _checked_model(self, model: str) -> str:
        model = model.strip()
        if model and (not _MODEL_NAME.fullmatch(model) or (self._models and model not in self._models)):
            raise InvalidInput("model", "This model is not offered here.")
        return model or (self._models[0] if self._models else "")

    def _id(self, kind: str, owner: str, request: str) -> str:
        return hmac.new(self._secret, f"{kind}\n{owner}\n{request}".encode(), hashlib.sha256).hexdigest()[:32]


def _head(message_id: str, parent_id: str | None, role: Role, model: str | None, now: datetime) -> bytes:
    return msgspec.json.encode(
        MessageHead(id=message_id, parent_id=parent_id, role=role, model=model, created_at=now)
    )
