"""A Qdrant server for several workers: the gRPC double in a process of its own, or the one that QDRANT_URL names.

The double is one Python process over Qdrant Edge that applies requests to a collection one at a time. A server that
`QDRANT_URL` names is asked with the key in `QDRANT_API_KEY`; what it spends is not ours to see.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import psutil
from qdrant_process import QdrantProcess

from consumers.settings import Settings
from consumers.settings_mapping import server_options
from consumers.store_opening import open_store
from consumers.stores.points import user_payload
from consumers.stores.server_connection import Connection
from recommender.profile import UserState
from tests.bench.population import SOURCE

URL_VARIABLE, KEY_VARIABLE = "QDRANT_URL", "QDRANT_API_KEY"
PAGE_USERS = 1_000


@dataclass(frozen=True, slots=True)
class SharedStore:
    """A server: the settings it is reached by, and its process where that is ours."""

    settings: dict[str, Any]
    process: psutil.Process | None = None

    @property
    def cpu_s(self) -> float | None:
        """Seconds of processors that it has spent; None where that cannot be seen."""
        if self.process is None:
            return None
        spent = self.process.cpu_times()
        return float(spent.user + spent.system)


def named_server() -> dict[str, Any] | None:
    """The settings that reach the server that the environment names; None where it names none."""
    url, key = os.environ.get(URL_VARIABLE), os.environ.get(KEY_VARIABLE)
    if not url:
        return None
    return {"store": "server", "url": url} | ({"api_key": key} if key else {})


@contextmanager
def shared_store() -> Iterator[SharedStore]:
    """A server that is there while the block runs."""
    if (named := named_server()) is not None:
        yield SharedStore(named)
        return
    with TemporaryDirectory(prefix="tastestream-bench-") as folder, QdrantProcess(Path(folder)) as double:
        yield SharedStore({"store": "server", "url": double.url}, psutil.Process(double.pid))


def drop_collection(settings: Settings) -> None:
    """Remove the collection of a deployment, which a server of others would keep."""
    with closing(Connection(server_options(settings))) as connection:
        connection.models.delete_collection(settings.collection)


def comparable_states(settings: Settings) -> dict[int, bytes]:
    """Every state of the store as it is written there, by point id, without what differs from run to run.

    That is its tag, which names the attempt to write it, and the id of the topic that its events come from.
    """
    found: dict[int, bytes] = {}
    with closing(open_store(settings)) as store:
        from_id: int | None = None
        while True:
            page = store.scan(from_id, PAGE_USERS)
            found |= {identity: _comparable(state) for identity, state in page.states}
            if (from_id := page.next_id) is None:
                return found


def _comparable(state: UserState) -> bytes:
    offsets = {_of_any_topic(source): offset for source, offset in state.offsets.items()}
    last = None if state.last_source is None else _of_any_topic(state.last_source)
    payload = user_payload(replace(state, tag=0, offsets=offsets, last_source=last))
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def _of_any_topic(source: str) -> str:
    return source if source == SOURCE else source.rpartition(":")[2]
