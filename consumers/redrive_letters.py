"""The dead-letter topic as a reader sees it: the dead letters, and which of them were sent again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, IsolationLevel, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec

from consumers.cluster import Cluster, ClusterError
from consumers.settings import Settings
from consumers.topic_reader import TopicReader
from schemas.messages import Headers
from schemas.redriven import Refusal, redriven_offsets, refusal_of

Place = tuple[int, int]
"""Partition and offset of a dead letter."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its bytes. `at_ms` is when it was written, `value_bytes` the length of its original."""

    place: Place
    at_ms: int
    key: bytes | None
    value_bytes: int
    refusal: Refusal

    @property
    def name(self) -> str:
        """As commands name it: partition:offset."""
        return place_text(self.place)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant; empty or None leaves nothing out. Times in epoch ms, `until_ms` excluded."""

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None
    places: frozenset[Place] = frozenset()

    def takes(self, letter: Letter) -> bool:
        """Whether a dead letter is meant."""
        return (
            (not self.reasons or letter.refusal.reason in self.reasons)
            and (not self.places or letter.place in self.places)
            and (self.since_ms is None or letter.at_ms >= self.since_ms)
            and (self.until_ms is None or letter.at_ms < self.until_ms)
        )


@dataclass(frozen=True, slots=True)
class Letters:
    """The dead letters of a selection in topic order, and the places of all that were sent again."""

    selected: list[Letter]
    redriven: frozenset[Place]


def place_text(place: Place) -> str:
    """partition:offset."""
    return f"{place[0]}:{place[1]}"


def parse_place(text: str) -> Place:
    """Partition and offset of partition:offset.

    Raises:
        ValueError: it is not that.
    """
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise ValueError(f"{text!r} is not PARTITION:OFFSET, as `tastestream dead-letters list` prints it")
    return int(partition), int(offset)


def place_of(message: Message) -> Place:
    """Where a record stands."""
    return cast("int", message.partition()), cast("int", message.offset())


def headers_of(message: Message) -> Headers:
    """The headers of a record, in order."""
    return tuple(cast("list[tuple[str, bytes | None]]", message.headers() or []))


def read_letters(messages: Iterable[Message], selection: Selection) -> Letters:
    """What stands in the dead-letter topic.

    Raises:
        ClusterError: a marker cannot be read, so what was sent again is not known.
    """
    selected, redriven = list[Letter](), set[Place]()
    for message in messages:
        sent_again = _marked(message)
        if sent_again is not None:
            redriven |= sent_again
        elif selection.takes(letter := letter_of(message)):
            selected.append(letter)
    return Letters(selected, frozenset(redriven))


def letter_of(message: Message) -> Letter:
    """A dead letter, or whatever else stands there."""
    kind, at_ms = message.timestamp()
    refusal = refusal_of(headers_of(message))
    value_bytes = len(message.value() or b"") if refusal.value_bytes is None else refusal.value_bytes
    at_ms = 0 if kind == TIMESTAMP_NOT_AVAILABLE else at_ms
    return Letter(place_of(message), at_ms, message.key(), value_bytes, refusal)


def dead_letter_records(settings: Settings) -> Iterator[Message]:
    """Every committed record of the dead-letter topic, up to the first transaction that is open.

    Raises:
        ClusterError: the brokers do not answer.
    """
    with _reader(settings, settings.kafka.request_timeout_s) as reader:
        yield from reader.to_the_end()


def decided_records(settings: Settings, ends: Mapping[tuple[str, int], int]) -> Iterator[Message]:
    """Every committed record of the dead-letter topic below these ends; transactions that are open there are awaited.

    Raises:
        ClusterError: the brokers do not answer, or a transaction stays open for longer than it may.
    """
    # That of a worker that died ends when the brokers abort it.
    timeout_s = settings.kafka.request_timeout_s + settings.limits.transaction_timeout_s
    with _reader(settings, timeout_s) as reader:
        yield from reader.up_to(ends, until_decided=True)


def ends_with_what_is_open(cluster: Cluster, topic: str, partitions: int) -> dict[tuple[str, int], int]:
    """Where the partitions of a topic end, by (topic, partition), with what open transactions have written.

    Raises:
        ClusterError: the brokers do not answer.
    """
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the library has no type for it
    asked = {TopicPartition(topic, partition): latest for partition in range(partitions)}
    futures = cluster.admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    try:
        return {(tp.topic, tp.partition): future.result().offset for tp, future in futures.items()}
    except KafkaException as error:
        raise ClusterError(f"the end of {topic} cannot be found: {error.args[0].str()}") from error


def _reader(settings: Settings, timeout_s: float) -> TopicReader:
    return TopicReader(settings.kafka.consumer_config(), [settings.dead_letter_topic], timeout_s)


def _marked(message: Message) -> set[Place] | None:
    partition, _ = place = place_of(message)
    try:
        offsets = redriven_offsets(headers_of(message), message.value())
    except ValueError as error:
        raise ClusterError(f"{message.topic()} [{partition}] at offset {place[1]}: {error}") from error
    return None if offsets is None else {(partition, offset) for offset in offsets}
