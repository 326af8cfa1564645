"""The catalogue as a table that every worker keeps: the whole compacted topic of items, read to its end at the start.

- Outside the group: every worker reads every partition, from the beginning, and commits nothing (as Kafka Streams'
  GlobalKTable). The topic is the durable copy; nothing of it is written anywhere else.
- Nothing here stops the ratings: a topic that is missing or may not be read means lists without titles, a malformed
  record is left out, and both are said. Dead letters belong to the batch's transaction, and these records to no batch.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumers.catalogue_records import Taken, take
from consumers.item_ids import INTEGER_IDS, ItemIds
from consumers.metrics import Metrics
from producers.client_log import KAFKA_LOG
from recommender.catalogue import Catalogue
from recommender.store import StoreUnavailableError
from schemas.decode import WireRules

SLICE_RECORDS = 1_000
"""The most that is taken between two batches, so that a large change of the catalogue holds no rating up for long."""
_LOAD_POLL_S = 0.1
_PROGRESS_EVERY_S = 2.0
_LOGGED_MAX = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What is read, and how long the first reading may take."""

    topic: str
    rules: WireRules
    load_timeout_s: float = 60.0
    request_timeout_s: float = 10.0
    items: ItemIds = INTEGER_IDS


class CatalogueTable:
    """Keeps a catalogue as its topic has it."""

    def __init__(
        self,
        properties: Mapping[str, Any],
        options: TableOptions,
        catalogue: Catalogue,
        metrics: Metrics,
        consumer: Callable[[dict[str, Any]], Any] = Consumer,
    ) -> None:
        self._options = options
        self._catalogue = catalogue
        self._metrics = metrics
        self._refused = 0
        self._unread: set[int] = set()
        self._failed: set[int] = set()
        self._waiting: list[Message] = []
        self._is_away = False
        self._consumer: Consumer = consumer(
            {
                **properties,
                "logger": KAFKA_LOG,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
            }
        )

    def load(self, may_go_on: Callable[[], bool]) -> None:
        """Read the topic to its end, unless `may_go_on` says no or the time is up; the rest follows later."""
        begun = told_at = time.monotonic()
        self._unread = set(self._partitions())
        self._consumer.assign([TopicPartition(self._options.topic, n, OFFSET_BEGINNING) for n in self._unread])
        records = 0
        while (self._unread or self._waiting) and may_go_on():
            now = time.monotonic()
            if now - begun > self._options.load_timeout_s:
                log.warning(
                    "the catalogue is not read to its end yet: the rest follows between batches",
                    **self._state(),
                    limit="limits.catalogue_load_timeout_s",
                )
                return
            if now - told_at > _PROGRESS_EVERY_S:
                told_at = now
                log.info("reading the catalogue", records=records, **self._state())
            records += self._take(self._next(_LOAD_POLL_S))
        log.info("the catalogue is read", seconds=round(time.monotonic() - begun, 2), **self._state())

    def follow(self) -> None:
        """Take what came since, without waiting for more."""
        self._take(self._next(0))

    def close(self) -> None:
        """Read no more."""
        self._consumer.close()

    def _next(self, timeout_s: float) -> list[Message]:
        if self._waiting:
            time.sleep(timeout_s)
            return []
        # `consume` alone would wait for all the records or the whole time.
        first = self._consumer.poll(timeout_s)
        return [] if first is None else [first, *self._consumer.consume(SLICE_RECORDS - 1, 0)]

    def _partitions(self) -> list[int]:
        topic = self._options.topic
        try:
            found = self._consumer.list_topics(topic, self._options.request_timeout_s).topics[topic]
        except KafkaException as error:
            return self._without(error.args[0].str())
        return self._without(found.error.str()) if found.error is not None else list(found.partitions)

    def _without(self, why: str) -> list[int]:
        topic = self._options.topic
        log.warning(
            "there is no catalogue until the next start: lists have no titles, removed items are not left out",
            topic=topic,
            why=why,
            what_to_do=f"make it (`tastestream topics create`), allow Read on topic {topic!r}, or set topics.items=off",
        )
        return []

    def _take(self, messages: Iterable[Message]) -> int:
        for message in messages:
            error = message.error()
            if error is None:
                self._waiting.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # librdkafka's name
                self._unread.discard(message.partition() or 0)
            else:
                self._tell_error(message, error)
        return self._take_waiting() if self._waiting else 0

    def _take_waiting(self) -> int:
        records = self._waiting
        try:
            taken = take(self._catalogue, records, self._options.rules, self._options.items)
        except StoreUnavailableError as error:
            if not self._is_away:
                log.warning("the catalogue waits for the registry of items", records=len(records), error=str(error))
            self._is_away = True
            return 0
        self._waiting, self._is_away = [], False
        for message, one in zip(records, taken, strict=True):
            self._tell(message, one)
        self._metrics.catalogue_items(len(self._catalogue.items), len(self._catalogue.removed))
        return len(records)

    def _tell(self, message: Message, taken: Taken) -> None:
        if taken.unknown_fields:
            self._metrics.unknown_fields(taken.unknown_fields)
        if taken.refusal is None:
            return
        self._metrics.catalogue_refused(taken.refusal)
        self._refused += 1
        if self._refused <= _LOGGED_MAX:
            log.warning(
                "a record of the catalogue is left out",
                reason=taken.refusal,
                why=taken.why,
                topic=message.topic(),
                partition=message.partition(),
                offset=message.offset(),
            )
        if self._refused == _LOGGED_MAX:
            log.warning("further ones are only counted (tastestream_catalogue_refused_total)")

    def _tell_error(self, message: Message, error: KafkaError) -> None:
        partition = message.partition()
        if error.retriable() or partition is None or partition in self._failed:
            return
        self._failed.add(partition)
        self._unread.discard(partition)
        log.warning(
            "a partition of the catalogue cannot be read: it stays as it is until the next start",
            topic=self._options.topic,
            partition=partition,
            why=error.str(),
        )

    def _state(self) -> dict[str, int]:
        return {"items": len(self._catalogue.items), "removed": len(self._catalogue.removed)}
