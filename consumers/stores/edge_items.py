"""Item ids by dimension in a shard of Qdrant Edge of their own, beside the generations that all use them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import qdrant_edge as engine

from consumers.stores.edge_shard import check_space, engine_errors, open_shard
from consumers.stores.ownership import Ownership
from consumers.stores.points import UNUSED_VECTOR, item_id_in, item_payload

ITEMS_FOLDER = "items"


class EdgeItemTable:
    """A table in a folder of this machine, held by one process."""

    def __init__(self, folder: Path, disk_reserve_bytes: int) -> None:
        """Open the table in `folder`, or make it there.

        Raises:
            StoreBusyError: another process holds it.
            StoreError: it cannot be opened.
        """
        self._folder = folder
        self._reserve_bytes = disk_reserve_bytes
        self._ownership = Ownership(folder)
        try:
            self._shard = open_shard(folder, UNUSED_VECTOR)
        except BaseException:
            self._ownership.release()
            raise

    def read(self, dimensions: Sequence[int]) -> Mapping[int, str]:
        """See `ItemTable.read`."""
        with engine_errors("read items"):
            records = self._shard.retrieve(list(dimensions), with_payload=True, with_vector=False)
        return {int(record.id): item_id_in(record.payload or {}, str(self._folder)) for record in records}

    def insert(self, ids: Mapping[int, str]) -> None:
        """See `ItemTable.insert`; it is flushed, so that no state can come to the disk before its items."""
        check_space(self._folder, self._reserve_bytes)
        points = [engine.Point(dimension, {}, item_payload(item_id)) for dimension, item_id in ids.items()]
        with engine_errors("write items"):
            self._shard.update(engine.UpdateOperation.upsert_points(points, update_mode=engine.UpdateMode.InsertOnly))
            self._shard.flush()

    def close(self) -> None:
        """See `ItemTable.close`."""
        try:
            with engine_errors("close"):
                self._shard.close()
        finally:
            self._ownership.release()
