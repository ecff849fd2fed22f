"""Let the model name a chat after its first complete answer.

It is asked beside everything else: no answer and no shutdown waits for it, and without it the first words of
the chat's first question stay its title.
"""

import asyncio
import logging
import re
from typing import Any

from redis.asyncio import Redis

from chatapp.answers.provider import OpenAIProvider, Prompt, Turn
from chatapp.errors import ProviderError
from chatapp.models import ChatEvent, Status
from chatapp.storage import keys
from chatapp.storage.events import publish
from chatapp.storage.messages import read_saved
from chatapp.storage.scripts import TITLE, Call, run
from chatapp.storage.signatures import index
from chatapp.tasks import cancel

__all__ = ("Titles", "clean")

logger = logging.getLogger(__name__)

_INSTRUCTIONS = (
    "Write a title for this conversation: 2 to 6 words, in the language of the conversation, without"
    " quotation marks and without a full stop. Answer with the title alone."
)
_TIMEOUT = 15.0
_MAX_TOKENS = 30
#: Characters of the question and of the answer that are sent, and of a title.
_EXCERPT = 1000
_LENGTH = 60
_THOUGHTS = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_PREFIX = re.compile(r"(?i)title\s*:\s*")
#: What models put around a title.
_AROUND = " \t\"'`*#_“”„‘’«»「」『』.。"


class Titles:
    """The requests for titles that are on their way."""

    def __init__(self, redis: Redis, provider: OpenAIProvider) -> None:
        self._redis = redis
        self._provider = provider
        self._asking: set[asyncio.Task[None]] = set()

    def ask(self, chat_id: str, message_id: str) -> None:
        """Start to look for a title by this ended answer, if the chat has none."""
        task = asyncio.create_task(self._ask(chat_id, message_id))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def aclose(self) -> None:
        """Give up on all titles that are still asked for."""
        await cancel(self._asking)

    async def _ask(self, chat_id: str, message_id: str) -> None:
        """Raise nothing: nobody waits for this task."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._give(chat_id, message_id)
        except ProviderError as error:
            logger.info("no title for a chat: %s: %s", error.code, error.message)
        except Exception as error:
            logger.info("no title for a chat: %s", type(error).__name__)

    async def _give(self, chat_id: str, message_id: str) -> None:
        chat: Any = await self._redis.hmget(keys.chat(chat_id), ["owner", "titled", "deleted_at"])
        owner, titled, deleted_at = chat
        if owner is None or titled or deleted_at:
            return
        answer = await read_saved(self._redis, chat_id, message_id)
        if answer is None or answer.outcome is None or answer.outcome.status is not Status.COMPLETED:
            return
        question = await read_saved(self._redis, chat_id, answer.head.parent_id or "")
        asked = question.text if question else ""
        said = f"Question:\n{asked[:_EXCERPT]}\n\nAnswer:\n{answer.text[:_EXCERPT]}"
        turns = (Turn("system", _INSTRUCTIONS), Turn("user", said))
        prompt = Prompt(answer.head.model or "", turns, max_tokens=_MAX_TOKENS)
        title = clean(await self._provider.say(prompt))
        if not title:
            return
        reply = await run(self._redis, Call(TITLE, [keys.chat(chat_id)], owner, title))
        if reply[0] == "OK":
            await index(self._redis, owner.decode(), chat_id, [title])
            event = ChatEvent(type="renamed", chat_id=chat_id, title=title)
            await publish(self._redis, owner.decode(), event)


def clean(said: str) -> str:
    """Return the title in what a model said: one line, without what models put around it; empty for none."""
    lines = (line.strip(_AROUND) for line in _THOUGHTS.sub("", said).splitlines())
    title = _PREFIX.sub("", next(filter(None, lines), ""), count=1).strip(_AROUND)
    title = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    return title if len(title) <= _LENGTH else title[: _LENGTH - 1].rsplit(" ", 1)[0] + "…"
