"""Read a response's body by the shortest way from its connection.

The openai client hands a body on through six generators, one inside the other, at several times the cost of
reading it. Where its connection is aiohttp's, the bytes are taken from there; else the client's own way does.
"""

import aiohttp
import httpx2

__all__ = ("Body",)


class Body:
    """What is left of a response's body."""

    def __init__(self, response: httpx2.Response) -> None:
        #: aiohttp's reader, where that is what the bytes come from.
        self.content = _content(response)
        self._pieces = response.aiter_bytes()

    async def read(self) -> bytes:
        """Wait for the next bytes and return them; b"" at the end.

        Raises httpx2.HTTPError when the connection breaks, or is silent for too long.
        """
        if self.content is None:
            # httpx2 yields no empty pieces, so b"" means the end alone.
            return await anext(self._pieces, b"")
        try:
            return await self.content.readany()
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            # What came before it broke: aiohttp does not hand it out any more.
            if left := self.content._read_nowait(-1):
                return left
            raise httpx2.ReadError(str(error)) from error

    def arrived(self) -> bytes | None:
        """Return what has arrived, without waiting; None where only `read` can tell, as at the end."""
        content = self.content
        if content is None or content.exception() is not None or content.at_eof():
            return None
        return content.read_nowait()


def _content(response: httpx2.Response) -> aiohttp.StreamReader | None:
    """Find aiohttp's reader of a body that needs no decoding."""
    if response.headers.get("content-encoding", "identity") != "identity":
        return None
    found: object = response.stream
    for name in ("_stream", "_aiohttp_response", "content"):
        found = getattr(found, name, None)
    return found if isinstance(found, aiohttp.StreamReader) else None
