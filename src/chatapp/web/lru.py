"""A cache with a limit on the total size of its values."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ("LruCache",)

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class LruCache(Generic[_Key, _Value]):
    """Values up to a total size; the least recently used go first."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._size = 0
        #: Key → value and its size, the least recently used first.
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
