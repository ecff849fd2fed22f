"""The load generator: starts answers, reads their streams, and checks every token of every viewer."""

import asyncio
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from benchmarks.client import Exchange, request_bytes
from benchmarks.formats import Format
from benchmarks.wire import PARAGRAPH, WIDTH, age, now, read

__all__ = ("Answer", "Tally", "Viewer")

#: Ages are counted in classes of 0.1 ms, up to 30 s.
_CLASS = 10
_CLASSES = 300_000


@dataclass(frozen=True)
class Answer:
    """A running answer: the request that streams it."""

    path: str
    form: Format
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes = b""


class Tally:
    """Token ages of many viewers."""

    def __init__(self) -> None:
        # No list: the collector would look at every class of every tally, 130 ms at a time.
        self._counts = array("Q", bytes(8 * (_CLASSES + 1)))
        self.events = 0
        self.tokens = 0
        #: Tokens are counted from here on: what was sent before is a repetition, or the load's beginning.
        self.counting = True

    def add(self, sent: int, received: int) -> None:
        """Count one token."""
        self._counts[min(age(sent, received) // _CLASS, _CLASSES)] += 1

    def percentile(self, share: float) -> float:
        """Return the age in ms that `share` of the tokens do not exceed."""
        total = sum(self._counts)
        left = share * total
        for number, count in enumerate(self._counts):
            left -= count
            if left <= 0 and total:
                return (number + 0.5) / 10
        return 0.0


class Viewer:
    """One reader of one answer; it may be cut off and come back."""

    def __init__(self, port: int, answer: Answer, tally: Tally) -> None:
        self._port = port
        self._answer = answer
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._exchange: Exchange | None = None
        self._bytes = b""
        self._rest = ""
        self.ended: asyncio.Future[None] = self._loop.create_future()
        #: How many tokens there are so far, without a hole or a repetition.
        self.tokens = 0
        #: How many there ever were; more than that is new, the rest a repetition.
        self._highest = 0
        self.complete = False
        self.faults: list[str] = []
        self.last_event_id: str | None = None
        #: When its answer was asked for, and when the first token of it arrived (time.monotonic).
        self.begun_at = 0.0
        self.first_token_at = 0.0
        self.first_byte_at = 0.0
        #: When the newest token so far was sent, on the tokens' clock.
        self.newest_sent = 0

    async def open(self, *, resume: bool = True) -> None:
        """Connect; again after a cut, with the last event's id unless `resume` is false."""
        headers = dict(self._answer.headers)
        if self.last_event_id is not None and resume:
            headers["Last-Event-ID"] = self.last_event_id
        elif self.last_event_id is not None:
            self.tokens, self._rest, self.last_event_id = 0, "", None
        self._bytes = b""
        self.first_byte_at = 0.0
        answer = self._answer
        request = request_bytes(answer.method, answer.path, headers, answer.body)
        exchange = self._exchange = Exchange(request, self._on_body, self._on_end)
        await self._loop.create_connection(lambda: exchange, "127.0.0.1", self._port)

    def cut(self) -> None:
        """Break the connection."""
        if self._exchange is not None:
            self._exchange.cut()

    def exact(self, tokens: int) -> bool:
        """Tell whether all of an answer of `tokens` tokens came, each once and in order, and its end too."""
        return self.complete and not self.faults and self.tokens == tokens

    def _on_body(self, data: bytes) -> None:
        received = now()
        if not self.first_byte_at:
            self.first_byte_at = monotonic()
        assert self._exchange is not None
        if self._exchange.status != 200:
            self.faults.append(f"status {self._exchange.status}: {data[:200]!r}")
            return
        if self._bytes:
            data = self._bytes + data
        *events, self._bytes = data.split(b"\n\n")
        for event in events:
            self._on_event(event, received)

    def _on_event(self, event: bytes, received: int) -> None:
        piece = self._answer.form(event)
        if piece is None:
            return
        if piece.event_id is not None:
            self.last_event_id = piece.event_id
        if piece.failed:
            self.faults.append(f"failed: {event[:200]!r}")
        if piece.reset:
            self.tokens, self._rest = 0, ""
        elif piece.again:
            last = self.tokens if self._rest else max(0, self.tokens - 1)
            self.tokens, self._rest = last // PARAGRAPH * PARAGRAPH, ""
        if piece.text:
            self._tally.events += 1
            self._on_text(piece.text, received)
        if piece.end:
            self.complete = True
            self._finish()

    def _on_text(self, text: str, received: int) -> None:
        if not self.first_token_at:
            self.first_token_at = monotonic()
        text = text.replace("\n\n", " ")
        if self._rest:
            text = self._rest + text
        if over := len(text) % WIDTH:
            text, self._rest = text[:-over], text[-over:]
        else:
            self._rest = ""
        if not text:
            return
        try:
            first, sent = read(text)
        except ValueError as error:
            self.faults.append(str(error))
            return
        if first != self.tokens:
            self.faults.append(f"token {first} where {self.tokens} was to come")
        self.tokens = first + len(sent)
        self.newest_sent = sent[-1]
        tally = self._tally
        new, self._highest = sent[max(0, self._highest - first) :], max(self._highest, self.tokens)
        tally.tokens += len(new)
        if tally.counting:
            for time in new:
                tally.add(time, received)

    def _on_end(self) -> None:
        if not self.complete:
            status = self._exchange.status if self._exchange else 0
            self.faults.append(f"the stream ended early (status {status})")
        self._finish()

    def _finish(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
