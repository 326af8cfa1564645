"""The source of requests over a consumer as librdkafka's: what is read again, and what the brokers are told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from consumers.answering import request_source
from consumers.answering.request_source import TELL_AGAIN_S, RequestSource, RequestSourceOptions
from consumers.offsets import SourceError

Key = tuple[str, int]
P0, P1 = ("requests", 0), ("requests", 1)
REFUSED = KafkaError(KafkaError.ILLEGAL_GENERATION, "the brokers say so")


@dataclass
class FakeConsumer:
    """Hands out endless partitions from where they stand; what the brokers are told stands in `told`."""

    properties: dict[str, Any]
    positions: dict[Key, int] = field(default_factory=dict)
    told: list[dict[Key, int]] = field(default_factory=list)
    refuses: int = 0
    is_broken: bool = False
    errors: list[KafkaError] = field(default_factory=list)
    in_consume: list[Callable[[], object]] = field(default_factory=list)
    seen_at_leave: list[dict[Key, int]] = field(default_factory=list)

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        assert topics == ["requests"]
        self.callbacks = callbacks

    def assign(self, *at: tuple[Key, int]) -> None:
        self.begin = dict(at)
        self.callbacks["on_assign"](self, [TopicPartition(*key) for key, _ in at])

    def revoke(self, *keys: Key) -> None:
        self.callbacks["on_revoke"](self, [TopicPartition(*key) for key in keys])

    def lose(self, *keys: Key) -> None:
        self.callbacks["on_lost"](self, [TopicPartition(*key) for key in keys])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.positions |= {(tp.topic, tp.partition): self.begin[tp.topic, tp.partition] for tp in partitions}

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        self.seen_at_leave.extend(self.told[-1:])
        for tp in partitions:
            del self.positions[tp.topic, tp.partition]

    def poll(self, _timeout_s: float) -> Message | None:
        if self.errors:
            return Message(error=self.errors.pop(0))
        return next(map(self._taken, self.positions), None)

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        assert (count, timeout_s) == (9, 0)
        found = [self._taken(key) for key in self.positions for _ in range(2)]
        if self.in_consume:
            self.in_consume.pop(0)()
        return found

    def _taken(self, key: Key) -> Message:
        offset = self.positions[key]
        self.positions[key] = offset + 1
        return Message(topic=key[0], partition=key[1], offset=offset, value=b"{}")

    def seek(self, place: TopicPartition) -> None:
        if self.is_broken:
            raise KafkaException(REFUSED)
        self.positions[place.topic, place.partition] = place.offset

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        if self.is_broken:
            raise KafkaException(REFUSED)
        if self.refuses:
            self.refuses -= 1
            self.properties["on_commit"](REFUSED, offsets)
            return
        self.told.append({(tp.topic, tp.partition): tp.offset for tp in offsets})
        self.properties["on_commit"](None, offsets)

    def close(self) -> None:
        self.revoke(*self.positions)


class Rig:
    """A source that holds partitions from some offsets on."""

    def __init__(self, **begin: int) -> None:
        clients: list[FakeConsumer] = []

        def consumer(properties: dict[str, Any]) -> FakeConsumer:
            clients.append(FakeConsumer(properties))
            return clients[-1]

        options = RequestSourceOptions("requests", batch_max_records=10)
        self.source = RequestSource({"group.id": "g"}, options, cast("Any", consumer))
        (self.consumer,) = clients
        if begin:
            self.consumer.assign(*((("requests", int(name[1:])), offset) for name, offset in begin.items()))

    def polled(self) -> dict[Key, list[int]]:
        found: dict[Key, list[int]] = {}
        for record in self.source.poll(0.0).records:
            found.setdefault((record.topic, record.partition), []).append(record.offset)
        return found

    def answered(self, offsets: Mapping[Key, int]) -> None:
        self.source.commit(offsets)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(request_source, "time", type("Clock", (), {"monotonic": lambda: now[0]}))
    return now


def test_what_is_answered_is_told_at_once_and_waited_for_by_nobody() -> None:
    """Law: the offset after the last request that was answered, as an asynchronous commit."""
    rig = Rig(p0=5)
    assert rig.polled() == {P0: [5, 6, 7]}
    rig.answered({P0: 7})
    assert rig.consumer.told == [{P0: 7}]


def test_going_back_is_to_the_first_request_that_is_not_answered() -> None:
    """Law: whether any of a partition was answered or none, without asking the brokers what they know."""
    rig = Rig(p0=5)
    assert rig.polled() == {P0: [5, 6, 7]}
    rig.source.rewind()
    assert rig.polled() == {P0: [5, 6, 7]}
    rig.answered({P0: 6})
    rig.source.rewind()
    assert rig.polled() == {P0: [6, 7, 8]}


def test_a_partition_that_nothing_was_read_of_stays_where_it_is() -> None:
    """Law: there is nothing to go back over."""
    rig = Rig()
    rig.source.rewind()
    rig.consumer.assign((P0, 5))
    rig.source.rewind()
    assert rig.polled() == {P0: [5, 6, 7]}


@pytest.mark.parametrize("leaving", ["revoke", "lose"])
def test_a_partition_that_comes_back_begins_where_the_brokers_say(leaving: str) -> None:
    """Law: meanwhile it was another one's, who answered on."""
    rig = Rig(p0=5)
    assert rig.polled() == {P0: [5, 6, 7]}
    getattr(rig.consumer, leaving)(P0)
    rig.consumer.assign((P0, 40))
    rig.source.rewind()
    assert rig.polled() == {P0: [40, 41, 42]}


