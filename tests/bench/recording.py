"""What the service asks of its engine for a backlog, kept call by call, and asked again without the rest.

The engine is Qdrant Edge's shard or, on a server, the stub of its gRPC service. Kept are the built requests: nothing of
ours runs between two calls of a replay. Reads by id (states, histories) and the scan for popularity are kept out,
because they are the price of the service's own design, not of upserts and queries.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from consumers import app
from consumers.membership import Membership
from consumers.settings import Settings
from consumers.source import KafkaSource
from consumers.stores.edge_shard import open_shard
from consumers.stores.server import ServerStore
from consumers.stores.server_connection import Connection
from consumers.stores.server_options import ServerOptions
from recommender.store import StoreSettings
from tests.bench.pipeline import Pipeline, pipeline

EDGE_CALLS = frozenset({"update", "query", "query_batch", "flush"})
SERVER_CALLS = frozenset({"UpdateBatch", "QueryBatch"})
WRITES = frozenset({"update", "UpdateBatch"})
STORE_PATIENCE_S = 10.0
SCAN_USERS = 2_000


class Call(NamedTuple):
    """One call of the engine."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(slots=True)
class Recording:
    """What a backlog asked of the engine, in how many batches, and how many lists came of it.

    The first `before` calls made the store what the backlog found.
    """

    calls: list[Call] = field(default_factory=list)
    before: int = 0
    batches: int = 0
    lists: int = 0

    def prepare(self, engine: Any) -> None:
        """Write what the backlog found."""
        for method, arguments in self.calls[: self.before]:
            if method in WRITES:
                getattr(engine, method)(*arguments)

    def replay(self, engine: Any) -> dict[str, float]:
        """Ask an engine that is prepared what the backlog asked, and return the seconds by method."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for method, arguments in self.calls[self.before :]:
            call = getattr(engine, method)
            begun = time.perf_counter()
            call(*arguments)
            seconds[method] += time.perf_counter() - begun
        return dict(seconds)


def replay_on_edge(recording: Recording, settings: StoreSettings, folder: Path) -> dict[str, float]:
    """Seconds by method of a shard in `folder`, which holds what the recorder's store held at first."""
    with closing(open_shard(folder, settings.value_rule, idf=settings.idf)) as shard:
        recording.prepare(shard)
        shard.flush()
        return recording.replay(shard)


def replay_on_server(recording: Recording, options: ServerOptions) -> dict[str, float]:
    """Seconds by method of raw gRPC calls to a server, which holds what the recorder's store held at first."""
    with closing(Connection(options)) as connection:
        recording.prepare(connection.points)
        return recording.replay(connection.points)


class _Tapped:
    """An engine that writes down what it is asked."""

    def __init__(self, engine: Any, methods: frozenset[str], calls: list[Call]) -> None:
        self._engine = engine
        self._methods = methods
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._engine, name)
        if name not in self._methods:
            return method

        def recorded(*arguments: Any, **options: Any) -> Any:
            self._calls.append(Call(name, arguments))
            return method(*arguments, **options)

        return recorded


class Recorder:
    """Takes the input topic as a worker would, batch by batch, and keeps what the engine is asked."""

    def __init__(self, service: Pipeline, source: KafkaSource, recording: Recording) -> None:
        self.recording = recording
        self._service = service
        self._source = source

    def count_users(self) -> None:
        """Count all stored users, which a worker does between batches."""
        while self._service.recommender.scan_slice(SCAN_USERS):
            pass

    def begin(self) -> None:
        """The backlog begins here; what was taken until now made the store."""
        kept = self.recording
        kept.before, kept.batches, kept.lists = len(kept.calls), 0, 0

    def take(self, events: int) -> None:
        """Take so many records."""
        while events > 0:
            batch = self._source.poll()
            if batch.records:
                self.recording.lists += len(self._service.take(batch))
                self.recording.batches += 1
                events -= len(batch.records)


@contextmanager
def record(settings: Settings) -> Iterator[Recorder]:
    """A recorder over the store that the settings name."""
    recording = Recording()
    with pipeline(settings) as service, ExitStack() as stack:
        store = service.store
        _tap(store, recording.calls)
        source = KafkaSource(
            settings.kafka.consumer_config() | {"group.id": settings.group},
            app._source_options(settings, store, {}, service.around),
            Membership(store, STORE_PATIENCE_S, service.handler.drop_caches),
        )
        stack.callback(source.close)
        yield Recorder(service, source, recording)


def _tap(store: Any, calls: list[Call]) -> None:
    if isinstance(store, ServerStore):
        points = cast("Any", store)._points
        points._stub = _Tapped(points._stub, SERVER_CALLS, calls)
    else:
        store._shard = _Tapped(store._shard, EDGE_CALLS, calls)
