"""Chats on a real Redis, with answers that the test itself writes, as a worker would."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from chatapp.chats.service import Chats, Turn
from chatapp.models import EntryType, FinishReason, Outcome, Status
from chatapp.storage.appends import Append, Batch
from chatapp.storage.connections import Connections
from chatapp.storage.scripts import CLAIM, END, Call, chat_keys, run
from tests.answers.conftest import OWNER


class Desk:
    """Somebody's chats, and whoever answers."""

    def __init__(self, connections: Connections, chats: Chats) -> None:
        self.redis = connections.commands
        self.chats = chats

    async def answer(
        self,
        turn: Turn,
        text: str,
        status: Status = Status.COMPLETED,
        reason: FinishReason | None = "stop",
    ) -> None:
        """Write an answer to its end."""
        at, nonce = chat_keys(turn.chat_id, turn.message_id), secrets.token_hex(8)
        reply = await run(self.redis, Call(CLAIM, at, turn.message_id, nonce, 10_000, 3, "{}", 600))
        assert reply[0] == "OK"
        fence, seq = int(reply[1]), int(reply[2])
        if text:
            seq += 1
            append = Append(at[:2], nonce, seq, EntryType.DELTA, text.encode())
            assert await run(self.redis, Batch([append])) == ["OK"]
        outcome = msgspec.json.encode(Outcome(status=status, finish_reason=reason))
        whole = await self.logged(turn)
        end = Call(END, at, turn.message_id, fence, nonce, seq + 1, outcome, status, 600, whole, "")
        assert await run(self.redis, end) == ["OK"]

    async def logged(self, turn: Turn) -> str:
        """The text in the log of an answer."""
        entries: Any = await self.redis.xrange(chat_keys(turn.chat_id, turn.message_id)[1])
        return b"".join(fields[b"d"] for _, fields in entries if fields[b"t"] == b"d").decode()

    async def open(self, prompt: str, text: str, **options: Any) -> Turn:
        """A chat with its first answer."""
        turn = await self.chats.open(OWNER, prompt, **options)
        await self.answer(turn, text)
        return turn

    async def ask(self, turn: Turn, prompt: str, text: str) -> Turn:
        """The next question of a chat, answered."""
        following = await self.chats.ask(OWNER, turn.chat_id, prompt)
        await self.answer(following, text)
        return following

    async def look(self, turn: Turn) -> str:
        """Follow an answer as a reader of its stream does, and return what there is of its text."""
        await self.chats.require_reader(OWNER, turn.chat_id, turn.message_id)
        async with self.chats._hub.follow(turn.chat_id, turn.message_id, None) as watched:
            assert watched.answer is not None
            return watched.answer.text

    async def texts(self, turn: Turn, **options: Any) -> list[str]:
        """The visible branch."""
        transcript = await self.chats.transcript(OWNER, turn.chat_id, **options)
        return [message.text for message in transcript.messages]
