"""What is finished of a text: blocks that nothing changes any more, in parts that all states share."""

from collections.abc import Iterator, Sequence
from functools import partial

from chatapp.rendering.containers import Recent, finish
from chatapp.rendering.parts import PART, Body, parts_of
from chatapp.rendering.step import Step
from chatapp.rendering.tree import Element, Node

__all__ = ("Finished",)

#: A block of more characters is sanitised in a thread.
_THREADED = 8_000


class Finished:
    """A list of blocks that only grows."""

    def __init__(self) -> None:
        #: The first `count` of the shared parts, and after a fork blocks of its own.
        self.count = 0
        self._parts: list[list[Node]] = []
        self._full: list[Element] = []
        self._own: list[Node] | None = None
        self._recent = Recent()

    def fork(self, count: int) -> "Finished":
        """Return the first `count` blocks, to go on by themselves."""
        other = Finished()
        other.count, other._parts, other._full, other._own = count, self._parts, self._full, []
        return other

    def add(self, node: Element, size: int, *, slim: bool = True) -> Iterator[Step]:
        """Take in a block of about `size` characters; `slim`: it is sent as a whole."""
        if size > _THREADED:
            # Sanitising lets other threads run.
            yield partial(_finish, node)
            if slim:
                # The next run of the garbage collector would look at all of it.
                node.slim()
        else:
            finish(node)
        if self._own is not None:
            self._own.append(node)
            return
        self._recent.add(node)
        if self.count % PART == 0:
            self._parts.append([])
        self._parts[-1].append(node)
        self.count += 1
        if self.count % PART == 0:
            self._full.append(Element("div", "", [], self._parts[-1]))

    def body(self, live: Sequence[Node] = ()) -> Body:
        """Return the body of these blocks and what is `live` behind them."""
        full, more = divmod(self.count, PART)
        base = self._parts[full] if more else []
        return Body(self._full, full, parts_of([*(self._own or ()), *live], base, more))


def _finish(node: Element) -> None:
    finish(node)
