"""The collection on a server and the point in it that holds the store's settings; several workers may start at once."""

from collections.abc import Callable
from dataclasses import replace

import grpc
from qdrant_client import models

from consumers.stores.points import settings_payload, settings_tag, stored_settings
from consumers.stores.server_connection import Connection
from consumers.stores.server_messages import insert_missing, plain_point, update_tagged
from consumers.stores.server_options import Replication, ServerOptions
from consumers.stores.server_points import ServerPoints
from consumers.stores.server_replicas import ReplicaReads
from consumers.stores.server_schema import modifier
from recommender.store import StoreError, StoreMismatchError, StoreSettings, StoreUnavailableError, settings_id

ATTEMPTS_MAX = 10


def open_collection(connection: Connection, options: ServerOptions, vector: str, *, idf: bool = False) -> None:
    """Make the collection where there is none, with one sparse vector alone.

    Raises:
        StoreError: its replication, wanted or found, is not safe.
    """
    with connection.errors(f"look for collection {options.collection!r}"):
        exists = connection.models.collection_exists(options.collection)
    if not exists:
        options.refuse_unsafe(options.replication)
        _create(connection, options, vector, idf=idf)
    refuse_unsafe_collection(connection, options)


def refuse_unsafe_collection(connection: Connection, options: ServerOptions) -> None:
    """Check the replication of a collection that is there; what the settings would make of a new one does not count.

    Raises:
        StoreError: it is not safe.
    """
    params = _params(connection, options)
    copies, writes = params.replication_factor or 1, params.write_consistency_factor or 1
    try:
        options.refuse_unsafe(Replication(copies, writes, options.read_consistency))
    except StoreError as error:
        raise StoreError(f"collection {options.collection!r} at {connection.place}: {error}") from None


def _create(connection: Connection, options: ServerOptions, vector: str, *, idf: bool) -> None:
    main = models.SparseVectorParams(modifier=modifier(idf))
    with connection.errors(f"create collection {options.collection!r}"):
        try:
            connection.models.create_collection(
                options.collection,
                vectors_config={},
                sparse_vectors_config={vector: main},
                shard_number=options.shards,
                replication_factor=options.replication_factor,
                write_consistency_factor=options.write_consistency_factor,
            )
        except grpc.RpcError:
            # Another worker that starts at the same moment may have been faster.
            if not connection.models.collection_exists(options.collection):
                raise


def _params(connection: Connection, options: ServerOptions) -> models.CollectionParams:
    with connection.errors(f"read how collection {options.collection!r} was made"):
        return connection.models.get_collection(options.collection).config.params


def open_settings(
    connection: Connection, options: ServerOptions, points: ServerPoints, reads: ReplicaReads, wanted: StoreSettings
) -> StoreSettings:
    """The settings found in the collection; in an empty one those wanted are written first.

    Raises:
        StoreMismatchError: they are others, or the collection is none of ours.
    """
    place = f"{connection.place}, collection {options.collection!r},"
    stored = _read(reads)
    if stored is None:
        if _is_fit(connection, options, wanted):
            point = plain_point(settings_id(), settings_payload(replace(wanted, further={})))
            points.update([insert_missing([point])], "write the settings")
        stored = _read(reads)
    if stored is None:
        raise StoreMismatchError(
            f"the store at {place} is no store of ours: it holds other points, or has no sparse vector "
            f"{wanted.value_rule!r}{', weighed by idf' if wanted.idf else ''}; choose another collection"
        )
    wanted.refuse_others(stored, place)
    return stored


def change_settings(
    points: ServerPoints,
    reads: ReplicaReads,
    known: StoreSettings,
    change: Callable[[StoreSettings], StoreSettings],
) -> StoreSettings:
    """Change the stored settings by compare-and-set; returns them as stored.

    Raises:
        StoreMismatchError: the change is refused by what is stored.
        StoreUnavailableError: others changed the settings at each attempt.
    """
    for _ in range(ATTEMPTS_MAX):
        changed = change(known)
        if changed == known:
            return known
        point = plain_point(settings_id(), settings_payload(changed))
        tags = {settings_tag(known), *reads.tags_at(settings_id())}
        points.update([update_tagged([point], tags)], "change the settings")
        stored = _read(reads)
        if stored is None:
            raise StoreMismatchError("the store's settings are gone: somebody deleted them; restore the collection")
        known = stored
    raise StoreUnavailableError(f"the settings could not be changed in {ATTEMPTS_MAX} attempts: others do too")


def _is_fit(connection: Connection, options: ServerOptions, wanted: StoreSettings) -> bool:
    main = (_params(connection, options).sparse_vectors or {}).get(wanted.value_rule)
    if main is None or main.modifier != modifier(wanted.idf):
        return False
    with connection.errors("count points"):
        return connection.models.count(options.collection, exact=True).count == 0


def _read(reads: ReplicaReads) -> StoreSettings | None:
    found = reads.read([settings_id()], "read the settings").get(settings_id())
    return None if found is None else stored_settings(found)
