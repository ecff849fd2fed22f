"""Stream a completion from an OpenAI-compatible server, as text deltas and one finish.

The openai client makes the call (address, key, retries before the stream starts, errors); the stream's
lines are parsed here by msgspec, because the client's typed chunks cost several times more than all other
work on a token. What the server sends beside text (event names, unknown fields) goes no further.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import httpx2
import msgspec
import openai
from msgspec import Struct

from chatapp.errors import ProviderError
from chatapp.models import FinishReason, Usage

__all__ = ("Delta", "Finish", "OpenAIProvider", "Prompt", "Turn")

#: Seconds without a byte after which a stream counts as dead.
_IDLE_TIMEOUT = 120.0
_CONNECT_TIMEOUT = 10.0
#: Seconds that the usage may take after the finish reason; some servers keep the stream open.
_USAGE_TIMEOUT = 5.0
#: Bytes of one event; far above any real delta.
_LINE_LIMIT = 16 << 20


class Turn(Struct, frozen=True):
    """One message as the provider gets it."""

    role: str
    content: str


class Prompt(Struct, frozen=True):
    """What to ask; an empty model stands for the provider's first."""

    model: str
    turns: Sequence[Turn]


class Delta(Struct, frozen=True):
    """The next piece of the answer's text."""

    text: str


class Finish(Struct, frozen=True):
    """The provider said why it stopped: only this makes an answer complete."""

    reason: FinishReason
    usage: Usage | None


class _WireDelta(Struct):
    content: str | None = None
    refusal: str | None = None


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


_decode_chunk = msgspec.json.Decoder(_WireChunk).decode
#: Reasons beyond the three of the contract (`tool_calls`, vendors' own) say only that the text is done.
_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "content_filter": "content_filter",
    "max_tokens": "length",
}


class OpenAIProvider:
    """The provider's address and key, and its connections."""

    def __init__(self, base_url: str | None, api_key: str | None, models: Sequence[str] = ()) -> None:
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            # Servers without keys (Ollama, vLLM) take any; the client insists on one.
            api_key=api_key or "none",
            timeout=httpx2.Timeout(_IDLE_TIMEOUT, connect=_CONNECT_TIMEOUT),
            http_client=openai.DefaultAioHttpClient(),
        )
        self._key = api_key
        self._models = tuple(models)

    async def models(self) -> tuple[str, ...]:
        """Return the models that may be asked: the configured ones, else the provider's own list."""
        if not self._models:
            try:
                listed = await self._client.models.list()
            except openai.OpenAIError as error:
                raise self._failure(error) from error
            self._models = tuple(model.id for model in listed.data)
            if not self._models:
                raise ProviderError(
                    "no_model", "The provider lists no models: set OPENAI_MODEL.", retryable=False
                )
        return self._models

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Finish, None]:
        """Yield deltas and at last one Finish; raise ProviderError when the stream breaks before it.

        Closing the iterator closes the connection to the provider.
        """
        model = prompt.model or (await self.models())[0]
        try:
            async with self._client.chat.completions.with_streaming_response.create(
                model=model,
                messages=[msgspec.to_builtins(turn) for turn in prompt.turns],
                stream=True,
                stream_options={"include_usage": True},
            ) as response:
                kind = response.headers.get("content-type", "")
                if "text/event-stream" not in kind:
                    found = kind.partition(";")[0] or "something unnamed"
                    raise ProviderError(
                        "protocol",
                        f"The provider's address sends {found}, not a stream: is OPENAI_BASE_URL right?",
                        retryable=False,
                    )
                wire = _Wire()
                body = response.http_response.aiter_bytes()
                while not wire.done and (data := await _read(body, wire)) is not None:
                    if text := wire.feed(data):
                        yield Delta(text)
                    if wire.error is not None:
                        raise self._stream_error(wire.error)
                if rest := wire.flush():
                    yield Delta(rest)
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise self._failure(error) from error
        if wire.reason is None:
            raise ProviderError(
                "upstream_eof", "The provider closed the stream before the answer's end.", retryable=True
            )
        yield Finish(wire.reason, wire.usage)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _failure(self, error: Exception) -> ProviderError:
        """Put what went wrong in words that a person can act on."""
        match error:
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return self._error("auth", "The provider refused the key", error, retryable=False)
            case openai.NotFoundError():
                return self._error(
                    "not_found", "The provider does not know this model or address", error, retryable=False
                )
            case openai.RateLimitError():
                return self._error(
                    "rate_limit", "The provider's rate limit was reached", error, retryable=True
                )
            case openai.InternalServerError():
                return self._error(
                    "upstream_error", "The provider had an error of its own", error, retryable=True
                )
            case openai.APIStatusError():
                return self._error("bad_request", "The provider refused the request", error, retryable=False)
            case openai.APITimeoutError() | httpx2.TimeoutException():
                return ProviderError("timeout", "The provider said nothing for too long.", retryable=True)
            case openai.APIConnectionError() | httpx2.ConnectError():
                return ProviderError(
                    "connection",
                    "The provider could not be reached, or the connection broke.",
                    retryable=True,
                )
            case httpx2.HTTPError():
                return ProviderError(
                    "upstream_reset", "The connection to the provider broke.", retryable=True
                )
            case _:
                return ProviderError(
                    "upstream_error", "The provider had an error of its own.", retryable=True
                )

    def _error(self, code: str, words: str, error: Exception, *, retryable: bool) -> ProviderError:
        detail = ""
        if isinstance(error, openai.APIStatusError):
            body = error.body
            detail = str(body.get("message") or "") if isinstance(body, dict) else ""
        detail = self._mask(detail)
        return ProviderError(code, f"{words}: {detail}" if detail else f"{words}.", retryable=retryable)

    def _stream_error(self, error: Any) -> ProviderError:
        if isinstance(error, ProviderError):
            return error
        detail = self._mask(str(error.get("message") or "") if isinstance(error, dict) else str(error))
        words = f"The provider broke off: {detail}" if detail else "The provider broke off."
        return ProviderError("upstream_error", words, retryable=True)

    def _mask(self, text: str) -> str:
        """Shorten a foreign text and take out everything that looks like a key."""
        if self._key:
            text = text.replace(self._key, "***")
        # As providers write keys: sk-…, key_…, or anything after "Bearer".
        text = re.sub(r"\b(?:sk|pk|key)[-_][\w.*-]{6,}|\bBearer \S+", "***", text)
        text = " ".join(text.split())
        return text if len(text) <= 300 else text[:299] + "…"


