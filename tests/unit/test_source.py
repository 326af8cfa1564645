"""The Kafka source over a consumer that pauses, seeks and rebalances as librdkafka does, without a broker."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
import stamina
from confluent_kafka import (
    OFFSET_INVALID,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)

from consumers.batch_size import BatchLimits
from consumers.offsets import Patience, SourceError
from consumers.records import Batch, GapError
from consumers.source import KafkaSource, SourceOptions
from recommender.store import StoreMismatchError

Key = tuple[str, int]
P0, P1 = ("ratings", 0), ("ratings", 1)
M0 = ("more", 0)
"""A partition of a second input topic; consumers hand its records out before those of the first one."""
AT_MS = 1_700_000_000_000


def message(place: Key, offset: int, **fields: Any) -> Message:
    given = {"key": b"u", "value": b"%d" % offset, "timestamp": (TIMESTAMP_CREATE_TIME, AT_MS)} | fields
    return Message(topic=place[0], partition=place[1], offset=offset, **given)


def end_of(place: Key, offset: int) -> Message:
    ended = KafkaError(KafkaError._PARTITION_EOF, "no more messages")
    return Message(topic=place[0], partition=place[1], offset=offset, error=ended)


def failure(code: int, *, fatal: bool = False) -> Message:
    return Message(error=KafkaError(code, "the brokers say so", fatal=fatal))


@dataclass
class Cluster:
    """Topics, the group's offsets, the store's markers, and what happens inside the next calls of the consumer."""

    logs: dict[Key, list[int]] = field(default_factory=lambda: {P0: list(range(100)), P1: list(range(100))})
    low: dict[Key, int] = field(default_factory=dict)
    ends: dict[Key, int] = field(default_factory=dict)
    """Where partitions end that do not end with a record."""
    committed: dict[Key, int] = field(default_factory=dict)
    markers: dict[str, int] = field(default_factory=dict)
    topic_id: str = "id"
    poll_does: list[Callable[[], object]] = field(default_factory=list)
    consume_does: list[Callable[[], object]] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)

    def end(self, key: Key) -> int:
        return self.ends.get(key, self.logs[key][-1] + 1)

    def called(self, name: str) -> None:
        if waiting := self.failures.get(name):
            raise waiting.pop(0)


class FakeConsumer:
    """Positions move as records are handed out; records that were paused or unassigned are never handed out."""

    def __init__(self, cluster: Cluster, properties: Mapping[str, Any]) -> None:
        self.cluster = cluster
        self.properties = properties
        self.positions: dict[Key, int] = {}
        self.seen: set[Key] = set()
        self.fetched: set[Key] = set()
        self.ended: set[Key] = set()
        self.paused: set[Key] = set()
        self.early: list[Message] = []
        self.is_closed = False
        self.topics: list[str] = []

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self.topics = topics
        self.callbacks = callbacks

    # What the brokers do, inside the consumer's calls
    def assign(self, *keys: Key) -> None:
        self.callbacks["on_assign"](self, [TopicPartition(*key) for key in keys])

    def revoke(self, *keys: Key) -> None:
        self.callbacks["on_revoke"](self, [TopicPartition(*key) for key in keys])

    def lose(self, *keys: Key) -> None:
        self.callbacks["on_lost"](self, [TopicPartition(*key) for key in keys])

    # What the source asks
    def poll(self, _timeout_s: float) -> Message | None:
        if self.cluster.poll_does:
            self.cluster.poll_does.pop(0)()
        found = self._taken(1)
        return found[0] if found else None

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        assert timeout_s == 0
        if self.cluster.consume_does:
            self.cluster.consume_does.pop(0)()
        return self._taken(count)

    def _taken(self, count: int) -> list[Message]:
        found, self.early = self.early[:count], self.early[count:]
        for key in sorted(self.positions.keys() - self.paused):
            for offset in self.cluster.logs[key]:
                if len(found) < count and offset >= self.positions[key]:
                    found.append(message(key, offset))
                    self.positions[key] = offset + 1
                    self.seen.add(key)
                    self.fetched.add(key)
            if self.properties.get("enable.partition.eof") and len(found) < count and key not in self.ended:
                self.ended.add(key)
                found.append(end_of(key, self.cluster.end(key)))
        return found

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.positions |= {(tp.topic, tp.partition): tp.offset for tp in partitions}
        self.ended -= {(tp.topic, tp.partition) for tp in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            key = (partition.topic, partition.partition)
            del self.positions[key]
            self.seen.discard(key)

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {(tp.topic, tp.partition) for tp in partitions}
        # What waits to be polled is dropped, and the end of a partition is told again afterwards.
        self.ended -= {(tp.topic, tp.partition) for tp in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {(tp.topic, tp.partition) for tp in partitions}

    def seek(self, partition: TopicPartition) -> None:
        self.cluster.called("seek")
        key = (partition.topic, partition.partition)
        self.positions[key] = partition.offset
        self.seen.discard(key)
        self.ended.discard(key)

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        keys = [(tp.topic, tp.partition) for tp in partitions]
        return [TopicPartition(*key, self.positions[key] if key in self.seen else OFFSET_INVALID) for key in keys]

    def get_watermark_offsets(
        self, partition: TopicPartition, _timeout_s: float = -1, *, cached: bool = False
    ) -> tuple[int, int]:
        key = (partition.topic, partition.partition)
        if cached and key not in self.fetched:
            return OFFSET_INVALID, OFFSET_INVALID
        return self.cluster.low.get(key, 0), self.cluster.end(key)

    def committed(self, partitions: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        assert not self.topics, "a member's question may stay without an answer"
        assert timeout_s > 0
        self.cluster.called("committed")
        keys = [(tp.topic, tp.partition) for tp in partitions]
        return [TopicPartition(*key, self.cluster.committed.get(key, OFFSET_INVALID)) for key in keys]

    def consumer_group_metadata(self) -> object:
        return tuple(sorted(self.positions))

    def close(self) -> None:
        if self.positions:
            self.revoke(*self.positions)
        self.is_closed = True


class FakeAdmin:
    def __init__(self, cluster: Cluster, properties: Mapping[str, Any]) -> None:
        self.cluster = cluster
        self.properties = properties

    def describe_topics(self, _: TopicCollection, request_timeout: float) -> dict[str, Future[Any]]:
        assert request_timeout > 0
        found: dict[str, Future[Any]] = {}
        for topic in sorted({topic for topic, _ in self.cluster.logs}):
            found[topic] = Future()
            try:
                self.cluster.called("topics")
                partitions = [key for key in self.cluster.logs if key[0] == topic]
                topic_id = self.cluster.topic_id if topic == "ratings" else topic
                found[topic].set_result(SimpleNamespace(topic_id=topic_id, partitions=partitions))
            except KafkaException as error:
                found[topic].set_exception(error)
        return found


@dataclass
class FakeListener:
    cluster: Cluster
    changes: int = 0
    counts: list[Mapping[str, int]] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)

    def markers(self, sources: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(list(sources))
        return {source: self.cluster.markers[source] for source in sources if source in self.cluster.markers}

    def partitions_seen(self, counts: Mapping[str, int]) -> None:
        self.cluster.called("partitions_seen")
        self.counts.append(counts)

    def partitions_changed(self) -> None:
        self.changes += 1


@dataclass
class Rig:
    cluster: Cluster = field(default_factory=Cluster)
    options: SourceOptions = field(default_factory=lambda: SourceOptions(("ratings",), BatchLimits(max_records=10)))
    properties: dict[str, Any] = field(default_factory=lambda: {"bootstrap.servers": "b:1", "group.id": "workers"})

    def __post_init__(self) -> None:
        self.listener = FakeListener(self.cluster)
        clients: list[Any] = []

        def consumer(properties: dict[str, Any]) -> Any:
            clients.append(FakeConsumer(self.cluster, properties))
            return clients[-1]

        def admin(properties: dict[str, Any]) -> Any:
            clients.append(FakeAdmin(self.cluster, properties))
            return clients[-1]

        self.source = KafkaSource(self.properties, self.options, self.listener, consumer, admin)
        self.consumer = cast("FakeConsumer", clients[0])
        self.asking = cast("FakeConsumer", clients[1])
        self.admin = cast("FakeAdmin", clients[2])

    def on_poll(self, *actions: Callable[[], object]) -> "Rig":
        self.cluster.poll_does += actions
        return self

    def on_consume(self, *actions: Callable[[], object]) -> "Rig":
        self.cluster.consume_does += actions
        return self

    def polled(self) -> dict[Key, list[int]]:
        return offsets(self.source.poll())


def offsets(batch: Batch, *, replayed: bool | None = None) -> dict[Key, list[int]]:
    """Offsets by partition, of replayed or of live records alone if asked."""
    found: dict[Key, list[int]] = {}
    for record in batch.records:
        if replayed is None or record.replayed is replayed:
            found.setdefault((record.topic, record.partition), []).append(record.offset)
    return found


def holding(*keys: Key, **cluster: Any) -> Rig:
    """A source that was just assigned these partitions, and has read nothing."""
    rig = Rig(Cluster(**cluster))
    rig.consumer.assign(*keys)
    return rig


def ten(start: int) -> list[int]:
    return list(range(start, start + 10))


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


# How the clients are made


def test_what_the_guarantee_rests_on_cannot_be_overridden() -> None:
    """Law: nothing is committed, reset or read uncommitted behind our back; the admin client is in no group."""
    given = {"group.id": "workers", "bootstrap.servers": "b:1", "enable.auto.commit": True, "client.rack": "a"}
    rig = Rig(properties={**given, "auto.offset.reset": "latest", "isolation.level": "read_uncommitted"})
    properties = rig.consumer.properties
    assert properties["group.protocol"] == "consumer"
    assert (properties["enable.auto.commit"], properties["auto.offset.reset"]) == (False, "error")
    assert (properties["isolation.level"], properties["client.rack"]) == ("read_committed", "a")
    assert not any(name.startswith("group.") for name in rig.admin.properties)
    assert rig.asking.properties["group.id"] == "workers"
    assert "group.protocol" not in rig.asking.properties
    assert rig.asking.properties["isolation.level"] == "read_committed"
    assert rig.consumer.topics == ["ratings"]


# Where partitions begin


def test_a_partition_begins_at_what_is_verified_or_committed() -> None:
    """Law: the lower of the committed offset and one past the marker; below the committed one it is a replay."""
    rig = holding(P0, committed={P0: 50}, markers={"id:0": 44})
    assert rig.source.replaying
    batch = rig.source.poll()
    assert offsets(batch, replayed=True) == {P0: [45, 46, 47, 48, 49]}
    assert offsets(batch, replayed=False) == {P0: [50, 51, 52, 53, 54]}
    assert not rig.source.replaying


def test_markers_are_asked_for_by_topic_id_and_partition() -> None:
    """Law: a topic that was made anew is another source, though its name and partitions are the same."""
    rig = holding(P0, topic_id="first", committed={P0: 50}, markers={"first:0": 49, "second:0": 2})
    assert rig.source.poll().records[0].source == "first:0"
    rig.consumer.revoke(P0)
    rig.cluster.topic_id = "second"
    rig.consumer.assign(P0)
    first = rig.source.poll().records[0]
    assert (first.source, first.offset) == ("second:0", 3)
    assert rig.listener.asked == [["first:0"], ["second:0"]]


def test_events_that_are_gone_stop_the_worker() -> None:
    """Law: no reset policy skips what the store lacks; an accepted gap begins at the low watermark."""
    cluster: dict[str, Any] = {"committed": {P0: 50}, "markers": {"id:0": 29}, "low": {P0: 40}}
    with pytest.raises(GapError, match="10 events are lost"):
        holding(P0, **cluster)
    rig = Rig(Cluster(**cluster), SourceOptions(("ratings",), accepted_gaps={"ratings": [0]}))
    rig.consumer.assign(P0)
    assert rig.source.poll().records[0].offset == 40


def test_partition_counts_are_told_before_anything_is_read() -> None:
    """Law: a topic with another partition count is refused while nothing of it is held."""
    refusal = StoreMismatchError("3 partitions")
    rig = Rig(Cluster(failures={"partitions_seen": [refusal]}))
    with pytest.raises(StoreMismatchError):
        rig.consumer.assign(P0, P1)
    assert rig.source.held == frozenset()
    rig.consumer.assign(P0, P1)
    assert rig.listener.counts == [{"ratings": 2}]


# What a poll returns


def test_a_poll_drains_what_is_there() -> None:
    """Law: one record is waited for, the rest of the batch is taken as it lies; the metadata is of after both."""
    rig = holding(P0)
    batch = rig.source.poll()
    assert offsets(batch) == {P0: ten(0)}
    assert batch.group_metadata == (P0,)
    assert rig.polled() == {P0: ten(10)}


def test_a_poll_without_records_is_an_empty_batch() -> None:
    """Law: the metadata is there all the same."""
    batch = holding(P0, logs={P0: [0], P1: [0]}, committed={P0: 1}, markers={"id:0": 0}).source.poll()
    assert (list(batch.records), batch.group_metadata) == ([], (P0,))


def test_a_record_carries_what_came() -> None:
    """Law: bytes, headers and timestamp are the message's own; what is missing is None or empty."""
    rig = holding(P0, logs={P0: [0], P1: [0]})
    full = message(P0, 0, headers=[("a", b"1"), ("a", None)])
    bare = message(P0, 1, key=None, value=None, timestamp=(TIMESTAMP_NOT_AVAILABLE, 0))
    rig.consumer.early += [full, bare]
    first, second = rig.source.poll().records[:2]
    assert (first.key, first.value, first.timestamp_ms) == (b"u", b"0", AT_MS)
    assert first.headers == (("a", b"1"), ("a", None))
    assert (second.key, second.value, second.headers, second.timestamp_ms) == (None, None, (), None)


