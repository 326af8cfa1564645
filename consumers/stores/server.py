"""A Qdrant server (1.19 or later) as a store, over gRPC, shared by any number of workers.

- A write is one ordered request: markers; then states where one of the expected tags stands; then states where there
  was no point. It waits, it is strongly ordered, and only COMPLETED counts.
- The store never retries: what an error leaves behind is repaired by the state protocol above, under a new tag.
- A point's version is its tag, as replicas count their points' own versions apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from consumers.stores.points import HISTORY, is_user, marker_offset, marker_payload, user_state
from consumers.stores.server_connection import Connection
from consumers.stores.server_messages import (
    EVERYTHING,
    insert_missing,
    only_fields,
    plain_point,
    update_tagged,
    upsert,
    user_point,
)
from consumers.stores.server_options import ServerOptions
from consumers.stores.server_points import ServerPoints
from consumers.stores.server_replicas import ReplicaReads
from consumers.stores.server_schema import add_indexes, add_vectors
from consumers.stores.server_settings import change_settings, open_collection, open_settings
from consumers.stores.stored_points import PointPage
from recommender.packing import unpack_history
from recommender.profile import History, UserState
from recommender.store import (
    NeighbourQuery,
    Neighbours,
    Page,
    Snapshot,
    StateWrite,
    StoreSettings,
    marker_id,
    point_id,
)

_HISTORY_ONLY = only_fields(HISTORY)


class ServerStore:
    """A store in one collection of a Qdrant server."""

    exclusive = False

    def __init__(self, options: ServerOptions, settings: StoreSettings) -> None:
        """Connect, and make the collection where there is none.

        Raises:
            StoreMismatchError: it was made with other settings, or is no store of ours.
            StoreUnavailableError: the server does not answer.
            StoreError: the server is too old, refuses the key, or its replication is not safe.
        """
        self._vector = settings.value_rule
        self._connection = Connection(options)
        self._points = ServerPoints(self._connection, options, self._vector)
        self._reads = ReplicaReads(self._points, options, self._vector)
        try:
            self._connection.refuse_old_server()
            open_collection(self._connection, options, self._vector, idf=settings.idf)
            self.settings = open_settings(self._connection, options, self._points, self._reads, settings)
            self._add_vectors(options, settings)
            add_indexes(self._connection, options)
        except BaseException:
            self.close()
            raise

    def _add_vectors(self, options: ServerOptions, wanted: StoreSettings) -> None:
        place = f"{self._connection.place}, collection {options.collection!r},"

        def grown(known: StoreSettings) -> StoreSettings:
            wanted.refuse_others(known, place)
            return replace(known, further={**known.further, **wanted.added_to(known)})

        add_vectors(self._connection, options, wanted.added_to(self.settings))
        self._change_settings(grown)

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        """See `Store.read`."""
        users = {point_id(user_id): user_id for user_id in user_ids}
        markers = {marker_id(source): source for source in sources}
        found = self._reads.read([*users, *markers], f"read {len(users)} users")
        return Snapshot(
            {users[i]: user_state(payload) for i, payload in found.items() if i in users},
            {markers[i]: marker_offset(payload) for i, payload in found.items() if i in markers},
            frozenset(users[i] for i in found if i in users and self._reads.is_disputed(i)),
        )

    def write(self, request: StateWrite) -> None:
        """See `Store.write`."""
        self.settings.refuse_unfit_writes(request.users)
        markers = [plain_point(marker_id(s), marker_payload(s, offset)) for s, offset in request.markers.items()]
        users = [self._reads.allowed(write) for write in request.users]
        points = [(user_point(write, self._vector), write) for write in users]
        updated = [point for point, write in points if write.tags]
        inserted = [point for point, write in points if write.missing]
        operations = []
        if markers:
            operations.append(upsert(markers))
        if updated:
            operations.append(update_tagged(updated, frozenset().union(*(write.tags for write in users))))
        if inserted:
            operations.append(insert_missing(inserted))
        if operations:
            self._points.update(operations, f"write {len(points)} users")

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        """See `Store.nearest`."""
        self.settings.refuse_unfit_queries(queries)
        return self._points.nearest(queries) if queries else []

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        """See `Store.histories`."""
        found = self._points.get(ids, _HISTORY_ONLY, f"read {len(ids)} histories")
        return {i: unpack_history(payload[HISTORY]) for i, payload in found.items() if HISTORY in payload}

    def states(self, ids: Sequence[int]) -> Mapping[int, UserState]:
        """See `Store.states`."""
        found = self._points.get(ids, EVERYTHING, f"read {len(ids)} states")
        return {i: user_state(payload) for i, payload in found.items() if is_user(payload)}

    def scan(self, from_id: int | None, limit: int) -> Page:
        """See `Store.scan`."""
        found, next_id = self._points.page(from_id, limit)
        return Page([(i, user_state(payload)) for i, payload in found.items() if is_user(payload)], next_id)

    def points(self, from_id: int | None, limit: int) -> PointPage:
        """See `PointStore.points`."""
        found, next_id = self._points.page_of_points(from_id, limit)
        return PointPage([point for point in found if is_user(point.payload)], next_id)

    def flush(self) -> None:
        """Nothing to do: every write waited until it was in the write-ahead log."""

    def remember_partitions(self, partitions: Mapping[str, int]) -> None:
        """See `Store.remember_partitions`."""
        self._change_settings(lambda known: known.with_partitions(partitions))

    def remember_thinning(self, thinning: tuple[int, int]) -> None:
        """See `Store.remember_thinning`."""
        self._change_settings(lambda known: replace(known, thinning=thinning))

    def raise_epoch(self, epoch: int) -> None:
        """See `LaterStore.raise_epoch`."""
        self._change_settings(lambda known: replace(known, epoch=max(known.epoch, epoch)))

    def _change_settings(self, change: Callable[[StoreSettings], StoreSettings]) -> None:
        self.settings = change_settings(self._points, self._reads, self.settings, change)

    def close(self) -> None:
        """See `Store.close`."""
        self._reads.close()
        self._connection.close()
