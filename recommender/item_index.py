"""Dense numbers for items: a vectorised hash table from dimension (uint32) to 0, 1, 2, … in order of appearance.

Ranking adds votes up in arrays; dimensions are spread over 2³², so arrays need numbers without gaps.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recommender.profile import Items

Dense = NDArray[np.int32]

FREE = -1
"""What stands in a slot of the table that no item has."""
_NONE: Dense = np.empty(0, np.int32)
MULTIPLIER = np.uint32(2_654_435_769)  # 2³² / golden ratio: spreads neighbouring ids (Knuth, TAOCP 6.4)


Find = Callable[[Dense, Items, Items], tuple[Dense, bool]]


def found_in(table: Dense, known: Items, items: Items) -> tuple[Dense, bool]:
    """See `kernels.Kernels.find`."""
    slots = _slots(items, len(table))
    found = table[slots]
    # Linear probing, all at once: the mismatches go on to their next slot until none is left.
    open_ = np.flatnonzero((found != FREE) & (known[found] != items))
    while len(open_):
        slots[open_] = (slots[open_] + 1) & (len(table) - 1)
        found[open_] = table[slots[open_]]
        still = (found[open_] != FREE) & (known[found[open_]] != items[open_])
        open_ = open_[still]
    return found, not (found == FREE).any()


def _slots(items: Items, slots: int) -> NDArray[np.int64]:
    return ((items * MULTIPLIER) >> np.uint32(33 - slots.bit_length())).astype(np.int64)


class ItemIndex:
    """Numbers items in order of appearance; `items[dense]` is the way back."""

    def __init__(self, find: "Find | None" = None) -> None:
        """`find` stands in for `found_in`, whose equal it is."""
        self._find = find or found_in
        self._bits = 10
        self._table: Dense = np.full(1 << self._bits, FREE, np.int32)
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
        found, are_known = self._find(self._table, self._items, items)
        if are_known:
            return found
        self._add(items[found == FREE])
        return self.find(items)

    def find(self, items: Items) -> Dense:
        """Dense numbers of the given dimensions, −1 where an item has none yet."""
        return self._find(self._table, self._items, items)[0] if len(items) else _NONE

    def _add(self, items: Items) -> None:
        """Number dimensions that have no number yet, each once."""
        _, firsts = np.unique(items, return_index=True)
        new = items[np.sort(firsts)]
        begin, self._count = self._count, self._count + len(new)
        if self._count > len(self._items):
            self._grow(begin)
        self._items[begin : self._count] = new
        self._place(np.arange(begin, self._count, dtype=np.int32))

    def _place(self, numbers: Dense) -> None:
        slots = _slots(self._items[numbers], len(self._table))
        # As in `find`: who meets another goes on to the next slot. Of those who want the same free one, one gets it.
        while len(numbers):
            free = self._table[slots] == FREE
            self._table[slots[free]] = numbers[free]
            left = self._table[slots] != numbers
            numbers, slots = numbers[left], (slots[left] + 1) & (len(self._table) - 1)

    def _grow(self, held: int) -> None:
        """Double until there is room for all, and place those held anew."""
        while self._count > 1 << (self._bits - 1):
            self._bits += 1
        self._table = np.full(1 << self._bits, FREE, np.int32)
        items = np.empty(1 << (self._bits - 1), np.uint32)
        items[:held] = self._items[:held]
        self._items = items
        self._place(np.arange(held, dtype=np.int32))
