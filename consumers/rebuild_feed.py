"""The input topics as a rebuild reads them: from where its store stands up to what the group has committed.

It takes no place in the group and commits nothing. Records that workers have not committed yet may come too: a worker
that meets them again finds them applied and publishes their lists all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from consumers.cluster import ClusterError, Topic
from consumers.input_topics import record_of
from consumers.offsets import Offsets, Patience, watermarks
from consumers.records import GapError, Record
from consumers.settings import Settings
from producers.client_log import KAFKA_LOG

Key = tuple[str, int]
"""Topic and partition."""
Positions = Mapping[Key, int]

POLL_S = 0.2
_BUSY_GROUP = frozenset({KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID})


class GroupBusyError(ClusterError):
    """The group has members, and so its offsets cannot be set."""


@dataclass(frozen=True, slots=True)
class Targets:
    """How far to read, by partition (exclusive), and topics of which the group has committed nothing yet."""

    offsets: Positions
    new_topics: frozenset[str]


class RebuildFeed:
    """Reads records in order per partition; use as a context manager.

    Args:
        settings: which topics, whose group, how to reach them.
        topics: the input topics as the cluster has them.
    """

    def __init__(self, settings: Settings, topics: Mapping[str, Topic]) -> None:
        self._group = settings.group
        self._timeout_s = settings.kafka.request_timeout_s
        self._ids = {name: topics[name].topic_id for name in settings.input_topics}
        self.keys = [(name, number) for name in self._ids for number in range(topics[name].partitions)]
        self.next: dict[Key, int] = {}
        admin: dict[str, Any] = {**settings.kafka.client_config(), "logger": KAFKA_LOG}
        self._consumer = Consumer(
            {
                **settings.kafka.consumer_config(),
                "logger": KAFKA_LOG,
                "group.id": self._group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        patience = Patience(self._timeout_s, settings.limits.transaction_timeout_s + self._timeout_s)
        self._offsets = Offsets(self._consumer, AdminClient(admin), patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def source(self, key: Key) -> str:
        """The name of a partition in states and markers."""
        return f"{self._ids[key[0]]}:{key[1]}"

    def low(self, key: Key) -> int:
        """Where a partition begins."""
        return self._offsets.range_of(key)[0]

    def targets(self) -> Targets:
        """Up to what is committed; of topics that are new to the group up to their ends.

        Raises:
            SourceError: the brokers do not answer in time.
        """
        committed = self._offsets.committed(self.keys)
        known = {topic for (topic, _), offset in committed.items() if offset is not None}
        offsets = {key: self._end(key) if key[0] not in known else offset or 0 for key, offset in committed.items()}
        return Targets(offsets, frozenset(self._ids) - known)

    def start(self, positions: Positions) -> None:
        """Begin at these offsets, in every partition."""
        self.next = dict(positions)
        self._consumer.assign([TopicPartition(*key, offset) for key, offset in positions.items()])

    def lag(self, targets: Targets) -> int:
        """Records, at most, that are left to read."""
        return sum(max(0, offset - self.next[key]) for key, offset in targets.offsets.items())

    def records(self, records_max: int) -> list[Record]:
        """The next records, none after a short wait.

        Raises:
            GapError: what should come next is gone from its topic.
            ClusterError: a topic cannot be read.
        """
        first = self._consumer.poll(POLL_S)
        messages = [] if first is None else [first, *self._consumer.consume(records_max - 1, 0)]
        return [record for message in messages if (record := self._record(message)) is not None]

    def commit_for_the_group(self, topics: frozenset[str]) -> None:
        """Let the group begin, in topics that are new to it, where this feed stands.

        Raises:
            GroupBusyError: the group has members.
            ClusterError: the brokers refuse or do not answer.
        """
        wanted = [TopicPartition(*key, offset) for key, offset in self.next.items() if key[0] in topics]
        try:
            self._set_offsets(wanted)
        except KafkaException as error:
            names = ", ".join(sorted(topics))
            if error.args[0].code() in _BUSY_GROUP:
                raise GroupBusyError(
                    f"group {self._group} has committed nothing of {names}, and while it has members nobody else may: "
                    "stop its workers, then run this again; it goes on where it was"
                ) from error
            raise ClusterError(f"offsets of {names} cannot be set: {error.args[0].str()}") from error

    def _set_offsets(self, wanted: list[TopicPartition]) -> None:
        for partition in self._consumer.commit(offsets=wanted, asynchronous=False):
            if partition.error is not None:
                raise KafkaException(partition.error)

    def _end(self, key: Key) -> int:
        try:
            _, end = watermarks(self._consumer, key, self._timeout_s)
        except KafkaException as error:
            raise ClusterError(f"the end of {key[0]} cannot be found: {error.args[0].str()}") from error
        return end

    def _record(self, message: Message) -> Record | None:
        if (error := message.error()) is not None:
            self._check(error, message)
            return None
        record = record_of(message, self._ids)._replace(replayed=True)
        self.next[record.topic, record.partition] = record.offset + 1
        return record

    def _check(self, error: KafkaError, message: Message) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # librdkafka's own codes are named so
            # The last offsets of a partition may be a transaction's, which no record tells.
            key = (cast("str", message.topic()), cast("int", message.partition()))
            self.next[key] = max(self.next[key], cast("int", message.offset()))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001  # as above
            raise GapError(f"events were deleted from a topic before the rebuild had read them ({error.str()})")
        elif error.fatal() or not error.retriable():
            raise ClusterError(f"the input topics cannot be read: {error.str()}")
