"""The openai client, which builds the request of an address once and afterwards only its body."""

from typing import Any

import httpx2
import openai
from openai._models import FinalRequestOptions

__all__ = ("AsyncOpenAI",)


class AsyncOpenAI(openai.AsyncOpenAI):
    """Address, key and timeout are the same in every request, and so are all headers but the length.

    Of the same name as its base, by which it introduces itself to servers.

    To put them together anew costs twice as much as all the rest that the client does.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._built: dict[str, httpx2.Request] = {}

    def _build_request(self, options: FinalRequestOptions, *, retries_taken: int = 0) -> httpx2.Request:
        content = options.content
        if not isinstance(content, bytes) or options.params or options.headers or retries_taken:
            return super()._build_request(options, retries_taken=retries_taken)
        first = self._built.get(options.url)
        if first is None:
            first = super()._build_request(options, retries_taken=retries_taken)
            # Without its body, which may be long.
            self._built[options.url] = _with(first, b"")
            return first
        return _with(first, content)


def _with(request: httpx2.Request, content: bytes) -> httpx2.Request:
    headers = request.headers.copy()
    headers["content-length"] = str(len(content))
    return httpx2.Request(
        request.method, request.url, headers=headers, content=content, extensions=request.extensions
    )