class _Wire:
    """Read the bytes of a completion's stream, whatever the pieces in which they come.

    OpenAI-compatible servers write one `data:` line an event, so a line is an event.
    """

    def __init__(self) -> None:
        self.reason: FinishReason | None = None
        self.usage: Usage | None = None
        #: What the provider, or its stream, has wrong; the text before it counts.
        self.error: Any = None
        self.done = False
        self._rest = b""
        self._started = False
        self._halves = _Surrogates()

    def feed(self, data: bytes) -> str:
        """Take in the next bytes and return the text they hold."""
        if not self._started:
            data, self._started = data.removeprefix(b"\xef\xbb\xbf"), True
        # CR LF is welcome: the CR goes with the white space around the data.
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_LIMIT:
            self.error = ProviderError(
                "protocol", "The provider sent a line without an end.", retryable=False
            )
        texts = []
        for line in lines:
            if line[:5] == b"data:" and self.error is None and not self.done:
                texts.append(self._take(line[5:].strip()))
        return "".join(texts)

    def flush(self) -> str:
        """Return what is left of the text when nothing more comes."""
        return self._halves.flush()

    def _take(self, data: bytes) -> str:
        if data == b"[DONE]":
            self.done = True
            return ""
        try:
            chunk = _parse(data)
        except ProviderError as error:
            self.error = error
            return ""
        if chunk.error is not None:
            self.error = chunk.error
            return ""
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        if choice.finish_reason:
            self.reason = _REASONS.get(choice.finish_reason, "stop")
        if choice.delta is None:
            return ""
        return self._halves.join(choice.delta.content or choice.delta.refusal or "")


async def _read(body: AsyncIterator[bytes], wire: _Wire) -> bytes | None:
    """Return the stream's next bytes, or None at its end."""
    if wire.reason is None:
        return await anext(body, None)
    try:
        async with asyncio.timeout(_USAGE_TIMEOUT):
            return await anext(body, None)
    except (TimeoutError, httpx2.HTTPError):
        # After the finish reason only the token counts are missing.
        return None


class _Surrogates:
    """Join characters whose two UTF-16 halves came in two deltas; a lone half becomes U+FFFD."""

    def __init__(self) -> None:
        self._high = ""

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


def _parse(data: bytes) -> _WireChunk:
    try:
        try:
            return _decode_chunk(data)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Half a surrogate pair is no valid text for msgspec, but some servers split characters so.
            return msgspec.convert(json.loads(data), _WireChunk)
    except (ValueError, RecursionError) as error:
        raise ProviderError(
            "protocol", "The provider sent something that is not a completion.", retryable=True
        ) from error
