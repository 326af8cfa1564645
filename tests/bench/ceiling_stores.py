"""The stores that the ceiling is measured on: a population's, the same for every pass, of the service or of the engine.

On Edge it is filled once and copied; on a server it is filled anew each time, and nothing of it is left there.
"""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from consumers.settings import Settings
from consumers.settings_mapping import server_options, store_settings
from tests.bench.apart import apart
from tests.bench.population import Population, fill
from tests.bench.recording import Recording, replay_on_edge, replay_on_server
from tests.bench.shared_store import drop_collection


class Stores(Protocol):
    """Makes the same store again and again; `suffix` tells its figures from those of the other kind."""

    suffix: str

    @property
    def qdrant(self) -> dict[str, Any]:
        """The section of settings that names the store."""

    def made(self, settings: Settings) -> AbstractContextManager[None]:
        """The store of the settings holds the population, and nothing else, as the block begins."""

    def replay(self, recording: Recording, settings: Settings) -> dict[str, float]:
        """Seconds by method of the engine alone, on a store made for it; `settings` are those of the recording."""


class EdgeStores:
    """Stores of Qdrant Edge, each a copy of one that is filled in `folder`."""

    suffix = ""

    def __init__(self, population: Population, folder: Path) -> None:
        self.qdrant: dict[str, Any] = {}
        self._population = population
        self._filled = folder / "filled"

    @contextmanager
    def made(self, settings: Settings) -> Iterator[None]:
        """See `Stores.made`."""
        if not self._filled.exists():
            apart(fill, settings, self._population)
            shutil.copytree(settings.edge_folder, self._filled)
        else:
            shutil.copytree(self._filled, settings.edge_folder)
        yield

    def replay(self, recording: Recording, settings: Settings) -> dict[str, float]:
        """See `Stores.replay`."""
        with TemporaryDirectory(prefix="tastestream-bench-") as name:
            copy = Path(name, "store")
            shutil.copytree(self._filled, copy)
            return replay_on_edge(recording, store_settings(settings), copy)


class ServerStores:
    """Collections on a Qdrant server, each removed after its pass."""

    suffix = "_on_server"

    def __init__(self, population: Population, server: dict[str, Any]) -> None:
        self.qdrant = server
        self._population = population

    @contextmanager
    def made(self, settings: Settings) -> Iterator[None]:
        """See `Stores.made`."""
        try:
            apart(fill, settings, self._population)
            yield
        finally:
            drop_collection(settings)

    def replay(self, recording: Recording, settings: Settings) -> dict[str, float]:
        """See `Stores.replay`."""
        with self.made(settings):
            return replay_on_server(recording, server_options(settings))