# When partitions come and go


def test_every_change_drops_what_was_cached() -> None:
    """Law: an assignment, a revocation and a loss each tell the listener, and are seen in what is held."""
    rig = holding(P0, P1)
    assert (rig.listener.changes, rig.source.held) == (1, frozenset({P0, P1}))
    rig.consumer.revoke(P0)
    assert (rig.listener.changes, rig.source.held) == (2, frozenset({P1}))
    rig.consumer.lose(P1)
    assert (rig.listener.changes, rig.source.held) == (3, frozenset())
    assert rig.consumer.positions == {}


def test_records_of_a_revoked_partition_are_dropped() -> None:
    """Law: they are its new owner's, though the very poll that revoked it had returned one."""
    rig = holding(P0, P1, committed={P0: 0, P1: 0})
    rig.on_consume(lambda: rig.consumer.revoke(P0))
    assert rig.polled() == {}
    assert rig.polled() == {P1: ten(0)}


def test_records_of_partitions_that_are_not_held_are_dropped() -> None:
    """Law: without a place to begin nobody can say whether a record was committed."""
    rig = holding(P0)
    rig.consumer.early.append(message(P1, 3))
    assert P1 not in rig.polled()


@pytest.mark.parametrize("leaving", ["revoke", "lose"])
def test_a_partition_that_left_and_came_back_is_read_from_where_it_begins(leaving: str) -> None:
    """Law: within one poll, too, no record is handed out before those that come before it."""
    rig = holding(P0, committed={P0: 20}, markers={"id:0": 19})

    def away_and_back() -> None:
        getattr(rig.consumer, leaving)(P0)
        rig.cluster.committed[P0] = 15
        rig.consumer.assign(P0)

    rig.on_consume(away_and_back)
    assert rig.polled() == {}
    assert rig.polled() == {P0: ten(15)}


