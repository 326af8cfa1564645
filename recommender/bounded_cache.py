"""A cache bounded in bytes: the least recently used entries go first."""

from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Entries with their sizes; never holds more than `max_bytes` together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """The entry of a key, now the most recently used, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, size_bytes: int) -> None:
        """Keep an entry in place of its predecessor; one that is larger than the cache is not kept."""
        self.drop(key)
        if size_bytes > self._max_bytes:
            return
        self._entries[key] = (value, size_bytes)
        self.size_bytes += size_bytes
        while self.size_bytes > self._max_bytes:
            self.drop(next(iter(self._entries)))

    def drop(self, key: Key) -> None:
        """Forget a key, known or not."""
        if (entry := self._entries.pop(key, None)) is not None:
            self.size_bytes -= entry[1]

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self.size_bytes = 0
