"""Reads topics from outside the group, as any consumer of ours would: committed records only, by nobody's offsets."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumers.cluster import ClusterError, missing_topics
from consumers.offsets import watermarks
from producers.client_log import KAFKA_LOG

_BATCH_RECORDS = 10_000
_POLL_S = 0.2


class TopicReader:
    """A reader of whole topics, without a place in any group; use as a context manager."""

    def __init__(self, properties: Mapping[str, Any], topics: Sequence[str], timeout_s: float) -> None:
        self._topics = topics
        self._timeout_s = timeout_s
        self._consumer = Consumer(
            {
                **properties,
                "logger": KAFKA_LOG,
                "group.id": "tastestream-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def to_the_end(self) -> Iterator[Message]:
        """Every record that stands in the topics now, in order per partition.

        Raises:
            ClusterError: the brokers do not answer in time.
        """
        return self.up_to({key: high for key, (_, high) in self.watermarks().items()})

    def watermarks(self) -> dict[tuple[str, int], tuple[int, int]]:
        """First offset and end (last + 1) by (topic, partition), as they are now.

        Raises:
            ClusterError: the brokers do not answer in time.
        """
        return {key: self._watermarks(*key) for key in self._partitions()}

    def up_to(self, ends: Mapping[tuple[str, int], int], *, until_decided: bool = False) -> Iterator[Message]:
        """Every record of these partitions below their ends, in order per partition, however fast more are appended.

        Records from the first open transaction on are not read, unless `until_decided` waits for it to end.

        Raises:
            ClusterError: the brokers do not answer in time.
        """
        unread = {key for key, end in ends.items() if end > 0}
        self._consumer.assign([TopicPartition(*key, OFFSET_BEGINNING) for key in unread])
        heard_at = time.monotonic()
        while unread:
            messages = self._consumer.consume(_BATCH_RECORDS, _POLL_S)
            if messages:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > self._timeout_s:
                raise ClusterError(f"the brokers sent nothing of {', '.join(self._topics)} for {self._timeout_s:g} s")
            for message in messages:
                key = (cast("str", message.topic()), cast("int", message.partition()))
                if _is_record(message):
                    offset = cast("int", message.offset())
                    if offset < ends[key]:
                        yield message
                    if offset >= ends[key] - 1:
                        unread.discard(key)
                elif _is_end(message) and not (until_decided and cast("int", message.offset()) < ends[key]):
                    unread.discard(key)

    def from_now_on(self, poll_s: float = _POLL_S) -> Iterator[Message | None]:
        """Every record that is committed after this call, as it comes; None when there was none for `poll_s`.

        Raises:
            ClusterError: the brokers do not answer in time.
        """
        self._consumer.assign([TopicPartition(*key, end) for key, (_, end) in self.watermarks().items()])
        return self._following(poll_s)

    def _following(self, poll_s: float) -> Iterator[Message | None]:
        while True:
            message = self._consumer.poll(poll_s)
            yield message if message is not None and _is_record(message) else None

    def _watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        # Asked for here, because the client finds OFFSET_END out only when it fetches, which may be too late.
        try:
            return watermarks(self._consumer, (topic, partition), self._timeout_s)
        except KafkaException as error:
            raise ClusterError(f"the end of {topic} cannot be found: {error.args[0].str()}") from error

    def _partitions(self) -> list[tuple[str, int]]:
        try:
            known = self._consumer.list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise ClusterError(f"{', '.join(self._topics)} cannot be read: {error.args[0].str()}") from error
        missing = [name for name in self._topics if name not in known or known[name].error is not None]
        if missing:
            raise ClusterError(missing_topics(missing))
        return [(name, partition) for name in self._topics for partition in known[name].partitions]


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001  # librdkafka's name


def _is_record(message: Message) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.fatal() or not (error.retriable() or _is_end(message)):
        raise ClusterError(f"a topic cannot be read: {error.str()}")
    return False
