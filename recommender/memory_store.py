"""The exact in-memory store: dictionaries and dot products, the oracle every other store is tested against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.profile import History, UserState
from recommender.store import (
    NeighbourQuery,
    Neighbours,
    Page,
    Snapshot,
    StateWrite,
    StoreSettings,
    UserWrite,
    point_id,
)
from recommender.vector import SparseVector


@dataclass(frozen=True, slots=True)
class _Point:
    state: UserState
    vector: SparseVector | None


class MemoryStore:
    """A store that lives and dies with its process."""

    exclusive = True

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self._points: dict[int, _Point] = {}
        self._markers: dict[str, int] = {}

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        """See `Store.read`."""
        found = {user_id: self._points.get(point_id(user_id)) for user_id in user_ids}
        return Snapshot(
            {user_id: point.state for user_id, point in found.items() if point},
            {source: self._markers[source] for source in sources if source in self._markers},
        )

    def write(self, request: StateWrite) -> None:
        """See `Store.write`."""
        self._markers.update(request.markers)
        before = {write.user_id: self._points.get(point_id(write.user_id)) for write in request.users}
        for write in request.users:
            if _holds(write, before[write.user_id]):
                self._points[point_id(write.user_id)] = _Point(write.state, write.vector)

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        """See `Store.nearest`."""
        return [self._nearest(query) for query in queries]

    def _nearest(self, query: NeighbourQuery) -> Neighbours:
        wanted = dict(zip(query.vector.indices.tolist(), query.vector.values.tolist(), strict=True))
        scored = [
            (_dot(wanted, point.vector), -identity, point.state.tag)
            for identity, point in self._points.items()
            if point.vector is not None and identity != query.excluding
        ]
        best = sorted((row for row in scored if row[0] > 0), reverse=True)[: query.limit]
        return Neighbours([-row[1] for row in best], [row[0] for row in best], [row[2] for row in best])

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        """See `Store.histories`."""
        found = {identity: self._points[identity].state for identity in ids if identity in self._points}
        return {identity: state.history for identity, state in found.items() if state.user_id is not None}

    def scan(self, from_id: int | None, limit: int) -> Page:
        """See `Store.scan`."""
        ids = sorted(identity for identity in self._points if identity >= (from_id or 0))
        states = [(identity, self._points[identity].state) for identity in ids[:limit]]
        return Page(states, ids[limit] if len(ids) > limit else None)

    def flush(self) -> None:
        """Nothing to do: memory is as durable as it gets."""

    def remember_partitions(self, partitions: Mapping[str, int]) -> None:
        """See `Store.remember_partitions`."""
        self.settings = self.settings.with_partitions(partitions)

    def close(self) -> None:
        """Nothing to release."""


def _holds(write: UserWrite, point: _Point | None) -> bool:
    return write.missing if point is None else point.state.tag in write.tags


def _dot(wanted: Mapping[int, float], vector: SparseVector) -> float:
    shared = [
        (wanted[i], v) for i, v in zip(vector.indices.tolist(), vector.values.tolist(), strict=True) if i in wanted
    ]
    return float(np.sum([a * b for a, b in shared])) if shared else 0.0
