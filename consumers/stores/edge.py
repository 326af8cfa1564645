"""Qdrant Edge in this process: one shard in one folder, owned by one process that holds all partitions.

Edge validates nothing and fsyncs only in `flush`. So vectors come validated (`recommender.vector`), and free space is
checked before every write: a full disk ends the process with SIGBUS, which nothing can catch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import qdrant_edge as engine

from consumers.stores.edge_log import EdgeLog, bytes_max
from consumers.stores.edge_messages import nearest_request, neighbours, user_point
from consumers.stores.edge_shard import add_indexes, add_vectors, check_space, engine_errors, open_shard
from consumers.stores.ownership import Ownership
from consumers.stores.payload_indexes import PayloadIndex
from consumers.stores.points import (
    HISTORY,
    TAG,
    Payload,
    is_user,
    marker_offset,
    marker_payload,
    settings_payload,
    stored_settings,
    user_state,
)
from consumers.stores.stored_points import PointPage, StoredPoint, StoredVector, stored_vector
from recommender.packing import unpack_history
from recommender.profile import History, UserState
from recommender.store import (
    NeighbourQuery,
    Neighbours,
    Page,
    Snapshot,
    StateWrite,
    StoreMismatchError,
    StoreSettings,
    UserWrite,
    marker_id,
    point_id,
    settings_id,
)

DISK_RESERVE_BYTES = 256 * 1024 * 1024


class EdgeStore:
    """A store in a folder of this machine."""

    exclusive = True

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings,
        disk_reserve_bytes: int = DISK_RESERVE_BYTES,
        indexes: Sequence[PayloadIndex] = (),
    ) -> None:
        """Open the store in `folder`, or make it there.

        Raises:
            StoreMismatchError: it was made with other settings.
            StoreBusyError: another process holds it.
            StoreError: it cannot be opened.
        """
        self._folder = folder
        self._reserve_bytes = disk_reserve_bytes
        self._vector = settings.value_rule
        self._ownership = Ownership(folder)
        try:
            self._shard = open_shard(folder, settings.value_rule, idf=settings.idf)
        except BaseException:
            self._ownership.release()
            raise
        self._log = EdgeLog(folder)
        try:
            self.settings = self._own_settings(settings)
            add_indexes(self._shard, indexes)
        except BaseException:
            self._close_shard()
            raise

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        """See `Store.read`."""
        users = {point_id(user_id): user_id for user_id in user_ids}
        markers = {marker_id(source): source for source in sources}
        with engine_errors("read"):
            records = self._shard.retrieve([*users, *markers], with_payload=True, with_vector=False)
        found = _payloads(records)
        return Snapshot(
            {users[i]: user_state(payload) for i, payload in found.items() if i in users},
            {markers[i]: marker_offset(payload) for i, payload in found.items() if i in markers},
        )

    def write(self, request: StateWrite) -> None:
        """See `Store.write`."""
        check_space(self._folder, self._reserve_bytes)
        self.settings.refuse_unfit_writes(request.users)
        if self._log.has_room(bytes_max(request)):
            self._apply(request)
            return
        with engine_errors("flush"):
            self._shard.flush()
        self._apply(request)
        self._log.settle()

    def _apply(self, request: StateWrite) -> None:
        updated = [write for write in request.users if write.tags]
        inserted = [write for write in request.users if write.missing]
        markers = [
            engine.Point(marker_id(source), {}, marker_payload(source, offset))
            for source, offset in request.markers.items()
        ]
        with engine_errors("write"):
            if markers:
                self._shard.update(engine.UpdateOperation.upsert_points(markers))
            if updated:
                self._shard.update(self._conditional(updated))
            if inserted:
                self._shard.update(
                    engine.UpdateOperation.upsert_points(
                        [user_point(write, self._vector) for write in inserted],
                        update_mode=engine.UpdateMode.InsertOnly,
                    )
                )

    def _conditional(self, writes: Sequence[UserWrite]) -> engine.UpdateOperation:
        tags = sorted(frozenset().union(*(write.tags for write in writes)))
        return engine.UpdateOperation.upsert_points(
            [user_point(write, self._vector) for write in writes],
            condition=engine.Filter(must=[engine.FieldCondition(TAG, match=engine.MatchAny(tags))]),
            update_mode=engine.UpdateMode.UpdateOnly,
        )

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        """See `Store.nearest`."""
        self.settings.refuse_unfit_queries(queries)
        requests = [nearest_request(query, self._vector) for query in queries]
        with engine_errors("query"):
            if len(requests) == 1:
                answers = [self._shard.query(requests[0])]
            else:
                answers = self._shard.query_batch(engine.QueryBatchRequest(requests))
        return [neighbours(found, query) for found, query in zip(answers, queries, strict=True)]

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        """See `Store.histories`."""
        with engine_errors("read histories"):
            records = self._shard.retrieve(list(ids), with_payload=[HISTORY], with_vector=False)
        return {i: unpack_history(payload[HISTORY]) for i, payload in _payloads(records).items() if payload}

    def states(self, ids: Sequence[int]) -> Mapping[int, UserState]:
        """See `Store.states`."""
        with engine_errors("read states"):
            records = self._shard.retrieve(list(ids), with_payload=True, with_vector=False)
        return {i: user_state(payload) for i, payload in _payloads(records).items() if is_user(payload)}

    def scan(self, from_id: int | None, limit: int) -> Page:
        """See `Store.scan`."""
        records, next_id = self._scrolled(from_id, limit, with_vector=False)
        return Page(
            [(i, user_state(payload)) for i, payload in _payloads(records).items() if is_user(payload)], next_id
        )

    def points(self, from_id: int | None, limit: int) -> PointPage:
        """See `PointStore.points`."""
        records, next_id = self._scrolled(from_id, limit, with_vector=True)
        users = [(_number(record.id), record.payload or {}, record.vector) for record in records]
        return PointPage([StoredPoint(i, p, self._vector_in(v)) for i, p, v in users if is_user(p)], next_id)

    def _scrolled(
        self, from_id: int | None, limit: int, *, with_vector: bool
    ) -> tuple[Sequence[engine.Record], int | None]:
        request = engine.ScrollRequest(offset=from_id, limit=limit, with_payload=True, with_vector=with_vector)
        with engine_errors("scan"):
            records, next_id = self._shard.scroll(request)
        return records, None if next_id is None else _number(next_id)

    def _vector_in(self, vectors: object) -> StoredVector | None:
        found = vectors.get(self._vector) if isinstance(vectors, dict) else None
        return None if found is None else stored_vector(found.indices, found.values)

    def flush(self) -> None:
        """See `Store.flush`.

        Raises:
            StoreFullError: less than the reserve is free on the disk.
        """
        check_space(self._folder, self._reserve_bytes)
        with engine_errors("flush"):
            self._shard.flush()

    def remember_partitions(self, partitions: Mapping[str, int]) -> None:
        """See `Store.remember_partitions`."""
        merged = self.settings.with_partitions(partitions)
        if merged != self.settings:
            self.settings = merged
            self._write_settings()

    def remember_thinning(self, thinning: tuple[int, int]) -> None:
        """See `Store.remember_thinning`."""
        self.settings = replace(self.settings, thinning=thinning)
        self._write_settings()

    def raise_epoch(self, epoch: int) -> None:
        """See `LaterStore.raise_epoch`."""
        if epoch > self.settings.epoch:
            self.settings = replace(self.settings, epoch=epoch)
            self._write_settings()

    def optimize(self) -> None:
        """Let the engine tidy its segments; blocks while it does."""
        with engine_errors("optimize"):
            self._shard.optimize()

    def close(self) -> None:
        """See `Store.close`."""
        try:
            with engine_errors("flush"):
                self._shard.flush()
        finally:
            self._close_shard()

    def _close_shard(self) -> None:
        try:
            with engine_errors("close"):
                self._shard.close()
        finally:
            self._ownership.release()

    def _own_settings(self, wanted: StoreSettings) -> StoreSettings:
        stored = self._stored_settings()
        if stored is not None:
            wanted.refuse_others(stored, str(self._folder))
        elif self._shard.info().points_count:
            raise StoreMismatchError(f"the Qdrant Edge shard at {self._folder} holds points but is no store of ours")
        known = stored or replace(wanted, further={})
        added = wanted.added_to(known)
        if stored is None or added:
            add_vectors(self._shard, added)
            self.settings = replace(known, further={**known.further, **added})
            self._write_settings()
            return self.settings
        return stored

    def _stored_settings(self) -> StoreSettings | None:
        with engine_errors("read settings"):
            records = self._shard.retrieve([settings_id()], with_payload=True, with_vector=False)
        return stored_settings(records[0].payload or {}) if records else None

    def _write_settings(self) -> None:
        payload: Payload = settings_payload(self.settings)
        with engine_errors("write settings"):
            self._shard.update(engine.UpdateOperation.upsert_points([engine.Point(settings_id(), {}, payload)]))
            self._shard.flush()


def _payloads(records: Sequence[engine.Record]) -> dict[int, Payload]:
    return {_number(record.id): record.payload or {} for record in records}


def _number(identity: int | UUID | str) -> int:
    if not isinstance(identity, int):
        raise StoreMismatchError(f"the store holds a point {identity}, which is none of ours: give it its own folder")
    return identity
