"""The stores that the ceiling is measured on: a population's, the same for every pass, of the service or of the engine.

On Edge it is filled once and copied; on a server it is filled anew each time under the same name, which the recorded
requests carry.
"""

import secrets
import shutil
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

    def make(self, settings: Settings) -> None:
        """Let the store of the settings hold the population and nothing else."""

    def replay(self, recording: Recording, settings: Settings) -> dict[str, float]:
        """Seconds by method of the engine alone, on a store made for it; `settings` are those of the recording."""

    def close(self, settings: Settings) -> None:
        """Leave nothing behind."""


class EdgeStores:
    """Stores of Qdrant Edge, each a copy of one that is filled in `folder`."""

    suffix = ""

    def __init__(self, population: Population, folder: Path) -> None:
        self.qdrant: dict[str, Any] = {}
        self._population = population
        self._filled = folder / "filled"

    def make(self, settings: Settings) -> None:
        """See `Stores.make`."""
        if not self._filled.exists():
            apart(fill, settings, self._population)
            shutil.copytree(settings.edge_folder, self._filled)
        else:
            shutil.copytree(self._filled, settings.edge_folder)

    def replay(self, recording: Recording, settings: Settings) -> dict[str, float]:
        """See `Stores.replay`."""
        with TemporaryDirectory(prefix="tastestream-bench-") as name:
            copy = Path(name, "store")
            shutil.copytree(self._filled, copy)
            return replay_on_edge(recording, store_settings(settings), copy)

    def close(self, _settings: Settings) -> None:
        """See `Stores.close`: the folder is its owner's."""


class ServerStores:
    """Collections of one name on a Qdrant server, of which there is one at a time."""

    suffix = "_on_server"

    def __init__(self, population: Population, server: dict[str, Any]) -> None:
        self.qdrant = {**server, "collection": f"bench-{secrets.token_hex(4)}"}
        self._population = population

    def make(self, settings: Settings) -> None:
        """See `Stores.make`."""
        drop_collection(settings)
        apart(fill, settings, self._population)

    def replay(self, recording: Recording, settings: Settings) -> dict[str, float]:
        """See `Stores.replay`."""
        self.make(settings)
        return replay_on_server(recording, server_options(settings))

    def close(self, settings: Settings) -> None:
        """See `Stores.close`."""
        drop_collection(settings)
