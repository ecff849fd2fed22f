"""Turn every error into what its caller reads: problem+json, a fragment for htmx, or a page."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap, Scope, Send

from chatapp.errors import (
    AnswerRunning,
    ChatappError,
    Damaged,
    InvalidInput,
    KeyReused,
    LimitReached,
    NotFound,
    ProviderError,
    StorageUnavailable,
    Unauthorized,
)
from chatapp.storage.connections import UNREACHABLE, RedisError
from chatapp.storage.scripts import is_wrong_type
from chatapp.web.views import Pages

__all__ = ("STATUS", "handlers", "send_error")

logger = logging.getLogger(__name__)

#: Seconds after which a Redis that is away is worth another try.
_AWAY = 2
_PROBLEM = "application/problem+json"
#: The HTTP status of each of our errors.
STATUS: Mapping[type[ChatappError], int] = {
    InvalidInput: 422,
    KeyReused: 422,
    Unauthorized: 401,
    NotFound: 404,
    AnswerRunning: 409,
    LimitReached: 429,
    StorageUnavailable: 503,
    Damaged: 503,
}
_WORDS = {
    400: "This request could not be understood.",
    404: "There is nothing at this address.",
    405: "This address cannot be used in this way.",
    408: "This took too long to arrive.",
    413: "This is too long to be sent: 64 KB at most, which letters beyond ASCII fill sooner.",
    415: "This kind of content cannot be read here.",
}

#: Fields with a range or a list of values: one of the wrong type is as wrong as one that is not in it.
_JUDGED = frozenset({"temperature", "max_tokens", "model"})
#: How Litestar says that a body broke off, which it takes for the server's fault.
_HUNG_UP = "client disconnected prematurely"

AnyRequest = Request[Any, Any, Any]


def handlers(pages: Pages) -> ExceptionHandlersMap:
    """Return the one map from exceptions to responses."""

    def respond(
        request: AnyRequest,
        status: int,
        message: str,
        code: str = "",
        *,
        allow: str | None = None,
        retry_after: int | None = None,
        **more: Any,
    ) -> Response[bytes] | Response[str]:
        headers = {"Cache-Control": "no-store"}
        if status == 503 and code != Damaged.code:
            retry_after = _AWAY
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        if allow is not None:
            headers["Allow"] = allow
        if status == 408:
            # What is left of the request may still come, and nobody would read it.
            headers["Connection"] = "close"
        if _wants_json(request.scope, request.headers.get("accept", "")):
            body = msgspec.json.encode(_problem(status, message, code, **more))
            return Response(body, status_code=status, media_type=_PROBLEM, headers=headers)
        if request.headers.get("hx-request"):
            # Only an id that is bound to another text is of no use; after a 503 the same one finds its first.
            html = pages.error_fragment(message, renew=code == KeyReused.code)
        else:
            html = pages.error(status, message)
        return Response(html, status_code=status, media_type="text/html", headers=headers)

    def on_chatapp_error(request: AnyRequest, error: ChatappError) -> Response[Any]:
        more: dict[str, Any] = {}
        if isinstance(error, AnswerRunning):
            more["active_message_id"] = error.active_message_id
        if isinstance(error, InvalidInput):
            more["field"] = error.field
        if isinstance(error, LimitReached):
            more["retry_after"] = error.retry_after
        return respond(request, STATUS.get(type(error), 500), error.message, error.code, **more)

    def on_provider_error(request: AnyRequest, error: ProviderError) -> Response[Any]:
        return respond(request, 502, error.message, error.code)

    def on_storage_error(request: AnyRequest, error: Exception) -> Response[Any]:
        logger.warning("%s %s: %s", request.method, request.url.path, type(error).__name__)
        told = Damaged() if is_wrong_type(error) else StorageUnavailable()
        return respond(request, 503, told.message, told.code)

    def on_http_error(request: AnyRequest, error: HTTPException) -> Response[Any]:
        status = 400 if error.detail == _HUNG_UP else _status_of(error)
        if status >= 500:
            return on_other_error(request, error)
        detail = _validation_words(error) or _WORDS.get(status) or HTTPStatus(status).phrase
        allow = (error.headers or {}).get("allow")
        if status == 422:
            return respond(request, status, detail, InvalidInput.code, field=_fields(error)[0])
        return respond(request, status, detail, allow=allow)

    def on_other_error(request: AnyRequest, error: Exception) -> Response[Any]:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return respond(request, 500, "The server had an error of its own. Please try again.", "internal")

    storage: Any = dict.fromkeys((*UNREACHABLE, RedisError), on_storage_error)
    return {
        ChatappError: on_chatapp_error,
        ProviderError: on_provider_error,
        **storage,
        HTTPException: on_http_error,
        Exception: on_other_error,
    }


async def send_error(scope: Scope, send: Send, status: int, message: str) -> None:
    """Send an error from a middleware, before any route was chosen."""
    if _wants_json(scope, ""):
        body, media_type = msgspec.json.encode(_problem(status, message, "")), _PROBLEM
    else:
        body, media_type = message.encode(), "text/plain; charset=utf-8"
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _wants_json(scope: Scope, accept: str) -> bool:
    return scope["path"].startswith("/api/") or ("json" in accept and "html" not in accept)


def _problem(status: int, message: str, code: str, **more: Any) -> dict[str, Any]:
    """RFC 9457; `code` and what follows it are extension members."""
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": message}
    return problem | ({"code": code} if code else {}) | more


def _status_of(error: HTTPException) -> int:
    """Return the status: 422 also for a value of the wrong type, as for one that cannot be."""
    names = _fields(error)
    return 422 if names and _JUDGED.issuperset(names) else error.status_code


def _fields(error: HTTPException) -> list[str]:
    """Return the names of what the validation refused."""
    if error.status_code != 400 or not isinstance(error.extra, list):
        return []
    return [str(e.get("key", "")) for e in error.extra if isinstance(e, dict)]


def _validation_words(error: HTTPException) -> str | None:
    """Name the fields that are wrong, as the validation found them."""
    extra = error.extra
    if error.status_code != 400 or not isinstance(extra, list):
        return None
    parts = [
        f"{e['key']}: {e['message']}" if e.get("key") else str(e.get("message"))
        for e in extra
        if isinstance(e, dict)
    ]
    return "This request could not be understood: " + "; ".join(parts) if parts else None
