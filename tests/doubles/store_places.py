"""Places where stores of every kind live, so that one suite can hold all of them to the port."""

import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from consumers.stores.edge import EdgeStore
from consumers.stores.payload_indexes import PayloadIndex
from consumers.stores.server import ServerStore
from consumers.stores.server_connection import Connection
from consumers.stores.server_options import ServerOptions
from recommender.memory_store import MemoryStore
from recommender.store import Store, StoreSettings

SETTINGS = StoreSettings("movielens", 0.5, 5.0, "v1234")


class Place(ABC):
    """Where one store lives; opened again, it holds what it held."""

    def __init__(self) -> None:
        self.opened: list[Store] = []
        self.indexes: tuple[PayloadIndex, ...] = ()

    def open(self, settings: StoreSettings = SETTINGS) -> Store:
        store = self._opened(settings)
        self.opened.append(store)
        return store

    def reopen(self, settings: StoreSettings = SETTINGS) -> Store:
        self.shut()
        return self.open(settings)

    def shut(self) -> None:
        while self.opened:
            self.opened.pop().close()

    def remove(self) -> None:
        self.shut()

    @abstractmethod
    def _opened(self, settings: StoreSettings) -> Store: ...


class MemoryPlace(Place):
    def _opened(self, settings: StoreSettings) -> Store:
        return MemoryStore(settings)


class EdgePlace(Place):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def _opened(self, settings: StoreSettings) -> Store:
        return EdgeStore(self.folder, settings, 0, self.indexes)

    def remove(self) -> None:
        self.shut()
        shutil.rmtree(self.folder, ignore_errors=True)


class ServerPlace(Place):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.options = ServerOptions(
            url, f"contract-{uuid.uuid4().hex}", os.environ.get("QDRANT_API_KEY"), timeout_s=30.0, page_points_max=64
        )

    def _opened(self, settings: StoreSettings) -> Store:
        return ServerStore(replace(self.options, indexes=self.indexes), settings)

    def remove(self) -> None:
        self.shut()
        connection = Connection(self.options)
        connection.models.delete_collection(self.options.collection)
        connection.close()


NewPlace = Callable[[], Place]
