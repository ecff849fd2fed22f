"""Stream a completion from an OpenAI-compatible server, as text deltas and one finish.

The openai client makes the call (address, key, retries before the stream starts, errors); the stream's
bytes are read by `wire`, because the client's typed chunks cost several times more than all other work on
a token. What the server sends beside text (event names, unknown fields) goes no further.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import httpx2
import msgspec
import openai
from msgspec import Struct

from chatapp.answers.wire import CompletionStream
from chatapp.errors import ProviderError
from chatapp.models import FinishReason, Usage

__all__ = ("Delta", "Finish", "OpenAIProvider", "Prompt", "Turn")

#: Seconds without a byte after which a stream counts as dead.
_IDLE_TIMEOUT = 120.0
_CONNECT_TIMEOUT = 10.0
#: Seconds that the usage may take after the finish reason; some servers keep the stream open.
_USAGE_TIMEOUT = 5.0


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
                wire = CompletionStream()
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


async def _read(body: AsyncIterator[bytes], wire: CompletionStream) -> bytes | None:
    """Return the stream's next bytes, or None at its end."""
    if wire.reason is None:
        return await anext(body, None)
    try:
        async with asyncio.timeout(_USAGE_TIMEOUT):
            return await anext(body, None)
    except (TimeoutError, httpx2.HTTPError):
        # After the finish reason only the token counts are missing.
        return None
