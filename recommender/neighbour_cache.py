"""Decoded profiles of neighbours, bounded in bytes, checked against the point's version at every use.

All profiles stand in two arrays, so that adding up a hundred neighbours' votes copies nothing. The arrays are a ring:
what was kept longest ago makes room first. A profile that grows a little stays where it is.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense, ItemIndex
from recommender.profile import Floats, History, mean_rating
from recommender.vector import ValueRule

Slots = NDArray[np.int64]

_ABSENT = -1
_ENTRY_BYTES = 4 + 8
_BLOCK_ENTRIES_MIN = 64
_BOOKKEEPING_SHARE = 4
"""A profile's bookkeeping costs at most a third of the smallest block, so a quarter of the memory is left to it."""


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourProfile:
    """A neighbour's rated items in event-time order, shape (n,): dense numbers, and ratings minus their mean."""

    dense: Dense
    residuals: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Several profiles: entries in arrays of shape (m,), and where each begins and how long it is, of shape (k,)."""

    dense: Dense
    residuals: Floats
    begins: Slots
    lengths: Slots

    def __len__(self) -> int:
        return len(self.begins)

    def at(self, places: NDArray[np.bool_]) -> "Profiles":
        """Those at these places, without copying entries."""
        return Profiles(self.dense, self.residuals, self.begins[places], self.lengths[places])

    def entries(self) -> tuple[Dense, Floats]:
        """The entries of one profile behind those of the other, copied; there is at least one profile."""
        ends = (self.begins + self.lengths).tolist()
        places = [slice(begin, end) for begin, end in zip(self.begins.tolist(), ends, strict=True)]
        dense = np.concatenate([self.dense[place] for place in places])
        return dense, np.concatenate([self.residuals[place] for place in places])


NO_PROFILE = NeighbourProfile(np.empty(0, np.int32), np.empty(0))


def decode_neighbour(
    history: History, index: ItemIndex, rule: ValueRule | None = None, since_ms: int | None = None
) -> NeighbourProfile:
    """A history ready for ranking; residuals are on the catalogue's own scale, from the mean of all ratings.

    What the rule prunes does not vote, nor does what was rated before `since_ms` (epoch ms).
    """
    rated = history.rated()
    mean = mean_rating(rated) or 0.0
    voting = rated if rule is None else rule.kept(rated)
    if since_ms is not None:
        voting = voting.at(voting.rated_at >= since_ms)
    return NeighbourProfile(index.dense(voting.items), voting.ratings - mean)


def joined(profiles: Sequence[NeighbourProfile]) -> Profiles:
    """Profiles of their own, one behind the other; at least one."""
    lengths = np.array([len(profile.dense) for profile in profiles], np.int64)
    return Profiles(
        np.concatenate([profile.dense for profile in profiles]),
        np.concatenate([profile.residuals for profile in profiles]),
        np.cumsum(lengths) - lengths,
        lengths,
    )


class NeighbourCache:
    """Profiles by point id. `max_bytes` covers entries and bookkeeping; memory is taken as it is first used."""

    def __init__(self, max_bytes: int) -> None:
        self._capacity = (max_bytes - max_bytes // _BOOKKEEPING_SHARE) // _ENTRY_BYTES
        self.changes = self.evicted = 0
        """How often anything was kept or dropped, and how often a slot was given up: till then it holds what it did."""
        self.clear()

    @property
    def size_bytes(self) -> int:
        """What all profiles cost together."""
        held = len(self._order)
        return self._used * _ENTRY_BYTES + held * (_BLOCK_ENTRIES_MIN * _ENTRY_BYTES // (_BOOKKEEPING_SHARE - 1))

    def clear(self) -> None:
        """Forget all."""
        self.changes, self.evicted = self.changes + 1, self.evicted + 1
        self._dense: Dense = np.empty(self._capacity, np.int32)
        self._residuals: Floats = np.empty(self._capacity, np.float64)
        self._slots: dict[int, int] = {}
        self._order: OrderedDict[int, int] = OrderedDict()
        self._free: list[int] = []
        self._versions, self._begins, self._lengths, self._blocks = np.zeros((4, 64), np.int64)
        self._head = self._used = 0

    def find(self, ids: Sequence[int], versions: Sequence[int]) -> Slots:
        """The slot of each of these versions of these points, −1 where it is not held."""
        slots = np.fromiter(map(self._slots.get, ids, repeat(_ABSENT)), np.int64, len(ids))
        slots[self._versions[slots] != np.fromiter(versions, np.int64, len(ids))] = _ABSENT
        return slots

    def profiles(self, slots: Slots) -> Profiles:
        """The profiles in these slots, none of which is −1; valid until the next `put`."""
        return Profiles(self._dense, self._residuals, self._begins[slots], self._lengths[slots])

    def profile(self, slot: int) -> NeighbourProfile:
        """A copy of the profile in a slot."""
        entries = slice(self._begins[slot], self._begins[slot] + self._lengths[slot])
        return NeighbourProfile(self._dense[entries].copy(), self._residuals[entries].copy())

    def put(self, identity: int, version: int, profile: NeighbourProfile) -> None:
        """Keep a profile in place of its predecessor, if it fits at all."""
        self.changes += 1
        length = len(profile.dense)
        slot = self._slots.get(identity, _ABSENT)
        if slot == _ABSENT or self._blocks[slot] < length:
            if slot != _ABSENT:
                self._release(slot)
            block = max(_BLOCK_ENTRIES_MIN, length + length // 8)
            if block > self._capacity:
                return
            slot = self._taken(identity, block)
        begin = self._begins[slot]
        self._dense[begin : begin + length] = profile.dense
        self._residuals[begin : begin + length] = profile.residuals
        self._lengths[slot], self._versions[slot] = length, version

    def drop(self, identity: int) -> None:
        """Forget a point, known or not."""
        if (slot := self._slots.get(identity)) is not None:
            self._release(slot)

    def _taken(self, identity: int, block: int) -> int:
        if self._head + block > self._capacity:
            self._clear_ahead(self._capacity)
            self._head = 0
        self._clear_ahead(self._head + block)
        slot = self._free.pop() if self._free else len(self._order)
        if slot == len(self._begins):
            self._grow()
        self._slots[identity], self._order[slot] = slot, identity
        self._begins[slot], self._blocks[slot] = self._head, block
        self._head += block
        self._used += block
        return slot

    def _clear_ahead(self, end: int) -> None:
        """Drop what stands between the head and `end`: always the oldest."""
        while self._order and self._head <= self._begins[oldest := next(iter(self._order))] < end:
            self._release(oldest)

    def _release(self, slot: int) -> None:
        self.changes, self.evicted = self.changes + 1, self.evicted + 1
        del self._slots[self._order.pop(slot)]
        self._used -= int(self._blocks[slot])
        self._free.append(slot)

    def _grow(self) -> None:
        doubled = np.zeros((4, 2 * len(self._begins)), np.int64)
        for new, old in zip(doubled, (self._versions, self._begins, self._lengths, self._blocks), strict=True):
            new[: len(old)] = old
        self._versions, self._begins, self._lengths, self._blocks = doubled
