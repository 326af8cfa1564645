"""Users' points as a store gives them back, vector and all: what a check of the store looks at, and no worker needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consumers.stores.points import Payload
from recommender.store import Store

StoredVector = tuple[tuple[int, float], ...]
"""(index, value) in order of the index, unchecked: what a check is there to find would not pass as a `SparseVector`."""


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A user's point; `vector` is None where it has none."""

    id: int
    payload: Payload
    vector: StoredVector | None


@dataclass(frozen=True, slots=True)
class PointPage:
    """A slice of all users' points in point id order; `next_id` is where to go on, None at the end."""

    points: Sequence[StoredPoint]
    next_id: int | None


class PointStore(Store, Protocol):
    """A store that shows its points."""

    def points(self, from_id: int | None, limit: int) -> PointPage:
        """A slice of all users, as `Store.scan`; each point's payload and vector are of one moment."""


def stored_vector(indices: Sequence[int], values: Sequence[float]) -> StoredVector:
    """The vector of these parallel sequences."""
    return tuple(sorted(zip(indices, values, strict=True)))
