"""The service's own path without Kafka: store, recommender and handler in this process, and records to feed them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

from confluent_kafka import murmur2

from consumers import app
from consumers.flushing import PacedFlush
from consumers.handler import Handler
from consumers.item_ids import INTEGER_IDS
from consumers.live_report import live_report
from consumers.pool_upkeep import PoolUpkeep
from consumers.records import Batch, Record
from consumers.settings import Settings
from consumers.store_opening import open_store
from consumers.surroundings import Surroundings
from recommender.recommender import Recommender
from recommender.store import Store
from schemas.messages import Message

STEPS = ("decode", "read", "write", "rank")
DEAD_LETTER_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a worker drives, put together as the service puts it together."""

    store: Store
    handler: Handler
    recommender: Recommender
    flush: PacedFlush
    around: Surroundings

    def take(self, batch: Batch) -> list[Message]:
        """One step without its transaction."""
        self.flush.wrote()
        messages = self.handler.handle(batch)
        self.handler.committed()
        self.flush.if_due()
        return messages


@contextmanager
def pipeline(settings: Settings) -> Iterator[Pipeline]:
    """A pipeline over the store that the settings name, which has to be empty."""
    with ExitStack() as stack:
        store = open_store(settings)
        stack.callback(store.close)
        around = app._surroundings(settings, stack)
        recommender = app._recommender(settings, store, around)
        lists = app._list_writer(settings, store, recommender.catalogue, INTEGER_IDS)
        live = live_report(settings, recommender, around.metrics, None)
        states = app._states(settings, store, recommender)
        # The pool as the store has it; nobody changes sides here.
        PoolUpkeep(store, states, recommender.known_users)
        handler = app._handler(settings, states, recommender, around, lists, DEAD_LETTER_MAX_BYTES, live)
        recommender.warm_up()
        recommender.scan_slice(settings.limits.scan_slice_users)
        flush = PacedFlush(store, settings.limits.flush_interval_s, around.metrics)
        yield Pipeline(store, handler, recommender, flush, around)


def step_seconds(service: Pipeline) -> dict[str, float]:
    """What the handler has spent by step since its start."""
    found = service.handler._metrics._steps
    return {name: cast("Any", found[cast("Any", name)])._sum.get() for name in STEPS}


def records(topic: str, messages: Iterable[Message], partitions: int) -> Iterator[Record]:
    """Messages as a consumer gets them, each from the partition that its key belongs to."""
    ends: Counter[int] = Counter()
    for message in messages:
        partition = murmur2(message.key or b"", partitions)
        source = f"{topic}-id:{partition}"
        yield Record(topic, partition, ends[partition], source, message.key, message.value)
        ends[partition] += 1


def batches(rows: Iterator[Record], size: int) -> Iterator[Batch]:
    """Records in batches of one size, the last one smaller."""
    while batch := list(islice(rows, size)):
        yield Batch(batch)
