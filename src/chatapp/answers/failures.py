"""Turn what goes wrong at the provider into a stable code and words that a person can act on.

The table in docs/protocol.md lists them all. Pure: no I/O.
"""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import aiohttp
import httpx2
import openai

from chatapp.errors import ProviderError

__all__ = ("RAISED", "failure", "stream_failure")

#: What a call of the client raises: aiohttp's own error where the other side does not speak HTTP.
RAISED = (openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError)

#: The longest Retry-After that is waited for, in seconds: nobody should wait longer without being told.
_PATIENCE = 20.0
_CONTEXT = re.compile(
    r"context[ _](?:length|window|size)|maximum context|too many tokens|prompt is too long", re.I
)
#: The codes and types of error objects inside a stream, and the HTTP status that each stands for.
_STATUSES = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "insufficient_quota": 402,
    "billing_error": 402,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
}


def failure(error: Exception, secret: str | None) -> ProviderError:
    """Return the error for what the client raised; `secret` is the key, which no message may contain."""
    if isinstance(error, openai.APIStatusError):
        named = _by_status(error.status_code, error.body, secret)
        return _with_patience(named, _retry_after(error.response.headers))
    causes = list(_causes(error))
    if any(isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout)) for cause in causes):
        return ProviderError("connection", _unreachable(causes), retryable=True)
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException)):
        return ProviderError("timeout", "The provider said nothing for too long.", retryable=True)
    if isinstance(error, aiohttp.ClientResponseError):
        words = "The provider's address answers, but not as HTTP does: is OPENAI_BASE_URL right?"
        return ProviderError("protocol", words, retryable=True)
    if isinstance(error, (openai.APIConnectionError, httpx2.HTTPError, aiohttp.ClientError)):
        return ProviderError("upstream_reset", "The connection to the provider broke.", retryable=True)
    return ProviderError("upstream_error", "The provider had an error of its own.", retryable=True)


def stream_failure(error: Any, secret: str | None) -> ProviderError:
    """Return the error for an error object inside a stream, by the HTTP status it stands for."""
    if isinstance(error, ProviderError):
        return error
    names = [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    numbers = [int(name) for name in map(str, names) if name.isascii() and name.isdecimal()]
    known = [_STATUSES[name] for name in names if isinstance(name, str) and name in _STATUSES]
    status = next((number for number in numbers if 400 <= number < 600), known[0] if known else 500)
    return _by_status(status, error, secret)


def _by_status(status: int, body: Any, secret: str | None) -> ProviderError:
    body = body if isinstance(body, dict) else {"message": body}
    detail = _mask(str(body.get("message") or ""), secret)
    names = (body.get("code"), body.get("type"))
    retryable = False
    match status:
        case 401 | 403:
            code, words = "auth", "The provider refused the key"
        case 404:
            code, words = "not_found", "The provider does not know this model or address"
        case 402:
            code, words = "quota", "The provider's account has no credit left"
        case 429 if "insufficient_quota" in names:
            code, words = "quota", "The provider's account has no credit left"
        case 429:
            code, words, retryable = "rate_limit", "The provider's rate limit was reached", True
        case 400 | 413 | 422 if "context_length_exceeded" in names or _CONTEXT.search(detail):
            code, words = "context_length", "This chat has become too long for the model"
        case 408 | 409:
            code, words, retryable = "upstream_error", "The provider was not ready", True
        case _ if status >= 500:
            code, words, retryable = "upstream_error", "The provider had an error of its own", True
        case _:
            code, words = "bad_request", "The provider refused the request"
    return ProviderError(code, f"{words}: {detail}" if detail else f"{words}.", retryable=retryable)


def _with_patience(error: ProviderError, wait: float | None) -> ProviderError:
    if not error.retryable or wait is None:
        return error
    if wait <= _PATIENCE:
        return ProviderError(error.code, error.message, retryable=True, retry_after=wait)
    words = f"{error.message.rstrip('.')}. It wants to be asked again in {_duration(wait)}, not before."
    return ProviderError(error.code, words, retryable=False)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "").strip()
    try:
        wait = float(value) if value[:1].isdigit() else parsedate_to_datetime(value).timestamp() - time()
        return max(0.0, wait)
    except (ValueError, TypeError, OverflowError):
        return None


#: Why an address cannot be reached, the most telling first.
_UNREACHABLE: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "The provider's host name is not known: is OPENAI_BASE_URL right?"),
    (ssl.SSLError, "The provider's certificate or TLS is not in order."),
    (ConnectionRefusedError, "The provider's address refused the connection: is the server running?"),
    (TimeoutError, "The provider's address did not answer in time."),
)


def _unreachable(causes: list[BaseException]) -> str:
    for kind, words in _UNREACHABLE:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return "The provider could not be reached."


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _mask(text: str, secret: str | None) -> str:
    """Shorten a foreign text and take out everything that looks like a key."""
    if secret:
        text = text.replace(secret, "***")
    # As providers write keys: sk-…, key_…, or anything after "Bearer".
    text = re.sub(r"\b(?:sk|pk|key)[-_][\w.*-]{6,}|\bBearer \S+", "***", text)
    # Half a character is no text that can be written.
    text = text.encode(errors="replace").decode()
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"
