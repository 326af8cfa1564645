"""Dimensions of items whose ids are text: given once, kept for ever, the same for everybody who shares the table.

- An id's dimension is its 32-bit BLAKE2b hash; where another id has that one, the hash of (id, 1), (id, 2) and so on.
- A place in the table is filled once and never emptied. So whoever looks along an id's places finds the id, or the free
  place where it belongs; and of two who register at once the table keeps the first, which both then read.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from recommender.store import StoreError, StoreUnavailableError

DIMENSION_BITS = 32
PROBES_MAX = 16
"""The most places that are tried for an id; with a million items one id in 4,300 needs a second."""
CACHED_ITEMS_MAX = 100_000
INSERTED_MAX = 1_000
"""Ids of one write to the table."""

Probe = Callable[[str, int], int]
"""The dimension at which an id is looked for, by the number of the probe, from 0."""


def probe(item_id: str, number: int) -> int:
    """The first 32 bits of BLAKE2b of the id, salted with the number of the probe."""
    salt = number.to_bytes(2, "big")
    digest = hashlib.blake2b(item_id.encode(), digest_size=DIMENSION_BITS // 8, person=b"tastestream.item", salt=salt)
    return int.from_bytes(digest.digest(), "big")


class ItemTable(Protocol):
    """Where a registry keeps ids, by dimension. Every method may raise `StoreError`."""

    def read(self, dimensions: Sequence[int]) -> Mapping[int, str]:
        """The ids at these dimensions; a free one is missing."""

    def insert(self, ids: Mapping[int, str]) -> None:
        """Put ids where nothing stands, durably before it returns; what stands there stays, and is not told."""

    def close(self) -> None:
        """Release the table; it cannot be used afterwards."""


class MemoryTable:
    """A table that lives and dies with its process: the oracle, and for whoever only needs numbers of his own."""

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}

    def read(self, dimensions: Sequence[int]) -> Mapping[int, str]:
        """See `ItemTable.read`."""
        return {one: self._ids[one] for one in dimensions if one in self._ids}

    def insert(self, ids: Mapping[int, str]) -> None:
        """See `ItemTable.insert`."""
        for dimension, item_id in ids.items():
            self._ids.setdefault(dimension, item_id)

    def close(self) -> None:
        """See `ItemTable.close`."""


class ItemRegistry:
    """Dimensions by id and ids by dimension, from a table; the `cached_items_max` read last are kept in memory.

    Every method may raise `StoreUnavailableError`, after which it may be called again, and `StoreError`.
    """

    def __init__(self, table: ItemTable, cached_items_max: int = CACHED_ITEMS_MAX, probe: Probe = probe) -> None:
        self._table = table
        self._probe = probe
        self._cached_items_max = cached_items_max
        self._dimensions: dict[str, int] = {}
        self._ids: dict[int, str] = {}

    def dimensions(self, ids: Iterable[str]) -> Mapping[str, int]:
        """The dimension of each id, given to those that have none; durable when it returns.

        Raises:
            StoreError: every place of an id is taken.
        """
        wanted = dict.fromkeys(ids)
        found: dict[str, int] = {}
        # Each round gives an id a place, or finds that it was taken meanwhile, maybe by an id of the same call.
        for _ in range(PROBES_MAX):
            known, free = self._looked_up([one for one in wanted if one not in found])
            found |= known
            if not free:
                return found
            self._insert(free)
        raise StoreError(f"item ids could not be registered in {PROBES_MAX} rounds, such as {min(free)!r}")

    def known(self, ids: Iterable[str]) -> Mapping[str, int]:
        """The dimensions of those ids that have one; none is given."""
        return self._looked_up(list(dict.fromkeys(ids)))[0]

    def expected(self, ids: Iterable[str]) -> Mapping[str, int]:
        """The dimension of each id; of one that has none that which it would be given now. None is given."""
        known, free = self._looked_up(list(dict.fromkeys(ids)))
        return known | free

    def ids(self, dimensions: Iterable[int]) -> Mapping[int, str]:
        """The ids at these dimensions; a dimension that was never given is missing."""
        wanted = list(dict.fromkeys(dimensions))
        found = {one: self._ids[one] for one in wanted if one in self._ids}
        if missing := [one for one in wanted if one not in found]:
            read = self._table.read(missing)
            self._keep(read)
            found |= read
        return found

    def close(self) -> None:
        """Release the table."""
        self._table.close()

    def _looked_up(self, ids: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
        """The dimensions of known ids, and of the others the free ones where they belong."""
        known = {one: self._dimensions[one] for one in ids if one in self._dimensions}
        free: dict[str, int] = {}
        open_ = [one for one in ids if one not in known]
        for number in range(PROBES_MAX):
            if not open_:
                return known, free
            places = {one: self._probe(one, number) for one in open_}
            held = self._table.read(list(dict.fromkeys(places.values())))
            self._keep(held)
            known |= {one: at for one, at in places.items() if held.get(at) == one}
            free |= {one: at for one, at in places.items() if at not in held}
            open_ = [one for one in open_ if one not in known and one not in free]
        if open_:
            raise StoreError(
                f"item {open_[0]!r} finds no free dimension in {PROBES_MAX} probes: there are too many items, or "
                "the registry of items is not ours"
            )
        return known, free

    def _insert(self, free: Mapping[str, int]) -> None:
        rows: dict[int, str] = {}
        for item_id, dimension in free.items():
            rows.setdefault(dimension, item_id)
        places = list(rows)
        for start in range(0, len(places), INSERTED_MAX):
            self._table.insert({place: rows[place] for place in places[start : start + INSERTED_MAX]})
        held = self._table.read(places)
        if missing := [rows[place] for place in places if place not in held]:
            # Replicas may disagree for a moment, and the answer to a write says nothing of its condition.
            raise StoreUnavailableError(f"{len(missing)} new items are not in the registry yet, such as {missing[0]!r}")
        self._keep(held)

    def _keep(self, rows: Mapping[int, str]) -> None:
        for dimension, item_id in rows.items():
            self._ids[dimension] = item_id
            self._dimensions[item_id] = dimension
        while len(self._ids) > self._cached_items_max:
            oldest = next(iter(self._ids))
            del self._dimensions[self._ids.pop(oldest)]
