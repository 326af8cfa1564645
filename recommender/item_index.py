"""Dense numbers for items: a vectorised hash table from dimension (uint32) to 0, 1, 2, … in order of appearance.

Ranking adds votes up in arrays; dimensions are spread over 2³², so arrays need numbers without gaps.
"""

import numpy as np
from numpy.typing import NDArray

from recommender.profile import Items

Dense = NDArray[np.int32]

_FREE = -1
_NONE: Dense = np.empty(0, np.int32)
_MULTIPLIER = np.uint32(2_654_435_769)  # 2³² / golden ratio: spreads neighbouring ids (Knuth, TAOCP 6.4)


class ItemIndex:
    """Numbers items in order of appearance; `items[dense]` is the way back."""

    def __init__(self) -> None:
        self._bits = 10
        self._table: Dense = np.full(1 << self._bits, _FREE, np.int32)
        self._items: Items = np.empty(1 << (self._bits - 1), np.uint32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def items(self) -> Items:
        """Dimensions by dense number, shape (len(self),)."""
        return self._items[: self._count]

    def dense(self, items: Items) -> Dense:
        """Dense numbers of the given dimensions, same shape; new ones are numbered."""
        found = self.find(items)
        unknown = np.flatnonzero(found == _FREE)
        for at in unknown.tolist():
            self._add(items[at])
        return self.find(items) if len(unknown) else found

    def find(self, items: Items) -> Dense:
        """Dense numbers of the given dimensions, −1 where an item has none yet."""
        if not len(items):
            return _NONE
        slots = self._slots(items)
        found = self._table[slots]
        # Linear probing, all at once: the mismatches go on to their next slot until none is left.
        open_ = np.flatnonzero((found != _FREE) & (self._items[found] != items))
        while len(open_):
            slots[open_] = (slots[open_] + 1) & (len(self._table) - 1)
            found[open_] = self._table[slots[open_]]
            still = (found[open_] != _FREE) & (self._items[found[open_]] != items[open_])
            open_ = open_[still]
        return found

    def _slots(self, items: Items) -> NDArray[np.int64]:
        return ((items * _MULTIPLIER) >> np.uint32(32 - self._bits)).astype(np.int64)

    def _add(self, item: np.uint32) -> None:
        if self.find(np.array([item], np.uint32))[0] != _FREE:
            return
        if self._count == len(self._items):
            self._grow()
        self._items[self._count] = item
        self._place(item, self._count)
        self._count += 1

    def _place(self, item: np.uint32, number: int) -> None:
        slot = int(self._slots(np.array([item], np.uint32))[0])
        while self._table[slot] != _FREE:
            slot = (slot + 1) & (len(self._table) - 1)
        self._table[slot] = number

    def _grow(self) -> None:
        self._bits += 1
        self._table = np.full(1 << self._bits, _FREE, np.int32)
        self._items = np.concatenate((self._items, np.empty(len(self._items), np.uint32)))
        for number in range(self._count):
            self._place(self._items[number], number)
