"""The port for stores: what the product asks of a vector database, and the exact in-memory store (the tests' oracle).

A store holds one point per user and one marker per source. Its writes are compare-and-set: a state is written only
where one of the expected tags stands, or, where the reader saw no point, only if there still is none. The reply
never says whether the condition held: read back.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import neg
from typing import Any, Protocol

from recommender.filters import UserFilter
from recommender.neighbour_pool import POINT_ID_BITS, NeighbourPool
from recommender.profile import History, UserState
from recommender.vector import SparseVector, Vector, VectorSpec

FORMAT_VERSION = 1


class StoreError(Exception):
    """The store cannot go on; the message says what to do."""


class StoreUnavailableError(StoreError):
    """The store did not answer or could not take the request now; a write may or may not have happened.

    `retry_after_s` is how long the store asks to be left alone, None where it does not say.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreBusyError(StoreError):
    """Another process holds the store, which serves one at a time."""


class StoreMismatchError(StoreError):
    """The store was made with other settings, or is no store of ours."""


class StoreFullError(StoreError):
    """There is too little room left to write safely."""


class StoreRestoredError(StoreError):
    """The store stands behind what was last written: it was restored under us."""


def point_id(user_id: str) -> int:
    """The id of a user's point: 63 bits of BLAKE2b, so that a forgotten user's id stands nowhere in the store."""
    return _hash63(user_id, b"tastestream.user")


def marker_id(source: str) -> int:
    """The id of a source's marker point."""
    return _hash63(source, b"tastestream.mark")


def settings_id() -> int:
    """The id of the point that holds the store's own settings."""
    return _hash63("settings", b"tastestream.sett")


