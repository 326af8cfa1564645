"""The events that states are rebuilt from, read without the service: from the input topics, or from a data set.

What a record changes is written here anew; of the service only the wire's decoder is shared, because what it refuses
is what the worker makes a dead letter of.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, Message
from confluent_kafka.admin import AdminClient

from consumers.item_ids import Dimensions, ItemIds, dimension_of, item_of
from consumers.judgement import Bounds
from consumers.offsets import Offsets, Patience, asking_properties
from consumers.settings import Settings
from consumers.settings_mapping import wire_rules
from consumers.topic_reader import TopicReader
from producers.client_log import KAFKA_LOG
from producers.replay import ReplayPlan
from producers.tables import DatasetError, Ratings
from recommender.profile import Change, Forget, Rate, Retract, SetAttributes, Update
from recommender.store import StoreSettings
from schemas.decode import Decoded, RawRecord, decoder_for
from schemas.events import Event, Forgotten, ProfileChanged, Rated, Retracted
from schemas.reasons import MalformedRecordError

Progress = Callable[[int, int], None]
PROGRESS_EVERY_RECORDS = 1_000
LOOKED_UP_RECORDS = 1_000
"""Records whose items are looked up at once."""
FILE_SOURCE = "file"
"""The source of events that came from no topic; its offsets are their places in the file's order, from 0."""


class Events(Protocol):
    """Where events come from; `begin` before the store is looked at, `updates` after it, `bounds` after those."""

    bounds: Bounds
    has_offsets: bool
    """Whether their offsets are those that states name; otherwise a state's count says what it has applied."""
    records: int
    """Records read by the last `updates`, those that are malformed too."""

    def begin(self, made_for: StoreSettings) -> None:
        """Note what must be in the store by now.

        Raises:
            StoreMismatchError: the store was filled from other topics.
        """

    def updates(self, report: Progress) -> Iterator[Update]:
        """Every valid event that stands there now, in order per source; `report` gets (records read, records)."""

    def named(self, source: str) -> str:
        """A source for people."""


@dataclass(slots=True)
class TopicEvents:
    """The events of the input topics, as any read_committed reader sees them."""

    settings: Settings
    items: ItemIds
    bounds: Bounds = field(default_factory=lambda: Bounds({}, {}), init=False)
    has_offsets: bool = field(default=True, init=False)
    records: int = field(default=0, init=False)
    malformed: int = field(default=0, init=False)
    _ids: dict[str, str] = field(default_factory=dict, init=False)

    def begin(self, made_for: StoreSettings) -> None:
        """See `Events.begin`; the committed offsets are the group's.

        Raises:
            SourceError: the brokers do not answer in time.
            TopicsError: an input topic is missing.
        """
        kafka = self.settings.kafka
        consumer = Consumer(asking_properties(kafka.consumer_config() | {"group.id": self.settings.group}))
        admin: dict[str, Any] = {**kafka.client_config(), "logger": KAFKA_LOG}
        try:
            patience = Patience(kafka.request_timeout_s, kafka.request_timeout_s)
            offsets = Offsets(consumer, AdminClient(admin), patience)
            found = offsets.topics(self.settings.input_topics)
            made_for.with_partitions({name: count for name, (_, count) in found.items()})
            keys = [(name, number) for name, (_, count) in found.items() for number in range(count)]
            self._ids = {name: topic_id for name, (topic_id, _) in found.items()}
            committed = offsets.committed(keys)
        finally:
            consumer.close()
        self.bounds = Bounds({}, {self._source(*key): offset or 0 for key, offset in committed.items()})

    def updates(self, report: Progress) -> Iterator[Update]:
        """See `Events.updates`.

        Raises:
            ClusterError: the brokers do not answer in time.
        """
        self.records = self.malformed = 0
        kafka = self.settings.kafka
        with TopicReader(kafka.consumer_config(), self.settings.input_topics, kafka.request_timeout_s) as reader:
            marks = reader.watermarks()
            total = sum(high - low for low, high in marks.values())
            messages = reader.up_to({key: high for key, (_, high) in marks.items()})
            valid = self._valid(messages, lambda records: report(records, total))
            while rows := list(islice(valid, LOOKED_UP_RECORDS)):
                dimensions = self.items.expected(one for _, decoded in rows for one in item_of(decoded.event))
                for message, decoded in rows:
                    yield self._update(message, decoded, dimensions)
            # Asked again: what retention took away meanwhile was not read.
            lows = {self._source(*key): low for key, (low, _) in reader.watermarks().items()}
        self.bounds = Bounds(lows, self.bounds.committed)

    def named(self, source: str) -> str:
        """See `Events.named`; a topic that is no input any more goes by its id."""
        topic_id, _, partition = source.rpartition(":")
        names = {known: name for name, known in self._ids.items()}
        return f"{names.get(topic_id, topic_id)} [{partition}]"

    def _valid(self, messages: Iterator[Message], report: Callable[[int], None]) -> Iterator[tuple[Message, Decoded]]:
        rules, decode = wire_rules(self.settings), decoder_for("json")
        for message in messages:
            self.records += 1
            if self.records % PROGRESS_EVERY_RECORDS == 0:
                report(self.records)
            try:
                yield message, decode(_raw(message), rules)
            except MalformedRecordError:
                self.malformed += 1

    def _update(self, message: Message, decoded: Decoded, dimensions: Dimensions) -> Update:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None  # noqa: S101  # only messages without a place have none, and those are errors
        assert partition is not None  # noqa: S101  # as above
        assert offset is not None  # noqa: S101  # as above
        return Update(self._source(topic, partition), offset, decoded.event.user_id, change_of(decoded, dimensions))

    def _source(self, topic: str, partition: int) -> str:
        return f"{self._ids[topic]}:{partition}"


