"""Read a response's body by the shortest way from its connection.

The openai client hands a body on through six generators, one inside the other, at several times the cost of
reading it. Where its connection is aiohttp's, the bytes are taken from there; else the client's own way does.
"""

from collections.abc import Awaitable, Callable

import aiohttp
import httpx2

__all__ = ("reader",)


def reader(response: httpx2.Response) -> Callable[[], Awaitable[bytes]]:
    """Return a function that waits for the next bytes of the body; it returns b"" at the end.

    The function raises httpx2.HTTPError when the connection breaks, or is silent for too long.
    """
    content = _content(response)
    if content is None:
        pieces = response.aiter_bytes()

        async def next_piece() -> bytes:
            # httpx2 yields no empty pieces, so b"" means the end alone.
            return await anext(pieces, b"")

        return next_piece

    async def next_bytes() -> bytes:
        try:
            return await content.readany()
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            # What came before it broke: aiohttp does not hand it out any more.
            if left := content._read_nowait(-1):
                return left
            raise httpx2.ReadError(str(error)) from error

    return next_bytes


def _content(response: httpx2.Response) -> aiohttp.StreamReader | None:
    """Find aiohttp's reader of a body that needs no decoding."""
    if response.headers.get("content-encoding", "identity") != "identity":
        return None
    found: object = response.stream
    for name in ("_stream", "_aiohttp_response", "content"):
        found = getattr(found, name, None)
    return found if isinstance(found, aiohttp.StreamReader) else None
