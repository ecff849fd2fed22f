"""The records that cross a boundary: messages, their outcomes, and the cursor of a log."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

__all__ = (
    "ID_PATTERN",
    "Chat",
    "ChatEvent",
    "ChatSummary",
    "Cursor",
    "Entry",
    "EntryType",
    "Failure",
    "FinishReason",
    "Message",
    "MessageHead",
    "Outcome",
    "Reasoning",
    "Role",
    "Status",
    "Usage",
)

#: Identifiers are 128 random bits in hexadecimal; checked before one becomes part of a Redis key.
ID_PATTERN = re.compile(r"[0-9a-f]{32}", re.ASCII)

Role = Literal["user", "assistant"]
FinishReason = Literal["stop", "length", "content_filter"]


class Status(StrEnum):
    """The states of a message: two that pass, then exactly one of four that stay."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"

    @property
    def active(self) -> bool:
        return self in (Status.QUEUED, Status.RUNNING)


class Usage(Struct, frozen=True):
    """Tokens as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class Failure(Struct, frozen=True):
    """Why an answer is not complete: a stable code for programs, a sentence for people."""

    code: str
    message: str


class Outcome(Struct, frozen=True, kw_only=True):
    """How an answer ended; saved with the message and written as the log's `end` entry.

    `sha256` is the digest of the text's UTF-8 bytes, so that anyone can check a log against it.
    """

    status: Status
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: Failure | None = None
    sha256: str | None = None


class MessageHead(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of a message that never changes after it was asked."""

    id: str
    parent_id: str | None
    role: Role
    model: str | None
    created_at: datetime
    #: Whether the answer is shown only when it is done.
    whole: bool = False


class Reasoning(Struct, frozen=True):
    """What a model thought before it answered, and for how long: no part of the answer."""

    text: str
    seconds: float


class Message(Struct, frozen=True, kw_only=True):
    """A message as readers see it; of a running answer, the text so far.

    `variants`: the ids of all versions at its place in the chat, itself among them, the oldest first.
    `seconds`: how long an answer took that has ended. `whole`: it is shown only when it is done.
    """

    id: str
    parent_id: str | None
    role: Role
    status: Status
    text: str
    model: str | None
    created_at: datetime
    last_event_id: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: Failure | None = None
    reasoning: Reasoning | None = None
    variants: tuple[str, ...] = ()
    seconds: float | None = None
    whole: bool = False

    def ended(self, outcome: Outcome) -> "Message":
        """Return the message as this outcome leaves it."""
        return replace(
            self,
            status=outcome.status,
            finish_reason=outcome.finish_reason,
            usage=outcome.usage,
            error=outcome.error,
        )


class Chat(Struct, frozen=True, kw_only=True):
    """A chat's own data; `head` is the last message of the visible branch.

    `temperature` and `max_tokens`: None leaves them to the provider. `stream`: answers are shown while they
    grow. `share`: the token of the public link, where there is one.
    """

    id: str
    owner: str
    title: str
    model: str
    system: str
    head: str
    created_at: datetime
    updated_at: datetime
    temperature: float | None = None
    max_tokens: int | None = None
    stream: bool = True
    share: str | None = None


class ChatSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A chat as a list shows it; `status` is the state of its last answer.

    Where it was searched for: a piece of text around the first hit, and the message that has it.
    """

    id: str
    title: str
    updated_at: datetime
    status: Status
    snippet: str | None = None
    match_id: str | None = None


class ChatEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to a chat, for its owner's other tabs and devices."""

    type: Literal["new", "running", "finished", "renamed", "deleted", "restored", "changed"]
    chat_id: str
    message_id: str | None = None
    status: Status | None = None
    title: str | None = None
    model: str | None = None


class Cursor(NamedTuple):
    """A position in a log: the id `<fence>-<seq>` of the last entry that was read.

    It is the Redis stream id, and what browsers send back as `Last-Event-ID`.
    """

    fence: int
    seq: int

    def __str__(self) -> str:
        return f"{self.fence}-{self.seq}"

    @classmethod
    def parse(cls, text: str | None) -> "Cursor | None":
        """Read a cursor that came from outside; anything not of the form digits-digits is none."""
        match = _CURSOR.fullmatch(text) if text else None
        # Of longer numbers the beginning: as unknown as the whole, and read in no time.
        return cls(int(match[1][:_DIGITS]), int(match[2][:_DIGITS])) if match else None


_CURSOR = re.compile(r"([0-9]+)-([0-9]+)", re.ASCII)
#: These hold every 64-bit number, which is all that Redis itself could have sent.
_DIGITS = 20


class EntryType(StrEnum):
    """The entries of a log; one letter each, because they are written for every few tokens."""

    OPEN = "o"
    CLAIM = "c"
    DELTA = "d"
    REASONING = "r"
    RESET = "x"
    END = "e"


class Entry(NamedTuple):
    """One entry of a log, as read from Redis."""

    cursor: Cursor
    type: str
    data: bytes
    #: The entry before it, where the fence rises; None too in what an older version wrote.
    before: Cursor | None = None
