"""One answer under observation: what may become of it, and what anybody has seen of it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.viewer import Viewer
from tests.support.script import Script

__all__ = ("Broken", "Figures", "Terms", "Tracked")


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Terms:
    """What may become of an answer after the faults that hit it; faults only ever loosen them."""

    statuses: set[str] = field(default_factory=lambda: {"completed"})
    #: Upstream calls at most: one, and one for each takeover or retry.
    calls: int = 1
    #: Resets each viewer may get.
    resets: int = 0
    #: Redis may have forgotten that it ever began.
    may_vanish: bool = False
    #: Redis may have forgotten an end that viewers have seen.
    may_reopen: bool = False

    def excuse(self, *statuses: str, calls: int = 0, resets: int = 0) -> None:
        self.statuses |= set(statuses)
        self.calls += calls
        self.resets += resets


@dataclass
class Figures:
    """What a run did and found."""

    faults: int = 0
    answers: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    endless: int = 0
    resets: int = 0
    takeovers: int = 0
    connections: int = 0

    def __str__(self) -> str:
        return (
            f"{self.faults} faults, {self.answers} answers, {self.events} events delivered over "
            f"{self.connections} connections: {self.lost} lost, {self.doubled} doubled, "
            f"{self.endless} without a definite end ({self.takeovers} takeovers, {self.resets} resets)"
        )


class Tracked:
    """One answer and everything that anybody has seen of it."""

    def __init__(self, chat_id: str, message_id: str, prompt: str, terms: Terms) -> None:
        self.chat_id = chat_id
        self.message_id = message_id
        self.prompt = prompt
        self.script = Script.parse(prompt)
        self.text = self.script.text
        self.terms = terms
        self.viewers: list[Viewer] = []
        self.begun_at = time.monotonic()
        self.ended_at = 0.0
        #: When its owner was last taken from it.
        self.shaken_at = 0.0
        #: id -> digest of all text up to it, whoever saw it: also of entries that Redis has lost since.
        self.known: dict[str, bytes] = {}
        #: entry id -> digest of type and data, over all readings of the log.
        self.entries: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.broken: list[str] = []

    @property
    def path(self) -> str:
        return f"/api/chats/{self.chat_id}/messages/{self.message_id}"

    @property
    def log_key(self) -> str:
        return f"chat:{{{self.chat_id}}}:log:{self.message_id}"

    @property
    def generation_key(self) -> str:
        return f"chat:{{{self.chat_id}}}:generation"

    @property
    def grown(self) -> int:
        """Characters that some viewer has."""
        return max((len(viewer.text) for viewer in self.viewers), default=0)

    def begins_with(self, text: str) -> bool:
        """Whether this is a beginning of the answer; one that broke inside a character shows so."""
        if self.script.kind == "surrogate":
            text = text.removesuffix("\N{REPLACEMENT CHARACTER}")
        return self.text.startswith(text)

    def seen(self, viewer: Viewer, event_id: str, digest: bytes, length: int) -> None:
        """Take in what a viewer has now (I2, I3), at every event."""
        if not self.begins_with(viewer.text):
            self.broken.append(f"I1: at {event_id} a viewer shows what is no beginning of the answer")
        if not event_id.startswith("0-"):
            self.learn(event_id, digest, f"a viewer with {length} characters")

    def learn(self, event_id: str, digest: bytes, who: str) -> None:
        if self.known.setdefault(event_id, digest) != digest:
            self.broken.append(f"I3: id {event_id} stands for another text at {who}")

    def __str__(self) -> str:
        hit = ", ".join(f"{fault} × {n}" if n > 1 else fault for fault, n in Counter(self.faults).items())
        return f"answer {self.message_id[:8]} ({self.prompt!r}, hit by {hit or 'nothing'})"
