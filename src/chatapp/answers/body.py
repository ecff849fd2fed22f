"""Read a response's body by the shortest way from its connection.

The openai client hands a body on through six generators, one inside the other, at several times the cost of
reading it. Where its connection is aiohttp's, the bytes are taken from there; else the client's own way does.
"""

import asyncio
from time import monotonic

import aiohttp
import httpx2

__all__ = ("Body",)


#: Seconds without a byte after which a body is not asked any more what has arrived: it has to be waited for.
_QUIET = 1.0


class Body:
    """What is left of a response's body."""

    def __init__(self, response: httpx2.Response) -> None:
        #: aiohttp's reader, where that is what the bytes come from.
        self.content = _content(response)
        self._pieces = response.aiter_bytes()
        self._heard = monotonic()
        self._patience = _take_timeout(response) if self.content is not None else None
        if self.content is not None:
            # Else aiohttp would go all the way through its parser at every piece that is taken, only to say
            # that it may read on.
            self.content._low_water = 0

    async def read(self) -> bytes:
        """Wait for the next bytes and return them; b"" at the end.

        Raises httpx2.HTTPError when the connection breaks, or is silent for too long.
        """
        if self.content is None:
            # httpx2 yields no empty pieces, so b"" means the end alone.
            return await anext(self._pieces, b"")
        try:
            async with asyncio.timeout(self._patience):
                data = await self.content.readany()
                self._read_on()
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            # What came before it broke: aiohttp does not hand it out any more.
            if left := self.content._read_nowait(-1):
                return left
            raise httpx2.ReadError(str(error)) from error
        self._heard = monotonic()
        return data

    def arrived(self) -> bytes | None:
        """Return what has arrived, without waiting; None where only `read` can tell, as at the end."""
        content = self.content
        if content is None or content.exception() is not None or content.at_eof():
            return None
        now = monotonic()
        if data := content.read_nowait():
            self._heard = now
            self._read_on()
        return data if now - self._heard < _QUIET else None

    def _read_on(self) -> None:
        """Let the connection be read again, where aiohttp has stopped that because nobody took what came."""
        assert self.content is not None
        protocol = self.content._protocol
        if protocol._reading_paused:
            protocol.resume_reading()


def _content(response: httpx2.Response) -> aiohttp.StreamReader | None:
    """Find aiohttp's reader of a body that needs no decoding."""
    if response.headers.get("content-encoding", "identity") != "identity":
        return None
    content = getattr(_original(response), "content", None)
    return content if isinstance(content, aiohttp.StreamReader) else None


def _take_timeout(response: httpx2.Response) -> float | None:
    """Return the seconds of silence that aiohttp allows, and let it not look after them.

    It would set a timer for every token.
    """
    connection = getattr(_original(response), "connection", None)
    protocol = connection.protocol if connection is not None else None
    if protocol is None:
        return None
    # The timer that is set goes off if not even the first bytes come.
    patience: float | None = protocol.read_timeout
    protocol.read_timeout = None
    return patience


def _original(response: httpx2.Response) -> object:
    """Return aiohttp's response behind one of the client's."""
    return getattr(getattr(response.stream, "_stream", None), "_aiohttp_response", None)
