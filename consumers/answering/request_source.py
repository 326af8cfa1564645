"""The Kafka source of requests: a consumer and a group of its own, so that requests never wait behind ratings.

What is read of a request is its answer's business alone: there are no markers. A partition begins at its committed
offset, without one at its beginning: a request sent before the first worker started is answered, too. From then on the
source itself knows what was answered, and asks the brokers nothing; what they are told, nobody waits for.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumers.consumed_messages import place_of, record_of
from consumers.offsets import SourceError, explained, refuse_lasting
from consumers.records import Batch, Record

TELL_AGAIN_S = 1.0
"""How long it takes until offsets that the brokers did not take are sent again."""

ClientFactory = Callable[[dict[str, Any]], Any]
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RequestSourceOptions:
    """What to read, and how much of it at a time."""

    topic: str
    batch_max_records: int = 64


class RequestSource:
    """Reads the requests as a member of their group."""

    def __init__(
        self, properties: Mapping[str, Any], options: RequestSourceOptions, consumer: ClientFactory = Consumer
    ) -> None:
        self._options = options
        self._held: set[Key] = set()
        self._assignments = 0
        self._next: dict[Key, int] = {}
        """The first request that is not answered, of the held partitions that any was read of."""
        self._untold: set[Key] = set()
        self._tell_at = 0.0
        self._consumer: Consumer = consumer(
            {
                **properties,
                "group.protocol": "consumer",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                "on_commit": self._on_commit,
            }
        )
        self._explained = partial(explained, [options.topic], properties.get("group.id", ""))
        self._consumer.subscribe(
            [options.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, timeout_s: float) -> Batch:
        """The next requests, or an empty batch after `timeout_s`.

        Raises:
            SourceError: Kafka refuses.
        """
        first = self._consumer.poll(timeout_s)
        if self._untold and time.monotonic() >= self._tell_at:
            self._tell()
        if first is None:
            return Batch()
        assignments = self._assignments
        records = self._records([first])
        records += self._records(self._consumer.consume(self._options.batch_max_records - 1, 0))
        if self._assignments != assignments:
            # As with ratings: what left and came back between the two calls would be read twice.
            self.rewind()
            return Batch()
        return Batch(records)

    def commit(self, next_offsets: Mapping[Key, int]) -> None:
        """Everything below these offsets is answered; the brokers are told, and nobody waits for them."""
        answered = {key: offset for key, offset in next_offsets.items() if key in self._held}
        self._next |= answered
        self._untold |= answered.keys()
        self._tell()

    def rewind(self) -> None:
        """Go back, in every held partition, to the first request that is not answered.

        Raises:
            SourceError: the client refuses.
        """
        for key, offset in self._next.items():
            try:
                self._consumer.seek(TopicPartition(*key, offset))
            except KafkaException as error:
                raise SourceError(f"{key[0]} [{key[1]}] cannot be rewound: {error.args[0].str()}") from error

    def close(self) -> None:
        """Leave the group, once it knows what was answered."""
        self._consumer.close()

    def _records(self, messages: Iterable[Message]) -> list[Record]:
        records = [record for message in messages if (record := self._record(message)) is not None]
        for record in records:
            self._next.setdefault((record.topic, record.partition), record.offset)
        return records

    def _record(self, message: Message) -> Record | None:
        if (error := message.error()) is not None:
            refuse_lasting(error, self._explained)
            return None
        topic, partition = key = place_of(message)
        if key not in self._held:
            # A partition that was revoked inside the very poll that returned its records: they are its new owner's.
            return None
        return record_of(message, f"{topic}:{partition}", committed=0)

    def _tell(self) -> None:
        offsets = [TopicPartition(*key, self._next[key]) for key in self._untold]
        self._untold.clear()
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], offsets)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        refused = {(tp.topic, tp.partition) for tp in partitions if error is not None or tp.error is not None}
        if refused := refused & self._next.keys():
            self._untold |= refused
            self._tell_at = time.monotonic() + TELL_AGAIN_S

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignments += 1
        self._held |= {(partition.topic, partition.partition) for partition in partitions}
        self._consumer.incremental_assign(partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._untold:
            self._tell()
        self._on_lost(consumer, partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignments += 1
        for partition in partitions:
            key = (partition.topic, partition.partition)
            self._held.discard(key)
            self._untold.discard(key)
            self._next.pop(key, None)
        self._consumer.incremental_unassign(partitions)
