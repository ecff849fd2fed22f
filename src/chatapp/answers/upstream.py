"""An answer as the provider streams it: pieces of text, and why it stopped."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx2
from msgspec import Struct

from chatapp.answers.body import Body
from chatapp.answers.failures import RAISED, failure, stream_failure
from chatapp.answers.wire import EventStream, Place
from chatapp.errors import ProviderError
from chatapp.models import FinishReason, Usage

__all__ = ("Delta", "Finish", "Upstream")

#: Seconds that the usage may take after the finish reason; some servers keep the stream open.
_USAGE_TIMEOUT = 5.0
#: Stands for every request that was sent.
_FORGOTTEN = httpx2.Request("POST", "")


class Delta(Struct, frozen=True):
    """The next piece of the answer's text (empty before the first), and the place after it.

    `reasoning`: what the model thought before this piece.
    """

    text: str
    place: Place | None = None
    reasoning: str = ""


_NOTHING = Delta("")


class Finish(Struct, frozen=True):
    """The provider said why it stopped: only this makes an answer complete."""

    reason: FinishReason
    usage: Usage | None
    #: The reason in the provider's own word.
    said: str


class Upstream:
    """The stream of one answer, opened when it is first read."""

    def __init__(
        self, ask: Callable[[], Awaitable[httpx2.Response]], wire: EventStream, key: str | None
    ) -> None:
        """`ask`: opens it; `key`: the secret that no error may contain."""
        self._ask: Callable[[], Awaitable[httpx2.Response]] | None = ask
        self._wire = wire
        self._key = key
        #: The place that the reader knows of.
        self._place = wire.place
        self._response: httpx2.Response | None = None
        self._body: Body | None = None

    async def read(self) -> Delta | Finish:
        """Wait for the next piece, and at last for the finish.

        Raises ProviderError when the stream breaks before that.
        """
        try:
            body = self._body or await self._open()
            while self._wire.error is None and not self._wire.done:
                data = await (_last(body) if self._wire.reason else body.read())
                if not data:
                    break
                delta = self._delta(data)
                if delta.text or delta.reasoning or (self._place is None and delta.place is not None):
                    self._place = delta.place
                    return delta
        except RAISED as error:
            raise failure(error, self._key) from error
        return self._rest()

    def arrived(self) -> Delta | None:
        """Return what has arrived, without waiting: perhaps nothing; None where only `read` can tell."""
        wire, body = self._wire, self._body
        if body is None or wire.reason is not None or wire.done or wire.error is not None:
            return None
        data = body.arrived()
        if not data:
            return None if data is None else _NOTHING
        return self._delta(data)

    async def aclose(self) -> None:
        """Close the connection to the provider."""
        try:
            if self._response is not None:
                await self._response.aclose()
        except RAISED as error:
            raise failure(error, self._key) from error

    async def _open(self) -> Body:
        assert self._ask is not None
        self._response = response = await self._ask()
        # Both hold the conversation, which is longer than most answers.
        self._ask, response.request = None, _FORGOTTEN
        kind = response.headers.get("content-type", "")
        if "text/event-stream" not in kind:
            found = kind.partition(";")[0] or "something unnamed"
            raise ProviderError(
                "protocol",
                f"The provider's address sends {found}, not a stream: is OPENAI_BASE_URL right?",
                retryable=False,
            )
        self._body = Body(response)
        return self._body

    def _delta(self, data: bytes) -> Delta:
        text = self._wire.feed(data)
        return Delta(text, self._wire.place, self._wire.reasoning())

    def _rest(self) -> Delta | Finish:
        """Return what is left at the stream's end."""
        wire = self._wire
        if wire.error is not None:
            raise stream_failure(wire.error, self._key)
        if rest := wire.flush():
            return Delta(rest)
        if wire.reason is None:
            raise ProviderError(
                "upstream_eof", "The provider closed the stream before the answer's end.", retryable=True
            )
        return Finish(wire.reason, wire.usage, wire.said)


async def _last(body: Body) -> bytes:
    """Read on after the finish reason, when only the token counts are missing."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_USAGE_TIMEOUT):
            return await body.read()
    return b""
