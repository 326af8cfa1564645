"""What the service asks of Qdrant Edge for a backlog, kept call by call, and asked again without the rest.

Kept are the built requests: nothing of ours runs between two calls of a replay. Reads by id (states, histories) and the
scan for popularity are kept out, because they are the price of the service's own design, not of upserts and queries.
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
from consumers.settings_mapping import store_settings
from consumers.source import KafkaSource
from consumers.stores.edge_shard import open_shard
from recommender.store import StoreSettings
from tests.bench.pipeline import Pipeline, pipeline

REPLAYED = frozenset({"update", "query", "query_batch", "flush"})
STORE_PATIENCE_S = 10.0
SCAN_USERS = 2_000


class Call(NamedTuple):
    """One call of the engine's shard."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(slots=True)
class Recording:
    """What a backlog asked of the engine, in how many batches, and how many lists came of it.

    The first `before` calls made the store what the backlog found.
    """

    made_for: StoreSettings
    calls: list[Call] = field(default_factory=list)
    before: int = 0
    batches: int = 0
    lists: int = 0

    def replay(self, folder: Path) -> dict[str, float]:
        """Ask an empty shard in `folder` the same, and return the backlog's seconds by method."""
        shard = open_shard(folder, self.made_for.value_rule, idf=self.made_for.idf)
        seconds: defaultdict[str, float] = defaultdict(float)
        with closing(shard):
            for method, arguments in self.calls[: self.before]:
                if method == "update":
                    shard.update(*arguments)
            shard.flush()
            for method, arguments in self.calls[self.before :]:
                call = getattr(shard, method)
                begun = time.perf_counter()
                call(*arguments)
                seconds[method] += time.perf_counter() - begun
        return dict(seconds)


class _Shard:
    """A shard that writes down what it is asked."""

    def __init__(self, shard: Any, calls: list[Call]) -> None:
        self._shard = shard
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._shard, name)
        if name not in REPLAYED:
            return method

        def recorded(*arguments: Any) -> Any:
            self._calls.append(Call(name, arguments))
            return method(*arguments)

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
    """A recorder over an empty store of its own."""
    recording = Recording(store_settings(settings))
    with pipeline(settings) as service, ExitStack() as stack:
        store = service.store
        cast("Any", store)._shard = _Shard(cast("Any", store)._shard, recording.calls)
        source = KafkaSource(
            settings.kafka.consumer_config() | {"group.id": settings.group},
            app._source_options(settings, store, {}, service.around),
            Membership(store, STORE_PATIENCE_S, service.handler.drop_caches),
        )
        stack.callback(source.close)
        yield Recorder(service, source, recording)