def _hash63(text: str, purpose: bytes) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "big") >> (64 - POINT_ID_BITS)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What a store was made for; a process with other settings must not touch it.

    `epoch` and `partitions` (partition count by topic) belong to the store and are read from it. `idf`: a query's
    dimensions are weighed by ln((n − df + ½) / (df + ½) + 1), n users with a vector, df of them with that dimension, as
    the engine counts them. `further` named vectors may grow, each stays as it was made; a process that does not know
    one drops it from the points that it writes. `thinning` belongs to the store, too: everybody in the neighbour pool
    of the first has a vector, nobody outside that of the second, and between the two it depends on when they rated.
    """

    catalogue: str
    scale_min: float
    scale_max: float
    value_rule: str
    format_version: int = FORMAT_VERSION
    epoch: int = 1
    partitions: Mapping[str, int] = field(default_factory=dict)
    idf: bool = False
    further: Mapping[str, VectorSpec] = field(default_factory=dict)
    thinning: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.value_rule in self.further or "" in self.further:
            raise ValueError("a further vector needs a name of its own")

    @property
    def carriers(self) -> NeighbourPool:
        """Who must have a vector, whoever else has one."""
        return NeighbourPool(thinning=self.thinning[0])

    def refuse_others(self, stored: "StoreSettings", place: str) -> None:
        """Check settings found in a store against these.

        Raises:
            StoreMismatchError: they differ; says in what, and what to do.
        """
        for name in ("format_version", "catalogue", "scale_min", "scale_max", "value_rule", "idf"):
            ours, theirs = getattr(self, name), getattr(stored, name)
            if ours != theirs:
                raise StoreMismatchError(
                    f"the store at {place} was made with {name} = {theirs}, this process has {ours}: set it back, "
                    "or make a store with the new settings from the topics, with `tastestream rebuild`"
                )
        for name in self.further:
            if (known := stored.further.get(name, self.further[name])) != self.further[name]:
                raise StoreMismatchError(
                    f"the store at {place} was made with a vector {name!r} that is {known}, this process has one that "
                    f"is {self.further[name]}: set it back, or make a new store with `tastestream rebuild`"
                )

    def added_to(self, stored: "StoreSettings") -> Mapping[str, VectorSpec]:
        """The further vectors that settings found in a store lack."""
        return {name: spec for name, spec in self.further.items() if name not in stored.further}

    def refuse_unfit_writes(self, writes: Iterable["UserWrite"]) -> None:
        """Check the further vectors that are to be written.

        Raises:
            StoreError: the store has none of that name, or it is of another kind or length.
        """
        for write in writes:
            for name, vector in write.further.items():
                self._refuse_unfit(name, vector)

    def refuse_unfit_queries(self, queries: Iterable["NeighbourQuery"]) -> None:
        """Check the further vectors that are asked by; raises as `refuse_unfit_writes`."""
        for query in queries:
            if query.using is not None:
                self._refuse_unfit(query.using, query.vector)

    def _refuse_unfit(self, name: str, vector: Vector) -> None:
        spec = self.further.get(name)
        if spec is None:
            raise StoreError(f"the store has no vector {name!r}; beside the main one it has: {sorted(self.further)}")
        if not spec.fits(vector):
            raise StoreError(f"the store's vector {name!r} is {spec}, not {VectorSpec.of(vector)}")

    def document(self) -> dict[str, Any]:
        """Everything as plain values; what came later only where set, so that older settings stay as they were."""
        values = asdict(self)
        for name in ("idf", "further"):
            if not values[name]:
                del values[name]
        if not any(self.thinning):
            del values["thinning"]
        return values

    def with_partitions(self, partitions: Mapping[str, int]) -> "StoreSettings":
        """These settings with the partition counts of further topics.

        Raises:
            StoreMismatchError: a topic has another count here.
        """
        for topic, count in partitions.items():
            if (known := self.partitions.get(topic, count)) != count:
                raise StoreMismatchError(
                    f"topic {topic!r} has {count} partitions, the store was filled from {known}: users would be found "
                    "in other partitions than before; take a new topic, and `tastestream rebuild` from it"
                )
        return replace(self, partitions={**self.partitions, **partitions})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """States by user id and marker offsets by source; what is missing in the store is missing here.

    `disputed` users stand differently on different replicas: the state given must be written anew before it counts.
    """

    states: Mapping[str, UserState]
    markers: Mapping[str, int]
    disputed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UserWrite:
    """One user's new state, under the tags that may stand there; `missing`: there may be no point yet either.

    The point is replaced as a whole: a further vector that is not named here is gone.
    """

    user_id: str
    state: UserState
    vector: SparseVector | None
    tags: frozenset[int]
    missing: bool
    further: Mapping[str, Vector] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StateWrite:
    """One ordered request: the markers first, then the users under their conditions."""

    markers: Mapping[str, int]
    users: Sequence[UserWrite]


@dataclass(frozen=True, slots=True)
class NeighbourQuery:
    """The nearest users by dot product, best first, without the asking user's own point.

    Of all users, or of those who meet `where`; by the further vector `using`, or by the main one. Who has no such
    vector is not found.
    """

    vector: Vector
    limit: int
    excluding: int
    where: UserFilter | None = None
    using: str | None = None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Parallel lists, best first: point ids, similarities (> 0), and versions that change with the point."""

    ids: list[int]
    similarities: list[float]
    versions: list[int]

    @staticmethod
    def of(hits: Sequence[tuple[int, float, int]], query: NeighbourQuery) -> "Neighbours":
        """The answer to a query: hits (id, similarity, version), best first, as an engine found them."""
        ids, similarities, versions = map(list, zip(*hits, strict=True)) if hits else ([], [], [])
        if query.excluding in ids:
            own = ids.index(query.excluding)
            del ids[own], similarities[own], versions[own]
        kept = min(query.limit, bisect_left(similarities, 0.0, key=neg))
        return Neighbours(ids[:kept], similarities[:kept], versions[:kept])


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of the store in point id order; `next_id` is where to go on, None at the end."""

    states: Sequence[tuple[int, UserState]]
    next_id: int | None


class Store(Protocol):
    """What every store can do. Every method may raise `StoreError`."""

    settings: StoreSettings
    exclusive: bool
    """No other process can write to it, so a condition cannot lose and nothing need be read back."""

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        """The states of users and the markers of sources."""

    def write(self, request: StateWrite) -> None:
        """Apply a request; after an error it may have been applied wholly, partly or not at all."""

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        """The neighbours for each query, in order."""

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        """The histories of points; a point that is gone is missing."""

    def states(self, ids: Sequence[int]) -> Mapping[int, UserState]:
        """The states of points; a point that is gone is missing."""

    def scan(self, from_id: int | None, limit: int) -> Page:
        """A slice of all users, in point id order, from `from_id` on (None: the first)."""

    def flush(self) -> None:
        """Make everything written durable; returns when it is."""

    def remember_partitions(self, partitions: Mapping[str, int]) -> None:
        """Note the partition counts of topics this store has not seen yet in its settings.

        Raises:
            StoreMismatchError: a topic it has seen has another count now; nothing is noted.
        """

    def remember_thinning(self, thinning: tuple[int, int]) -> None:
        """Note in the store's settings who is in the neighbour pool; see `StoreSettings`."""

    def close(self) -> None:
        """Release the store; it cannot be used afterwards."""
