"""A store whose neighbours are found by one of its further vectors: a second ranking over the same states."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from recommender.profile import History, UserState
from recommender.store import NeighbourQuery, Neighbours, Page, Snapshot, StateWrite, Store, StoreSettings


class FurtherVectorStore:
    """All of `store`, but who asks by the main vector asks by the one of this `name`; a query may name another."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self.settings: StoreSettings = store.settings
        self.exclusive = store.exclusive

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        """See `Store.read`."""
        return self._store.read(user_ids, sources)

    def write(self, request: StateWrite) -> None:
        """See `Store.write`."""
        self._store.write(request)

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        """See `Store.nearest`."""
        return self._store.nearest([replace(query, using=query.using or self._name) for query in queries])

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        """See `Store.histories`."""
        return self._store.histories(ids)

    def states(self, ids: Sequence[int]) -> Mapping[int, UserState]:
        """See `Store.states`."""
        return self._store.states(ids)

    def scan(self, from_id: int | None, limit: int) -> Page:
        """See `Store.scan`."""
        return self._store.scan(from_id, limit)

    def flush(self) -> None:
        """See `Store.flush`."""
        self._store.flush()

    def remember_partitions(self, partitions: Mapping[str, int]) -> None:
        """See `Store.remember_partitions`."""
        self._store.remember_partitions(partitions)

    def remember_thinning(self, thinning: tuple[int, int]) -> None:
        """See `Store.remember_thinning`."""
        self._store.remember_thinning(thinning)

    def close(self) -> None:
        """See `Store.close`."""
        self._store.close()