def test_partitions_that_come_inside_a_poll_are_read_from_their_beginning() -> None:
    """Law: nothing that was taken before they came is lost."""
    rig = holding(P0, committed={P0: 50, P1: 50}, markers={"id:0": 49, "id:1": 47})
    rig.on_consume(lambda: rig.consumer.assign(P1))
    assert rig.polled() == {}
    rest = [rig.polled() for _ in range(12)]
    assert [offset for batch in rest for offset in batch.get(P0, [])] == list(range(50, 100))
    assert [offset for batch in rest for offset in batch.get(P1, [])] == list(range(48, 100))


# Rewinding


def test_a_rewind_goes_to_where_a_restart_would() -> None:
    """Law: the lower of committed and verified, by what the brokers and the store say now."""
    rig = holding(P0, P1, committed={P0: 50, P1: 50}, markers={"id:0": 49, "id:1": 49})
    rig.source.poll()
    rig.cluster.committed[P0] = 60
    rig.cluster.markers["id:0"] = 53
    rig.source.rewind()
    batch = rig.source.poll()
    assert offsets(batch, replayed=True) == {P0: [54, 55, 56, 57, 58, 59]}
    assert offsets(batch, replayed=False) == {P0: [60, 61, 62, 63]}


def test_after_a_rewind_the_position_is_that_of_the_rewind() -> None:
    """Law: lag and catching up are told from where it goes on, not from where it was."""
    rig = holding(P0, committed={P0: 50}, markers={"id:0": 49})
    rig.source.poll()
    assert (rig.source.replaying, rig.source.lags()) == (False, {P0: 40})
    rig.cluster.markers["id:0"] = 29
    rig.source.rewind()
    assert (rig.source.replaying, rig.source.lags()) == (True, {P0: 70})
    rig.source.poll()
    assert rig.source.lags() == {P0: 60}


