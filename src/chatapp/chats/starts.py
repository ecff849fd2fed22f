"""The calls that set an answer going: a new turn, another version of one, an answer that goes on. Pure."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from chatapp.models import ChatEvent, MessageHead, Role, Status
from chatapp.storage.messages import Saved
from chatapp.storage.scripts import BEGIN, REOPEN, Call, chat_keys

__all__ = ("ANY_HEAD", "Question", "Start", "begin", "can_go_on", "reopen")

#: Any head will do: where a new branch begins it does not matter which one is shown.
ANY_HEAD = "*"
#: No outcome is ever written so: with it `reopen` can find a repeated request, and change nothing.
_NO_OUTCOME = "-"


class Question(Struct, frozen=True):
    """What a turn asks, and where: below `head`, or as another version beside what is there."""

    #: None: the question is there (`above` is its id), and gets another answer.
    prompt: str | None
    model: str
    whole: bool
    #: The parent of a new question.
    above: str | None
    head: str
    create: bool = False
    #: Fields of the chat that change with it.
    fields: Mapping[str, str] = {}


class Start(Struct, frozen=True):
    """A script that sets an answer going, ready to be run, again if need be.

    `token`: what the script's `DUP` names when it finds this very start, not an earlier request's.
    """

    owner: str
    chat_id: str
    question_id: str
    message_id: str
    call: Call
    token: str
    when: datetime
    events: Sequence[ChatEvent]
    #: What the chat can be found by from now on.
    words: tuple[str, ...] = ()

    @property
    def work(self) -> str:
        return f"{self.chat_id} {self.message_id}"


def begin(owner: str, chat_id: str, question: Question, request: str, body: object) -> Start:
    """Return the start of a turn with new ids; `body` is what the same request must say again."""
    answer_id, now = secrets.token_hex(16), datetime.now(UTC)
    if question.prompt is None:
        question_id, head = question.above or "", b""
    else:
        question_id = secrets.token_hex(16)
        head = _head(question_id, question.above, "user", None, now)
    call = Call(
        BEGIN,
        chat_keys(chat_id, answer_id),
        owner,
        request,
        _fingerprint(body),
        int(question.create),
        question.head,
        question_id,
        head,
        question.prompt or "",
        answer_id,
        _head(answer_id, question_id, "assistant", question.model, now, whole=question.whole),
        now.isoformat(),
        *(word for pair in question.fields.items() for word in pair),
    )
    events = _events(chat_id, answer_id, new=question.create)
    words = (question.prompt or "", question.fields.get("title", ""))
    return Start(owner, chat_id, question_id, answer_id, call, answer_id, now, events, words)


def reopen(owner: str, chat_id: str, saved: Saved, request: str) -> Start:
    """Return the start of an answer that goes on."""
    message_id, attempt, now = saved.head.id, secrets.token_hex(16), datetime.now(UTC)
    call = Call(
        REOPEN,
        chat_keys(chat_id, message_id),
        owner,
        request,
        _fingerprint(["continue", message_id]),
        attempt,
        message_id,
        (saved.raw_outcome if can_go_on(saved) else None) or _NO_OUTCOME,
        now.isoformat(),
    )
    events = _events(chat_id, message_id)
    return Start(owner, chat_id, saved.head.parent_id or "", message_id, call, attempt, now, events)


def can_go_on(saved: Saved) -> bool:
    """Whether this is an answer that was cut off, with text to go on from."""
    outcome = saved.outcome
    return (
        outcome is not None
        and (outcome.status is not Status.COMPLETED or outcome.finish_reason == "length")
        and bool(saved.text)
    )


def _events(chat_id: str, message_id: str, *, new: bool = False) -> list[ChatEvent]:
    """Return what there is to tell: whatever begins to run is said to, in a new chat too."""
    kinds: Sequence[Literal["new", "running"]] = ("new", "running") if new else ("running",)
    return [
        ChatEvent(type=kind, chat_id=chat_id, message_id=message_id, status=Status.QUEUED) for kind in kinds
    ]


def _fingerprint(body: object) -> str:
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()


def _head(
    message_id: str,
    parent_id: str | None,
    role: Role,
    model: str | None,
    now: datetime,
    *,
    whole: bool = False,
) -> bytes:
    return msgspec.json.encode(
        MessageHead(id=message_id, parent_id=parent_id, role=role, model=model, created_at=now, whole=whole)
    )