def test_partitions_that_come_in_the_middle_of_a_poll_void_it() -> None:
    """Law: what was read is read again, once, in order; what came is read from where it begins."""
    rig = Rig(p0=5)
    rig.consumer.in_consume = [lambda: rig.consumer.assign((P1, 30))]
    assert rig.polled() == {}
    assert rig.polled()[P0][:2] == [5, 6]


def test_records_of_a_revoked_partition_are_dropped() -> None:
    """Law: they are its new owner's, though the very call that revoked it returned some."""
    rig = Rig(p0=5)
    rig.consumer.in_consume = [lambda: rig.consumer.revoke(P0)]
    assert rig.polled() == {}
    assert rig.consumer.told == []


def test_what_is_answered_of_a_partition_that_is_gone_is_not_told() -> None:
    """Law: it would set its new owner back."""
    rig = Rig(p0=5, p1=30)
    rig.polled()
    rig.consumer.revoke(P0)
    rig.answered({P0: 6, P1: 31})
    assert rig.consumer.told == [{P1: 31}]


def test_what_the_brokers_refuse_is_told_again_after_a_while(clock: list[float]) -> None:
    """Law: the newest offset, not at every poll, until they take it."""
    rig = Rig(p0=5)
    rig.consumer.refuses = 2
    rig.polled()
    rig.answered({P0: 6})
    rig.polled()
    assert rig.consumer.told == []
    clock[0] += TELL_AGAIN_S
    rig.polled()
    clock[0] += TELL_AGAIN_S
    rig.polled()
    rig.polled()
    assert rig.consumer.told == [{P0: 6}]


def test_a_client_that_cannot_commit_now_does_later(clock: list[float]) -> None:
    """Law: what it raises is no end of the worker: a commit that is lost costs a second reply at most."""
    rig = Rig(p0=5)
    rig.polled()
    rig.consumer.is_broken = True
    rig.answered({P0: 6})
    rig.consumer.is_broken = False
    clock[0] += TELL_AGAIN_S
    rig.polled()
    assert rig.consumer.told == [{P0: 6}]


@pytest.mark.parametrize("leave", [lambda rig: rig.consumer.revoke(P0), lambda rig: rig.source.close()])
def test_what_is_yet_to_be_told_is_told_before_a_partition_goes(leave: Callable[[Rig], None]) -> None:
    """Law: when it is revoked and when the worker leaves, so that nobody answers again."""
    rig = Rig(p0=5)
    rig.consumer.refuses = 1
    rig.polled()
    rig.answered({P0: 6})
    leave(rig)
    assert rig.consumer.seen_at_leave == [{P0: 6}]


def test_a_partition_that_was_lost_is_told_nothing_of() -> None:
    """Law: the group gave it to another one already."""
    rig = Rig(p0=5)
    rig.consumer.refuses = 1
    rig.polled()
    rig.answered({P0: 6})
    rig.consumer.lose(P0)
    rig.polled()
    assert rig.consumer.told == []


def test_errors_that_last_end_the_worker_and_others_do_not() -> None:
    """Law: with what to do about them."""
    rig = Rig(p0=5)
    rig.consumer.errors = [KafkaError(KafkaError._TRANSPORT, "away")]
    assert rig.polled() == {P0: [5, 6]}
    rig.consumer.errors = [KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "Group authorization failed")]
    with pytest.raises(SourceError, match="allow Read on group 'g'"):
        rig.polled()
    rig.consumer.is_broken = True
    with pytest.raises(SourceError, match=r"requests \[0\] cannot be rewound"):
        rig.source.rewind()