def test_a_rewind_finds_a_gap() -> None:
    """Law: events that were deleted since the assignment are missed here, too."""
    rig = holding(P0, committed={P0: 50}, markers={"id:0": 49})
    rig.source.poll()
    rig.cluster.low[P0] = 55
    with pytest.raises(GapError):
        rig.source.rewind()


def test_a_rewind_of_nothing_is_none() -> None:
    """Law: without partitions there is nowhere to go."""
    Rig().source.rewind()


def test_a_rewind_that_is_refused_stops_the_worker() -> None:
    """Law: going on from anywhere else would skip events."""
    rig = holding(P0, failures={"seek": [KafkaException(KafkaError(KafkaError._STATE, "erroneous state"))]})
    with pytest.raises(SourceError, match=r"ratings \[0\] cannot be rewound: erroneous state"):
        rig.source.rewind()


# Staying in the group


def test_signs_of_life_take_no_record() -> None:
    """Law: the batch in hand stays the last one; afterwards it goes on exactly behind it."""
    rig = holding(P0, P1)
    assert rig.polled() == {P0: ten(0)}
    assert [rig.source.keep_alive() for _ in range(3)] == [True, True, True]
    assert rig.polled() == {P0: ten(10)}


@pytest.mark.parametrize("change", ["assign", "revoke", "lose"])
def test_a_change_of_partitions_ends_the_waiting(change: str) -> None:
    """Law: what was polled before must be given up; after the rewind nothing is missing."""
    keys = (P0,) if change == "assign" else (P0, P1)
    rig = holding(*keys, committed={P0: 5, P1: 5}, markers={"id:0": 4, "id:1": 4})
    rig.source.poll()
    rig.on_poll(lambda: getattr(rig.consumer, change)(P1))
    assert not rig.source.keep_alive()
    rig.source.rewind()
    assert rig.source.poll().records[0].offset == 5


