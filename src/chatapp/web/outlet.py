"""Send a stream's events by the server's own `send`, past what is around it.

Litestar and every middleware wrap `send`, to see or change how a response starts. Of a stream's later pieces
they do nothing, at the price of six coroutines for each.
"""

from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, cast

from litestar import Litestar
from litestar.types import Scope, Send

__all__ = ("Application", "Outlet", "server_send")

_KEY = "server_send"


class Application(Litestar):
    """Litestar's application, which notes the server's own `send` in the scope."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or a message of the server's life."""
        scope[_KEY] = send
        await super().__call__(scope, receive, send)


def server_send(scope: Scope) -> Send:
    """Return what sends the rest of a response once its first piece was sent."""
    return cast(Send, cast(dict[str, Any], scope)[_KEY])


class Outlet:
    """Where the pieces of a response go."""

    # As those of a viewer: one place to look.
    __slots__ = ("_rest", "_send")

    def __init__(self, send: Send) -> None:
        self._send = send
        #: What is left to do of the last piece that was sent without waiting.
        self._rest: Awaitable[None] | None = None

    def send_now(self, data: bytes) -> bool:
        """Send a piece, as far as that goes without waiting; False when `finish` has to do the rest.

        To wake a task for a piece costs as much as the piece. The server waits only where the reader does not
        take what was sent before.
        """
        sending = self._send({"type": "http.response.body", "body": data, "more_body": True}).__await__()
        try:
            waited_for = next(sending)
        except StopIteration:
            return True
        self._rest = _go_on(sending, waited_for)
        return False

    async def finish(self) -> None:
        """Do what `send_now` has left to do."""
        if self._rest is not None:
            rest, self._rest = self._rest, None
            await rest


@coroutine
def _go_on(begun: Generator[Any, Any, None], waited_for: object) -> Generator[Any, Any, None]:
    """Go on with a coroutine that has begun to wait, in the task that awaits this."""
    try:
        yield waited_for
        yield from begun
    finally:
        begun.close()
