"""Put what a provider sends into an answer's outbox."""

from contextlib import aclosing

from chatapp.answers.outbox import Outbox
from chatapp.answers.resume import Seam
from chatapp.answers.upstream import Delta, Finish, Upstream
from chatapp.answers.wire import Place
from chatapp.answers.writer import Writer

__all__ = ("Intake",)


class Intake:
    """The way of an answer's text from the provider's stream to the writer."""

    def __init__(self, upstream: Upstream, seam: Seam, outbox: Outbox, writer: Writer, limit: int) -> None:
        """`limit`: how many characters the answer may have; one more, and it is cut off."""
        self._upstream = upstream
        self._seam = seam
        self._outbox = outbox
        self._writer = writer
        self._left = limit
        #: The latest place in the provider's own stream, where it has one.
        self.place: Place | None = None

    async def run(self) -> Finish | None:
        """Pass text on until the provider's end; None when there is more of it than there may be.

        Raises ProviderError when the stream breaks before that.
        """
        async with aclosing(self._upstream):
            while self._left >= 0:
                piece = await self._upstream.read()
                if isinstance(piece, Finish):
                    if rest := self._seam.flush():
                        self._outbox.add(rest)
                    return piece
                if self._put(piece):
                    if self._outbox.full:
                        await self._outbox.room()
                    # What arrives until the writer comes round becomes one piece.
                    await self._writer.flow(self._take)
        return None

    def _take(self) -> bool:
        """Put in what has arrived; False where there is more to do than that."""
        piece = self._upstream.arrived()
        if piece is None:
            return False
        return not self._put(piece) or (self._left >= 0 and not self._outbox.full)

    def _put(self, piece: Delta) -> bool:
        """Put a piece in; return whether there is something to write now."""
        self.place = piece.place or self.place
        text = self._seam.feed(piece.text) if piece.text else ""
        if piece.reasoning:
            self._left -= len(piece.reasoning)
            self._outbox.think(piece.reasoning)
        if text:
            self._left -= len(text)
            self._outbox.add(text if self._left >= 0 else text[: self._left], piece.place)
        elif piece.place is not None and not piece.reasoning and not self._outbox.started:
            self._outbox.note(piece.place)
        return bool(text or piece.reasoning)
