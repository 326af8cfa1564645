"""Decoded profiles of neighbours, bounded in bytes, checked against the point's version at every use."""

from dataclasses import dataclass

from recommender.bounded_cache import BoundedCache
from recommender.item_index import Dense, ItemIndex
from recommender.profile import Floats, History, mean_rating

_OVERHEAD_BYTES = 400


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourProfile:
    """A neighbour's rated items in event-time order, shape (n,): dense numbers, and ratings minus their mean."""

    dense: Dense
    residuals: Floats

    @property
    def size_bytes(self) -> int:
        """What keeping it costs."""
        return self.dense.nbytes + self.residuals.nbytes + _OVERHEAD_BYTES


def decode_neighbour(history: History, index: ItemIndex) -> NeighbourProfile:
    """A history ready for ranking; residuals are on the catalogue's own scale."""
    rated = history.rated()
    mean = mean_rating(rated) or 0.0
    return NeighbourProfile(index.dense(rated.items), rated.ratings - mean)


class NeighbourCache:
    """Profiles by point id, the least recently used dropped first when they outgrow `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: BoundedCache[int, tuple[int, NeighbourProfile]] = BoundedCache(max_bytes)

    @property
    def size_bytes(self) -> int:
        """What all profiles cost together."""
        return self._entries.size_bytes

    def get(self, identity: int, version: int) -> NeighbourProfile | None:
        """The profile of this very version of the point, or None."""
        entry = self._entries.get(identity)
        return entry[1] if entry is not None and entry[0] == version else None

    def put(self, identity: int, version: int, profile: NeighbourProfile) -> None:
        """Keep a profile, if it fits at all."""
        self._entries.put(identity, (version, profile), profile.size_bytes)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
