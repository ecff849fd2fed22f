"""Read the stream of OpenAI's Responses API from its bytes. Pure: no I/O.

In background mode the answer goes on at the provider whoever listens, and its events are numbered: a
stream that broke is opened again behind the last number that was kept.
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

from chatapp.answers.wire import EventStream, Place, parse
from chatapp.models import FinishReason, Usage

__all__ = ("ResponseStream",)


class _Usage(Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


class _Incomplete(Struct):
    reason: str = ""


class _Response(Struct):
    id: str = ""
    usage: _Usage | None = None
    error: Any = None
    incomplete_details: _Incomplete | None = None


class _Event(Struct):
    type: str = ""
    sequence_number: int = -1
    delta: Any = None
    response: _Response | None = None
    # An `error` event is flat; compatible servers nest it.
    error: Any = None
    code: Any = None
    message: str | None = None


_decoder = msgspec.json.Decoder(_Event)
#: Ids that can be kept; of an answer with another one the stream cannot be opened again.
_ID = re.compile(r"[!-~]{1,500}")
_INCOMPLETE: dict[str, FinishReason] = {"content_filter": "content_filter"}


class ResponseStream(EventStream):
    """A response's stream; one that is opened again is given the response's id."""

    def __init__(self, response_id: str = "") -> None:
        super().__init__()
        self._id = response_id
        self._number = -1

    @property
    def place(self) -> Place | None:
        if not self._id or self._number < 0 or self._halves.open:
            return None
        return self._id, self._number

    def _take(self, data: bytes) -> str:
        if data == b"[DONE]":
            self.done = True
            return ""
        event = parse(data, _decoder)
        self._number = max(self._number, event.sequence_number)
        match event.type:
            case "response.output_text.delta" | "response.refusal.delta":
                return self._halves.join(event.delta) if isinstance(event.delta, str) else ""
            case "response.completed" | "response.incomplete":
                self._end(event)
            case "response.failed" | "response.cancelled":
                self.error = (event.response and event.response.error) or {"message": event.type}
            case "error":
                self.error = event.error or {"code": event.code, "message": event.message}
            case _ if event.response is not None and _ID.fullmatch(event.response.id):
                self._id = event.response.id
        return ""

    def _end(self, event: _Event) -> None:
        response = event.response or _Response()
        self.reason, self.said, self.done = "stop", "stop", True
        if event.type == "response.incomplete":
            self.said = response.incomplete_details.reason if response.incomplete_details else "length"
            self.reason = _INCOMPLETE.get(self.said, "length")
        if (usage := response.usage) is not None:
            self.usage = Usage(usage.input_tokens, usage.output_tokens, usage.total_tokens)
