"""The exact in-memory store: dictionaries and dot products, the oracle every other store is tested against."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
from recommender.vector import DenseVector, SparseVector, Vector


@dataclass(frozen=True, slots=True)
class _Point:
    state: UserState
    vectors: Mapping[str, Vector]


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
        self.settings.refuse_unfit_writes(request.users)
        self._markers.update(request.markers)
        before = {write.user_id: self._points.get(point_id(write.user_id)) for write in request.users}
        for write in request.users:
            if _holds(write, before[write.user_id]):
                self._points[point_id(write.user_id)] = self._made(write)

    def _made(self, write: UserWrite) -> _Point:
        main = {} if write.vector is None else {self.settings.value_rule: write.vector}
        return _Point(write.state, {**main, **write.further})

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        """See `Store.nearest`."""
        self.settings.refuse_unfit_queries(queries)
        return [self._nearest(query) for query in queries]

    def _nearest(self, query: NeighbourQuery) -> Neighbours:
        name = query.using or self.settings.value_rule
        similarity = self._similarity(query.vector, name)
        scored = [
            (similarity(point.vectors[name]), -identity, point.state.tag)
            for identity, point in self._points.items()
            if name in point.vectors
            and identity != query.excluding
            and (query.where is None or query.where.matches(point.state))
        ]
        best = sorted((row for row in scored if row[0] > 0), reverse=True)[: query.limit]
        return Neighbours([-row[1] for row in best], [row[0] for row in best], [row[2] for row in best])

    def _similarity(self, vector: Vector, name: str) -> Callable[[Vector], float]:
        if isinstance(vector, DenseVector):
            return lambda other: float(vector.values.astype(np.float64) @ other.values)
        wanted = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
        if self._is_weighed(name):
            wanted = {index: value * self._idf(name, index) for index, value in wanted.items()}
        return lambda other: _dot(wanted, other)

    def _is_weighed(self, name: str) -> bool:
        further = self.settings.further
        return further[name].idf if name in further else self.settings.idf

    def _idf(self, name: str, index: int) -> float:
        """ln((n − df + ½) / (df + ½) + 1), over the points that have the vector."""
        vectors = [point.vectors[name] for point in self._points.values() if name in point.vectors]
        df = sum(isinstance(vector, SparseVector) and index in vector.indices for vector in vectors)
        return math.log((len(vectors) - df + 0.5) / (df + 0.5) + 1)

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        """See `Store.histories`."""
        found = {identity: self._points[identity].state for identity in ids if identity in self._points}
        return {identity: state.history for identity, state in found.items() if state.user_id is not None}

    def states(self, ids: Sequence[int]) -> Mapping[int, UserState]:
        """See `Store.states`."""
        return {identity: self._points[identity].state for identity in ids if identity in self._points}

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

    def remember_thinning(self, thinning: tuple[int, int]) -> None:
        """See `Store.remember_thinning`."""
        self.settings = replace(self.settings, thinning=thinning)

    def close(self) -> None:
        """Nothing to release."""


def _holds(write: UserWrite, point: _Point | None) -> bool:
    return write.missing if point is None else point.state.tag in write.tags


def _dot(wanted: Mapping[int, float], vector: Vector) -> float:
    if isinstance(vector, DenseVector):
        return 0.0
    shared = [
        (wanted[i], v) for i, v in zip(vector.indices.tolist(), vector.values.tolist(), strict=True) if i in wanted
    ]
    return float(np.sum([a * b for a, b in shared])) if shared else 0.0
