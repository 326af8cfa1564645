"""What the brokers know of the input: topic ids, partition counts, committed offsets, where a partition begins.

A question is asked again while the brokers are away, or while the offsets of a worker that died in its commit are
pending, until the brokers have aborted its transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import stamina
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, TopicDescription

REFUSALS = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001  # librdkafka's own codes are named so
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
_OF_MEMBERS = frozenset({"group.protocol", "group.remote.assignor"})
Answer = TypeVar("Answer")


class SourceError(Exception):
    """Kafka cannot be read as things stand; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one question may take, and for how long it is asked again, both in seconds.

    An assignment asks several, one after the other: `alive` is called before each, as a sign of life, and `waits` each
    time there was no answer; it may raise.
    """

    request_timeout_s: float = 10.0
    recovery_limit_s: float = 25.0
    alive: Callable[[], None] = lambda: None
    waits: Callable[[], None] = lambda: None


class Offsets:
    """Asks for a group; every method raises `SourceError` when there is no answer in time.

    `consumer` has the group's id and is no member of it: a member's question carries the member's epoch, and one that
    an assignment has just made stale is not answered in time. An `AdminClient` is no way either (measured, librdkafka
    2.16): where the coordinator moved or is loading, as after an outage, its question ends the process.
    """

    def __init__(
        self,
        consumer: Consumer,
        admin: AdminClient,
        patience: Patience,
        explained: Callable[[KafkaError], str] = KafkaError.str,
    ) -> None:
        self._consumer = consumer
        self._admin = admin
        self._timeout_s = patience.request_timeout_s
        self._alive, self._waits = patience.alive, patience.waits
        self._explained = explained
        self._again = stamina.retry(on=_may_pass, attempts=None, timeout=patience.recovery_limit_s, wait_max=1.0)

    def topics(self, names: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Id and number of partitions by topic."""
        found = self._asked("the input topics", self._described, names)
        return {name: (str(topic.topic_id), len(topic.partitions)) for name, topic in found.items()}

    def committed(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int | None]:
        """The group's committed offset by (topic, partition); None where there is none."""
        found = self._asked("the committed offsets", self._committed, keys) if keys else []
        return {(tp.topic, tp.partition): None if tp.offset < 0 else tp.offset for tp in found}

    def range_of(self, key: tuple[str, int]) -> tuple[int, int]:
        """Where a partition begins and ends."""
        return self._asked(f"the beginning of {key[0]}", self._range_of, key)

    def _described(self, names: Sequence[str]) -> dict[str, TopicDescription]:
        futures = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=self._timeout_s)
        return {name: future.result() for name, future in futures.items()}

    def _committed(self, keys: Sequence[tuple[str, int]]) -> list[TopicPartition]:
        return _without_errors(self._consumer.committed([TopicPartition(*key) for key in keys], self._timeout_s))

    def _range_of(self, key: tuple[str, int]) -> tuple[int, int]:
        return self._consumer.get_watermark_offsets(TopicPartition(*key), self._timeout_s)

    def _asked(self, what: str, ask: Callable[[Any], Answer], argument: Any) -> Answer:
        def ask_now() -> Answer:
            try:
                return ask(argument)
            except KafkaException:
                self._waits()
                raise

        self._alive()
        try:
            return self._again(ask_now)()
        except KafkaException as error:
            raise SourceError(f"{what} cannot be read: {self._explained(error.args[0])}") from error


def _without_errors(found: list[TopicPartition]) -> list[TopicPartition]:
    for partition in found:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return found


def asking_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Of the consumer that asks for a group and is no member of it: those of a member, without what makes it one.

    What it would log, nobody polls for; what matters of it comes as errors.
    """
    own = {name: value for name, value in properties.items() if name != "logger" and name not in _OF_MEMBERS}
    return own | {"enable.auto.commit": False, "isolation.level": "read_committed", "log_level": 0}


def watermarks(consumer: Consumer, key: tuple[str, int], timeout_s: float) -> tuple[int, int]:
    """Where a partition begins and ends, asked again for a while: a topic just made may have no leader yet.

    Raises:
        KafkaException: there was no answer in time, or the brokers refuse.
    """
    ask = partial(consumer.get_watermark_offsets, TopicPartition(*key), timeout_s)
    return stamina.retry(on=_may_pass, attempts=None, timeout=timeout_s, wait_max=1.0)(ask)()


def explained(topics: Sequence[str], group: str, error: KafkaError) -> str:
    """What an error says and, where something is forbidden to this user, what must be allowed."""
    said = error.str()
    # The group's fatal errors come under one code, with the cause in their text alone.
    if "Topic authorization failed" in said:
        return f"{said}; allow Read on topic {', '.join(map(repr, topics))}"
    if "Group authorization failed" in said:
        return f"{said}; allow Read on group {group!r}"
    return said


def refuse_lasting(error: KafkaError, said: Callable[[KafkaError], str]) -> None:
    """Pass over an error that the client gets over by itself.

    Raises:
        SourceError: it lasts.
    """
    if _is_too_old(error):
        raise SourceError(
            "the brokers do not speak the consumer group protocol of KIP-848: Kafka 4.0 or later is needed "
            f"(or group.coordinator.rebalance.protocols excludes it): {error.str()}"
        )
    if _is_fatal(error) or error.code() in REFUSALS:
        raise SourceError(f"Kafka refuses: {said(error)}")


def _is_fatal(error: KafkaError) -> bool:
    # `poll` gives a fatal error back under one code, with the cause in its text alone.
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001  # librdkafka's name


def _is_too_old(error: KafkaError) -> bool:
    codes = {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE}  # noqa: SLF001  # librdkafka's name
    return error.code() in codes or (_is_fatal(error) and "API version not supported" in error.str())


def _may_pass(error: Exception) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() not in REFUSALS
