"""Item ids by dimension in a collection of their own on a Qdrant server, shared by all workers and all generations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from consumers.stores.points import UNUSED_VECTOR, item_id_in, item_payload
from consumers.stores.server_connection import Connection
from consumers.stores.server_messages import EVERYTHING, insert_missing, plain_point
from consumers.stores.server_options import ServerOptions
from consumers.stores.server_points import ServerPoints
from consumers.stores.server_settings import open_collection
from recommender.store import StoreMismatchError, settings_id

ITEMS_SUFFIX = "_items"


class ServerItemTable:
    """A table in the collection that is named after the users' one."""

    def __init__(self, options: ServerOptions) -> None:
        """Connect, and make the collection where there is none; `options` are those of the users' collection.

        Raises:
            StoreMismatchError: the collection holds users.
            StoreUnavailableError: the server does not answer.
            StoreError: the server is too old, refuses the key, or its replication is not safe.
        """
        options = replace(options, collection=options.collection + ITEMS_SUFFIX, indexes=())
        self._connection = Connection(options)
        self._points = ServerPoints(self._connection, options, UNUSED_VECTOR)
        self._place = f"{self._connection.place}, collection {options.collection!r}"
        try:
            self._connection.refuse_old_server()
            open_collection(self._connection, options, UNUSED_VECTOR)
            self._refuse_users()
        except BaseException:
            self.close()
            raise

    def read(self, dimensions: Sequence[int]) -> Mapping[int, str]:
        """See `ItemTable.read`; on a replicated collection what most replicas do not hold yet is missing."""
        found = self._points.get(dimensions, EVERYTHING, f"read {len(dimensions)} items")
        return {dimension: item_id_in(payload, self._place) for dimension, payload in found.items()}

    def insert(self, ids: Mapping[int, str]) -> None:
        """See `ItemTable.insert`."""
        points = [plain_point(dimension, item_payload(item_id)) for dimension, item_id in ids.items()]
        self._points.update([insert_missing(points)], f"register {len(points)} items")

    def close(self) -> None:
        """See `ItemTable.close`."""
        self._connection.close()

    def _refuse_users(self) -> None:
        if self._points.get([settings_id()], EVERYTHING, "look what the collection holds"):
            raise StoreMismatchError(
                f"{self._place}, holds users, and this deployment would register its items there: rename one "
                "(qdrant.collection, namespace)"
            )
