"""The Kafka source of requests: a consumer and a group of its own, so that requests never wait behind ratings.

What is read of a request is its answer's business alone: there are no markers, and nothing is read again once its
offset is committed. A partition begins at its committed offset, without one at its beginning: a request sent before the
first worker started is answered, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, Message, TopicPartition

from consumers.offsets import GroupOffsets, Patience, SourceError, explained, refuse_lasting
from consumers.records import Batch, Record

ClientFactory = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class RequestSourceOptions:
    """What to read, and how much of it at a time."""

    topic: str
    batch_max_records: int = 64
    patience: Patience = field(default_factory=Patience)


class RequestSource:
    """Reads the requests as a member of their group."""

    def __init__(
        self, properties: Mapping[str, Any], options: RequestSourceOptions, consumer: ClientFactory = Consumer
    ) -> None:
        self._options = options
        self._held: set[tuple[str, int]] = set()
        self._assignments = 0
        self._consumer: Consumer = consumer(
            {
                **properties,
                "group.protocol": "consumer",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._explained = partial(explained, [options.topic], properties.get("group.id", ""))
        self._offsets = GroupOffsets(self._consumer, options.patience, self._explained)
        self._consumer.subscribe(
            [options.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    @property
    def held(self) -> frozenset[tuple[str, int]]:
        """The partitions held now, as (topic, partition)."""
        return frozenset(self._held)

    def poll(self, timeout_s: float) -> Batch:
        """The next requests, or an empty batch after `timeout_s`.

        Raises:
            SourceError: Kafka refuses.
        """
        first = self._consumer.poll(timeout_s)
        if first is None:
            return Batch()
        assignments = self._assignments
        rest = self._consumer.consume(self._options.batch_max_records - 1, 0)
        metadata = self._consumer.consumer_group_metadata()
        if self._assignments != assignments:
            # As with ratings: what left and came back between the two calls would be read twice.
            self.rewind()
            return Batch([], metadata)
        return Batch([r for message in (first, *rest) if (r := self._record(message)) is not None], metadata)

    def rewind(self) -> None:
        """Go back, in every held partition, to the group's committed offset.

        Raises:
            SourceError: the brokers do not answer in time.
        """
        for key, committed in self._offsets.committed(list(self._held)).items():
            start = self._offsets.low(key) if committed is None else committed
            try:
                self._consumer.seek(TopicPartition(*key, start))
            except KafkaException as error:
                raise SourceError(f"{key[0]} [{key[1]}] cannot be rewound: {error.args[0].str()}") from error

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _record(self, message: Message) -> Record | None:
        if (error := message.error()) is not None:
            refuse_lasting(error, self._explained)
            return None
        key = (cast("str", message.topic()), cast("int", message.partition()))
        if key not in self._held:
            # A partition that was revoked inside the very poll that returned its records: they are its new owner's.
            return None
        kind, timestamp = message.timestamp()
        return Record(
            topic=key[0],
            partition=key[1],
            offset=cast("int", message.offset()),
            source=f"{key[0]}:{key[1]}",
            key=message.key(),
            value=message.value(),
            headers=tuple(cast("list[tuple[str, bytes | None]]", message.headers() or [])),
            timestamp_ms=None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        )

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignments += 1
        self._held |= {(partition.topic, partition.partition) for partition in partitions}
        self._consumer.incremental_assign(partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignments += 1
        self._held -= {(partition.topic, partition.partition) for partition in partitions}
        self._consumer.incremental_unassign(partitions)
