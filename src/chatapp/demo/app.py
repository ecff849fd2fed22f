"""The demo model as an OpenAI-compatible app, so that the real provider code talks to it, too."""

import asyncio
import hmac
import secrets
import time
from collections.abc import AsyncIterator
from itertools import cycle
from typing import Annotated, Any, Literal

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.response import Stream

from chatapp.demo.text import demo_answer, tokens
from chatapp.demo.title import demo_title

__all__ = ("MODEL", "create_demo_app")

MODEL = "demo"
_CREATED = 1_767_225_600  # any fixed moment: 2026-01-01
#: How long a token takes, in shares of the mean; a model does not type like a clock.
_RHYTHM = (0.6, 0.9, 1.5, 0.7, 1.1, 0.8, 1.9, 0.5)

_Limit = Annotated[int, msgspec.Meta(ge=1)]
_Finish = Literal["stop", "length"]


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class _Question(msgspec.Struct, frozen=True):
    messages: Annotated[tuple[dict[str, Any], ...], msgspec.Meta(min_length=1)]
    model: str = MODEL
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    max_tokens: _Limit | None = None
    max_completion_tokens: _Limit | None = None


class _Answer(msgspec.Struct, frozen=True):
    id: str
    pieces: tuple[str, ...]
    finish: _Finish
    prompt_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        made = len(self.pieces)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self.prompt_tokens + made,
        }


class _ApiError(Exception):
    def __init__(self, status: int, kind: str, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.message = status, kind, code, message


class _Model:
    """Write answers at a steady pace until told to stop."""

    def __init__(self, pace: float) -> None:
        self._pause = 1 / pace if pace else 0.0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def write(self, answer: _Answer) -> AsyncIterator[str]:
        """Yield the pieces in their rhythm; raise _ApiError when the server stops first."""
        clock = asyncio.get_running_loop().time
        due = clock()
        for piece, share in zip(answer.pieces, cycle(_RHYTHM), strict=False):
            due += self._pause * share
            try:
                async with asyncio.timeout_at(max(due, clock())):
                    await self._stopping.wait()
            except TimeoutError:
                yield piece
            else:
                raise _ApiError(503, "server_error", None, "The demo model is shutting down")


def create_demo_app(api_key: str, *, pace: float = 40.0) -> Litestar:
    """Build the app; `pace` is in tokens a second (0: no pauses), `app.state.stop()` ends all streams."""
    model = _Model(pace)

    def check_key(request: Request[Any, Any, Any]) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), api_key.encode()):
            raise _ApiError(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided")

    @get("/v1/models", before_request=check_key, sync_to_thread=False)
    def models() -> dict[str, Any]:
        entry = {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "chatapp"}
        return {"object": "list", "data": [entry]}

    @post("/v1/chat/completions", before_request=check_key, status_code=200)
    async def completions(request: Request[Any, Any, Any]) -> Response[Any] | Stream:
        try:
            question = msgspec.json.decode(await request.body(), type=_Question)
        except msgspec.DecodeError as error:
            raise _ApiError(400, "invalid_request_error", None, str(error)) from None
        answer = _answer(question)
        if question.stream:
            with_usage = question.stream_options is not None and question.stream_options.include_usage
            return Stream(_events(model, answer, with_usage), media_type="text/event-stream")
        text = "".join([piece async for piece in model.write(answer)])
        choice = _choice(answer.finish, message={"role": "assistant", "content": text})
        return Response({**_envelope(answer, "chat.completion", [choice]), "usage": answer.usage})

    app = Litestar(
        [models, completions],
        openapi_config=None,
        logging_config=None,
        exception_handlers={_ApiError: _api_error, HTTPException: _http_error},
    )
    app.state.stop = model.stop
    return app


def _answer(question: _Question) -> _Answer:
    said = demo_title(question.messages) or demo_answer(question.messages)
    pieces = tuple(tokens(said))
    limit = question.max_completion_tokens or question.max_tokens or len(pieces)
    return _Answer(
        id=f"chatcmpl-{secrets.token_hex(12)}",
        pieces=pieces[:limit],
        finish="length" if limit < len(pieces) else "stop",
        prompt_tokens=sum(len(tokens(str(message.get("content") or ""))) for message in question.messages),
    )


async def _events(model: _Model, answer: _Answer, with_usage: bool) -> AsyncIterator[bytes]:
    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return _sse({**_envelope(answer, "chat.completion.chunk", choices), **more})

    yield event([_choice(delta={"role": "assistant", "content": ""})])
    try:
        async for piece in model.write(answer):
            yield event([_choice(delta={"content": piece})])
    except _ApiError as error:
        # The headers are sent; an error event is how such servers tell of a failure from here on.
        yield _sse(_error_body(error))
        return
    yield event([_choice(answer.finish, delta={})])
    if with_usage:
        yield event([], usage=answer.usage)
    yield b"data: [DONE]\n\n"


def _sse(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _envelope(answer: _Answer, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": answer.id, "object": kind, "created": int(time.time()), "model": MODEL, "choices": choices}


def _choice(finish: _Finish | None = None, **content: dict[str, str]) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish}


def _error_body(error: _ApiError) -> dict[str, Any]:
    return {"error": {"message": error.message, "type": error.kind, "param": None, "code": error.code}}


def _api_error(_: Request[Any, Any, Any], error: _ApiError) -> Response[dict[str, Any]]:
    return Response(_error_body(error), status_code=error.status)


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    kind = "invalid_request_error" if error.status_code < 500 else "server_error"
    return _api_error(request, _ApiError(error.status_code, kind, None, error.detail))
