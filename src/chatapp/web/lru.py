"""What was made once and is asked for again: as much of it as there is room for."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ("Kept",)

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Kept(Generic[_Key, _Value]):
    """Values up to a total size; those that nobody has asked for the longest go first."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._size = 0
        #: Key → value and its size, the least recently asked for first.
        self._values: OrderedDict[_Key, tuple[_Value, int]] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        """Return what is kept."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: _Key, value: _Value, size: int) -> None:
        """Keep a value; `size` in whatever unit the room is counted in."""
        _, before = self._values.pop(key, (None, 0))
        self._values[key] = value, size
        self._size += size - before
        while self._size > self._room:
            _, (_, dropped) = self._values.popitem(last=False)
            self._size -= dropped