def test_a_partition_that_left_and_came_back_ends_the_waiting() -> None:
    """Law: it is the change that counts, though the same partitions are held as before."""
    rig = holding(P0)
    rig.source.poll()

    def away_and_back() -> None:
        rig.consumer.lose(P0)
        rig.consumer.assign(P0)

    rig.on_poll(away_and_back)
    assert not rig.source.keep_alive()


@pytest.mark.parametrize("change", ["revoke", "lose"])
def test_a_change_ends_the_waiting_although_nothing_was_read(change: str) -> None:
    """Law: the caches are gone and the group's generation is another, whether or not records came."""
    rig = holding(P0, P1, logs={P0: [0], P1: [0]})
    assert rig.polled() == {P0: [0], P1: [0]}
    rig.on_poll(lambda: getattr(rig.consumer, change)(P1))
    assert not rig.source.keep_alive()


def test_a_record_that_comes_although_paused_is_not_lost() -> None:
    """Law: whoever cannot keep a record says so, and the rewind brings it back."""
    rig = holding(P0, committed={P0: 0}, markers={"id:0": -1})
    rig.on_poll(lambda: rig.consumer.resume([TopicPartition(*P0)]))
    assert not rig.source.keep_alive()
    rig.source.rewind()
    assert rig.polled() == {P0: ten(0)}


