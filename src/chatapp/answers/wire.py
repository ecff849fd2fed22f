"""Read the stream of an OpenAI-compatible completion from its bytes. Pure: no I/O."""

import json
from abc import ABC, abstractmethod
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from chatapp.errors import ProviderError
from chatapp.models import FinishReason, Usage

__all__ = ("CompletionStream", "EventStream", "Place", "parse")

#: Bytes of one event; far above any real delta.
_LINE_LIMIT = 16 << 20
#: Where a stream that can be opened again may go on: the answer's id at the provider, an event's number.
Place = tuple[str, int]
_Event = TypeVar("_Event")


class _WireDelta(Struct):
    content: str | None = None
    refusal: str | None = None
    # Two names for the same thing. Of any type: a vendor's odd value must not break the text.
    reasoning_content: Any = None
    reasoning: Any = None


class _WireChoice(Struct):
    delta: _WireDelta | None = None
    finish_reason: str | None = None


class _WireUsage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class _WireChunk(Struct):
    choices: list[_WireChoice] | None = None
    usage: _WireUsage | None = None
    error: Any = None


_chunk_decoder = msgspec.json.Decoder(_WireChunk)
#: Reasons beyond `FinishReason` (`tool_calls`, vendors' own) say only that the text is done: "stop".
_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "content_filter": "content_filter",
    "max_tokens": "length",
}


class EventStream(ABC):
    """Read the bytes of an answer's stream, whatever the pieces in which they come.

    OpenAI-compatible servers write one `data:` line an event, so a line is an event.
    """

    def __init__(self) -> None:
        self.reason: FinishReason | None = None
        #: The reason in the provider's own word.
        self.said = ""
        self.usage: Usage | None = None
        #: An error of the provider's or of its stream; the text before it counts.
        self.error: Any = None
        self.done = False
        self._rest = b""
        self._started = False
        self._halves = _Surrogates()
        self._thoughts: list[str] = []
        self._thought_halves = _Surrogates()

    @property
    def place(self) -> Place | None:
        """The place after the text returned so far, where the provider offers one."""
        return None

    def feed(self, data: bytes) -> str:
        """Take in the next bytes and return the text they hold."""
        if not self._started:
            data, self._started = data.removeprefix(b"\xef\xbb\xbf"), True
        # CR LF is welcome: the CR goes with the white space around the data.
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LINE_LIMIT:
            self.error = ProviderError(
                "protocol", "The provider sent a line without an end.", retryable=False
            )
        texts = []
        for line in lines:
            if line[:5] == b"data:" and self.error is None and not self.done:
                try:
                    texts.append(self._take(line[5:].strip()))
                except ProviderError as error:
                    self.error = error
        return "".join(texts)

    def reasoning(self) -> str:
        """Return what the model thought since the last call."""
        if not self._thoughts:
            return ""
        thought = "".join(self._thoughts)
        self._thoughts.clear()
        return thought

    def flush(self) -> str:
        """Return what is left of the text when nothing more comes."""
        return self._halves.flush()

    @abstractmethod
    def _take(self, data: bytes) -> str:
        """Take in one event and return its text."""


class CompletionStream(EventStream):
    """A chat completion's stream."""

    def _take(self, data: bytes) -> str:
        if data == b"[DONE]":
            self.done = True
            return ""
        chunk = parse(data, _chunk_decoder)
        if chunk.error is not None:
            self.error = chunk.error
            return ""
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        if choice.finish_reason:
            self.said = choice.finish_reason
            self.reason = _REASONS.get(choice.finish_reason, "stop")
        if choice.delta is None:
            return ""
        delta = choice.delta
        thought = delta.reasoning_content or delta.reasoning
        if thought and isinstance(thought, str):
            self._thoughts.append(self._thought_halves.join(thought))
        return self._halves.join(delta.content or delta.refusal or "")


class _Surrogates:
    """Join characters whose two UTF-16 halves came in two deltas; a lone half becomes U+FFFD."""

    def __init__(self) -> None:
        self._high = ""

    @property
    def open(self) -> bool:
        """Whether a half waits for its other one."""
        return bool(self._high)

    def join(self, text: str) -> str:
        if not self._high and text.isascii():
            return text
        text = self._high + text
        self._high = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._high = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def flush(self) -> str:
        high, self._high = self._high, ""
        return "\ufffd" if high else ""


def _usage(wire: _WireUsage) -> Usage:
    prompt, completion = wire.prompt_tokens or 0, wire.completion_tokens or 0
    return Usage(prompt, completion, wire.total_tokens or prompt + completion)


def parse(data: bytes, decoder: msgspec.json.Decoder[_Event]) -> _Event:
    """Decode one event; raise ProviderError for what is none."""
    try:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Half a surrogate pair is no valid text for msgspec, but some servers split characters so.
            return msgspec.convert(json.loads(data), decoder.type)
    except (ValueError, RecursionError) as error:
        raise ProviderError(
            "protocol", "The provider sent something that is not a completion.", retryable=True
        ) from error