@dataclass(slots=True)
class FileEvents:
    """The events that `tastestream replay` sends of a data set, all of which must be in the store."""

    plan: ReplayPlan
    items: ItemIds
    bounds: Bounds = field(init=False)
    has_offsets: bool = field(default=False, init=False)
    records: int = field(default=0, init=False)
    _ratings: Ratings = field(init=False)
    _profiles: Sequence[ProfileChanged] = field(init=False)

    def __post_init__(self) -> None:
        self._ratings = self.plan.ratings()
        self._profiles = self.plan.profile_events(self._ratings)
        self.bounds = Bounds({FILE_SOURCE: 0}, {FILE_SOURCE: len(self._profiles) + len(self._ratings)})

    def begin(self, made_for: StoreSettings) -> None:
        """See `Events.begin`; a file says nothing of topics."""

    def updates(self, report: Progress) -> Iterator[Update]:
        """See `Events.updates`."""
        self.records = self.bounds.committed[FILE_SOURCE]
        for place, profile in enumerate(self._profiles):
            yield Update(FILE_SOURCE, place, profile.user_id, SetAttributes(profile.attributes))
        dimensions = self._dimensions()
        for place, (user, item, rating, at_ms) in enumerate(self._ratings.rows(), len(self._profiles)):
            change = Rate(dimension_of(item, dimensions), float(rating), at_ms)
            yield Update(FILE_SOURCE, place, str(user), change)
            if place % PROGRESS_EVERY_RECORDS == 0:
                report(place, self.records)

    def _dimensions(self) -> Dimensions:
        given, kind = set(self._ratings.item.tolist()), str if self.items.registry is not None else int
        if wrong := [item for item in given if not isinstance(item, kind)]:
            raise DatasetError(
                f"the item id {wrong[0]!r} is none of this catalogue's (catalogue.item_ids)", self.plan.dataset.name
            )
        return self.items.expected(given)

    def named(self, _source: str) -> str:
        """See `Events.named`."""
        return self.plan.dataset.name


def change_of(decoded: Decoded, dimensions: Dimensions) -> Change:
    """What a valid event changes of its user."""
    event: Event = decoded.event
    match event:
        case Rated(item_id=item, rating=rating):
            return Rate(dimension_of(item, dimensions), rating, decoded.at_ms)
        case Retracted(item_id=item):
            return Retract(dimension_of(item, dimensions), decoded.at_ms)
        case ProfileChanged(attributes=attributes):
            return SetAttributes(attributes)
        case Forgotten():
            return Forget()


def _raw(message: Message) -> RawRecord:
    kind, at_ms = message.timestamp()
    return RawRecord(message.key(), message.value(), None if kind == TIMESTAMP_NOT_AVAILABLE else at_ms)