def test_an_error_is_no_record() -> None:
    """Law: a passing error changes nothing while waiting, one that does not pass ends the worker."""
    rig = holding(P0)
    rig.consumer.early.append(failure(KafkaError._TRANSPORT))
    assert rig.source.keep_alive()
    rig.consumer.early.append(failure(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(SourceError):
        rig.source.keep_alive()


# A store that one worker must own


def exclusive(timeout_s: float = 60.0, **cluster: Any) -> Rig:
    options = SourceOptions(
        ("ratings",), BatchLimits(max_records=10), must_hold_all_partitions=True, all_partitions_timeout_s=timeout_s
    )
    return Rig(Cluster(**cluster), options)


def test_records_are_held_back_until_all_partitions_are_held() -> None:
    """Law: a store of one owner takes nothing while another worker may hold the rest."""
    rig = exclusive()
    rig.consumer.assign(P0)
    assert rig.polled() == {}
    rig.source.keep_alive()
    assert rig.polled() == {}
    rig.consumer.assign(P1)
    assert rig.polled() == {P0: ten(0)}


def test_records_are_held_back_again_once_a_partition_leaves() -> None:
    """Law: holding all of them is checked at every change."""
    rig = exclusive()
    rig.consumer.assign(P0, P1)
    assert rig.polled() == {P0: ten(0)}
    rig.consumer.revoke(P1)
    assert rig.polled() == {}
    rig.consumer.assign(P1)
    assert rig.polled() == {P0: ten(10)}


@pytest.mark.parametrize("change", ["assign", "revoke", "lose"])
def test_not_getting_all_partitions_stops_the_worker(change: str) -> None:
    """Law: waiting for the others to leave has a limit, whichever way it came to that; the message says what to do."""
    rig = exclusive(timeout_s=-1.0)
    held = 1 if change == "assign" else 0
    rig.consumer.assign(P0) if change == "assign" else rig.consumer.assign(P0, P1)
    if change != "assign":
        getattr(rig.consumer, change)(P0, P1)
    with pytest.raises(SourceError, match=rf"holds {held} of 2 partitions .* stop the other workers"):
        rig.source.poll()


def test_a_shared_store_takes_whatever_partitions_there_are() -> None:
    """Law: holding back is for stores of one owner alone."""
    rig = Rig(options=SourceOptions(("ratings",), BatchLimits(max_records=10), all_partitions_timeout_s=-1.0))
    rig.consumer.assign(P1)
    assert rig.polled() == {P1: ten(0)}


# Several topics, of which some are behind what was committed


def several(*, must_hold_all: bool = False, **cluster: Any) -> Rig:
    """A source of two topics, in front of committed offsets of 50 each, that holds what its cluster has logs of."""
    logs = {M0: list(range(100)), P0: list(range(100))}
    given: dict[str, Any] = {"logs": logs, "committed": {M0: 50, P0: 50}} | cluster
    options = SourceOptions(("ratings", "more"), BatchLimits(max_records=10), must_hold_all_partitions=must_hold_all)
    rig = Rig(Cluster(**given), options)
    rig.consumer.assign(*given["logs"])
    return rig


def all_polled(rig: Rig, polls: int = 30) -> list[tuple[Key, int, bool]]:
    """Everything that comes: place, offset, and whether it is a replay."""
    records = [record for _ in range(polls) for record in rig.source.poll().records]
    return [((r.topic, r.partition), r.offset, r.replayed) for r in records]


def assert_old_first(rows: Sequence[tuple[Key, int, bool]]) -> None:
    """Nothing new before everything old, nothing twice, no partition out of order."""
    assert [is_old for _, _, is_old in rows] == sorted((is_old for _, _, is_old in rows), reverse=True)
    for key in {key for key, _, _ in rows}:
        offsets_ = [offset for place, offset, _ in rows if place == key]
        assert offsets_ == sorted(set(offsets_))


@pytest.mark.parametrize("markers", [{"more:0": 49, "id:0": 24}, {"more:0": 24, "id:0": 49}, {"more:0": 9, "id:0": 30}])
def test_nothing_new_is_taken_while_another_topic_is_behind(markers: dict[str, int]) -> None:
    """Law: first everything that was committed comes again, of all topics, then what is new, and nothing is lost."""
    rows = all_polled(several(markers=markers))
    assert_old_first(rows)
    assert {key: [o for place, o, _ in rows if place == key] for key in (M0, P0)} == {
        M0: list(range(markers["more:0"] + 1, 100)),
        P0: list(range(markers["id:0"] + 1, 100)),
    }


def test_in_the_batch_in_which_all_is_caught_up_old_events_stand_first() -> None:
    """Law: a user's last event of a batch is a new one, where there is any: to it the list answers."""
    logs = {M0: list(range(51)), P0: list(range(100))}
    rig = several(logs=logs, markers={"more:0": 49, "id:0": 46})
    records = [(record.topic, record.offset) for record in rig.source.poll().records]
    assert records[:5] == [("ratings", 47), ("ratings", 48), ("ratings", 49), ("more", 50), ("ratings", 50)]


@pytest.mark.parametrize(
    ("log", "ends"),
    [(list(range(46)), {}), (list(range(46)), {P0: 52}), ([*range(46), 60], {}), ([*range(46), 60], {P0: 99})],
    ids=["cut", "control records", "gap", "gap and control records"],
)
def test_where_no_record_ever_comes_the_end_of_the_partition_counts(log: list[int], ends: dict[Key, int]) -> None:
    """Law: no committed offset is waited for that nothing leads to, be it behind the end or behind control records."""
    rig = several(logs={M0: list(range(100)), P0: log}, ends=ends, markers={"more:0": 49, "id:0": 40})
    rows = all_polled(rig)
    assert_old_first(rows)
    assert len(rows) == 50 + len(log) - 41


def test_an_end_below_what_was_committed_is_none() -> None:
    """Law: a leader that was just elected may not show everything yet; what it shows later is replayed first."""
    rig = several(markers={"more:0": 49, "id:0": 44})
    rig.consumer.early.append(end_of(P0, 46))
    assert_old_first(all_polled(rig))


def test_signs_of_life_do_not_let_go_what_waits() -> None:
    """Law: what was put back stays there until all is caught up."""
    rig = several(markers={"more:0": 49, "id:0": 9})
    rig.source.poll()
    rig.source.keep_alive()
    assert rig.polled() == {P0: ten(10)}


def test_a_rewind_lets_go_what_waits() -> None:
    """Law: whoever waited may be behind itself by now."""
    rig = several(markers={"more:0": 49, "id:0": 29})
    rig.source.poll()
    rig.cluster.markers["more:0"] = 39
    rig.source.rewind()
    rows = all_polled(rig)
    assert_old_first(rows)
    assert len(rows) == 60 + 70


@pytest.mark.parametrize("leaving", ["revoke", "lose"])
def test_what_waits_goes_on_when_what_it_waits_for_leaves(leaving: str) -> None:
    """Law: a partition of another worker is not waited for."""
    rig = several(markers={"more:0": 49, "id:0": 9})
    assert rig.polled() == {}
    getattr(rig.consumer, leaving)(P0)
    assert [offset for _, offset, _ in all_polled(rig)] == list(range(50, 100))


def test_a_partition_that_comes_while_others_are_new_is_replayed_first() -> None:
    """Law: it is the partitions held now that count."""
    rig = several(markers={"more:0": 49, "id:0": 39})
    rig.consumer.revoke(P0)
    assert rig.polled() == {M0: ten(50)}
    rig.cluster.committed[M0], rig.cluster.markers["more:0"] = 60, 59
    rig.on_poll(lambda: rig.consumer.assign(P0))
    rows = all_polled(rig)
    assert_old_first(rows)
    assert len(rows) == 40 + 60


def test_a_store_of_one_owner_waits_for_both() -> None:
    """Law: for all partitions to be held, and then for all of them to have caught up."""
    rig = several(must_hold_all=True, markers={"more:0": 49, "id:0": 29})
    assert rig.polled() == {}
    rig.consumer.revoke(P0)
    assert all_polled(rig) == []
    rig.consumer.assign(P0)
    rows = all_polled(rig)
    assert_old_first(rows)
    assert len(rows) == 50 + 70


def test_of_a_single_topic_nothing_is_put_back() -> None:
    """Law: there a user's events come from one partition, and nothing waits for another one."""
    rig = holding(P0, P1, committed={P0: 50, P1: 50}, markers={"id:0": 49, "id:1": 9})
    assert "enable.partition.eof" not in rig.consumer.properties
    assert rig.polled() == {P0: ten(50)}


# Errors


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (failure(KafkaError._AUTO_OFFSET_RESET), GapError, "start the worker again"),
        (failure(KafkaError.UNSUPPORTED_VERSION), SourceError, "Kafka 4.0"),
        (failure(KafkaError._UNSUPPORTED_FEATURE), SourceError, "Kafka 4.0"),
        (failure(KafkaError._AUTHENTICATION), SourceError, "refuses"),
        (failure(KafkaError.SASL_AUTHENTICATION_FAILED), SourceError, "refuses"),
        (failure(KafkaError.GROUP_AUTHORIZATION_FAILED), SourceError, "refuses"),
        (failure(KafkaError.TOPIC_AUTHORIZATION_FAILED), SourceError, "refuses"),
        (failure(KafkaError.UNKNOWN_TOPIC_OR_PART), SourceError, "refuses"),
        (failure(KafkaError._FATAL, fatal=True), SourceError, "refuses"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_errors_that_do_not_pass_stop_the_worker(error: Message, kind: type[Exception], says: str, place: int) -> None:
    """Law: wherever they stand in a batch, nothing of it is handed out."""
    rig = holding(P0)
    rig.consumer.early += [*[message(P0, 0)] * place, error]
    with pytest.raises(kind, match="the brokers say so") as raised:
        rig.source.poll()
    assert says in str(raised.value)


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._MAX_POLL_EXCEEDED])
def test_errors_that_pass_are_waited_out(code: int) -> None:
    """Law: the client reconnects by itself; the records behind the error are handed out."""
    rig = holding(P0)
    rig.consumer.early.append(failure(code))
    assert rig.polled() == {P0: ten(0)[:9]}


def passing(times: int) -> list[Exception]:
    return [KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer")) for _ in range(times)]


@pytest.mark.parametrize("question", ["topics", "committed"])
def test_brokers_that_are_away_are_asked_again(question: str) -> None:
    """Law: an assignment waits for the brokers, for a while; then they end the worker as what they are."""
    assert holding(P0, failures={question: passing(2)}).source.held == {P0}
    with pytest.raises(SourceError, match="cannot be read: no answer"):
        holding(P0, failures={question: passing(99)})


def test_every_question_of_an_assignment_is_a_sign_of_life() -> None:
    """Law: many questions that take long are not one step that hangs."""
    signs: list[str] = []
    patience = Patience(alive=lambda: signs.append("alive"))
    Rig(options=SourceOptions(("ratings",), BatchLimits(max_records=10), patience=patience)).consumer.assign(P0, P1)
    questions = ["topics", "committed", "low of P0", "low of P1"]
    assert len(signs) == len(questions)


def test_whoever_waits_for_the_brokers_may_be_told_to_stop() -> None:
    """Law: each answer that does not come is said, and what is raised then ends the wait."""

    def stop() -> None:
        raise SystemExit(0)

    options = SourceOptions(("ratings",), BatchLimits(max_records=10), patience=Patience(waits=stop))
    Rig(options=options).consumer.assign(P0)
    with pytest.raises(SystemExit):
        Rig(Cluster(failures={"committed": passing(99)}), options=options).consumer.assign(P0)


def test_a_refusal_is_not_asked_again() -> None:
    """Law: rights do not come back by themselves."""
    refusals: list[Exception] = [KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no"))] * 2
    cluster = Cluster(failures={"topics": refusals})
    rig = Rig(cluster)
    with pytest.raises(SourceError):
        rig.consumer.assign(P0)
    assert len(cluster.failures["topics"]) == 1


# The rest


def test_lag_is_told_where_it_is_known() -> None:
    """Law: before the first fetch nobody knows the end of a partition; zero is the least."""
    rig = holding(P0, P1)
    assert rig.source.lags() == {}
    rig.source.poll()
    assert rig.source.lags() == {P0: 90}


def test_closing_leaves_the_group() -> None:
    """Law: the partitions are let go on the way."""
    rig = holding(P0, P1)
    rig.source.close()
    assert rig.consumer.is_closed
    assert rig.source.held == frozenset()


def all_offsets(batches: Iterable[Mapping[Key, list[int]]], key: Key) -> list[int]:
    return [offset for batch in batches for offset in batch.get(key, [])]


def test_whatever_is_polled_in_order_is_all_there_is() -> None:
    """Law: over polls, waits and rewinds every record is handed out, none of a partition before those below it."""
    rig = holding(P0, P1, committed={P0: 0, P1: 0}, markers={"id:0": -1, "id:1": -1})
    batches = [rig.polled()]
    rig.source.keep_alive()
    batches += [rig.polled() for _ in range(25)]
    assert (all_offsets(batches, P0), all_offsets(batches, P1)) == (list(range(100)), list(range(100)))
