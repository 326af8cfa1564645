"""The simulated Kafka as confluent_kafka shows it: Consumer, Producer and AdminClient, as far as they are used.

As in librdkafka, callbacks run inside `poll`, `consume` and `close`; heartbeats go on in the background unless the
process is frozen; a client that is not polled for `max.poll.interval.ms` leaves the group by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    TIMESTAMP_CREATE_TIME,
    KafkaError,
    TopicCollection,
    TopicPartition,
)
from decisions import Fault
from host import Host, seconds_of
from kafka_broker import SESSION_TIMEOUT_S, Broker, FencedMemberError, Place, Stored, Transaction, error

from schemas.messages import Headers

MAX_POLL_INTERVAL_S = 6.0
Rebalanced = Callable[["SimulatedConsumer", list[TopicPartition]], None]


@dataclass(frozen=True, slots=True)
class SimulatedMessage:
    """A message of confluent_kafka: a record with its place, or an error."""

    place: Place = ("", 0)
    at: int = 0
    stored: Stored | None = None
    failure: KafkaError | None = None

    def error(self) -> KafkaError | None:
        return self.failure

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self._stored.key

    def value(self) -> bytes | None:
        return self._stored.value

    def headers(self) -> Headers:
        return self._stored.headers

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, self._stored.timestamp_ms

    @property
    def _stored(self) -> Stored:
        assert self.stored is not None
        return self.stored


class SimulatedConsumer:
    """A member of the group."""

    def __init__(self, host: Host, broker: Broker) -> None:
        self.positions: dict[Place, int] = {}
        self.idle = False
        self._host = host
        self._broker = broker
        self._id = host.name
        self._epoch = -1
        self._joined = False
        self._lost = False
        self._silent = False
        self._closed = False
        self._read: set[Place] = set()
        self._paused: set[Place] = set()
        self._polled_at = host.scheduler.now
        self._calls: dict[str, Rebalanced] = {}
        host.on_freeze.append(self._frozen)
        self._watch_silence()

    def subscribe(self, _topics: list[str], on_assign: Rebalanced, on_revoke: Rebalanced, on_lost: Rebalanced) -> None:
        self._calls = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}

    def poll(self, timeout_s: float) -> SimulatedMessage | None:
        fault = self._host.enter("poll")
        message = self._served()
        found = [message] if message is not None else self._taken(1)
        if not found:
            self._polled_at = self._host.scheduler.now
            self._host.scheduler.wait(timeout_s)
            message = self._served()
            found = [message] if message is not None else self._taken(1)
        # Paused is what it is while a batch waits for the store.
        self.idle = not found and not self._paused
        self._host.leave(fault)
        self._polled_at = self._host.scheduler.now
        return found[0] if found else None

    def consume(self, most: int, _timeout_s: float) -> list[SimulatedMessage]:
        fault = self._host.enter("consume")
        message = self._served()
        found = [message] if message is not None else self._taken(self._host.dice.randint(0, most))
        self._host.leave(fault)
        return found

    def consumer_group_metadata(self) -> tuple[str, int]:
        return self._id, self._epoch

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for place, offset in ((_place(tp), tp.offset) for tp in partitions):
            self.positions[place] = offset
            self._read.discard(place)
            self._paused.discard(place)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            self.positions.pop(_place(tp), None)
            self._paused.discard(_place(tp))

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {_place(tp) for tp in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused -= {_place(tp) for tp in partitions}

    def seek(self, partition: TopicPartition) -> None:
        place = _place(partition)
        if place not in self.positions:
            raise error(KafkaError._STATE, "not assigned")
        self.positions[place] = partition.offset
        self._read.discard(place)

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        places = [_place(tp) for tp in partitions]
        return [TopicPartition(*p, self.positions[p] if p in self._read else OFFSET_INVALID) for p in places]

    def get_watermark_offsets(self, partition: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached
        return 0, len(self._log(_place(partition)))

    def close(self) -> None:
        self._host.enter("close")
        if self.positions:
            self._call("revoke", set(self.positions))
        self._closed = True
        self._joined = False
        self._broker.group.leave(self._id)

    def _served(self) -> SimulatedMessage | None:
        """Everything that waited for a poll: errors, and partitions that come and go."""
        self._polled_at = self._host.scheduler.now
        if self._silent:
            self._silent, self._lost = False, True
            return SimulatedMessage(failure=KafkaError(KafkaError._MAX_POLL_EXCEEDED, "max.poll.interval.ms exceeded"))
        if self._lost:
            self._lost = False
            self._call("lost", set(self.positions))
        if not self._joined:
            self._joined, self._epoch = True, self._broker.group.join(self._id)
        elif self._host.dice.random() < 0.7:
            self._heartbeat()
        return None

    def _heartbeat(self) -> None:
        group = self._broker.group
        try:
            self._epoch, revoked, assigned = group.heartbeat(self._id, self._epoch)
        except FencedMemberError:
            self._joined, self._lost, self._epoch = False, True, 0
            return
        if revoked:
            self._call("revoke", revoked)
            self._epoch = group.let_go(self._id, self._epoch, revoked)
        if assigned:
            self._call("assign", assigned)

    def _call(self, what: str, places: set[Place]) -> None:
        if places:
            self._host.tell(f"on_{what} {sorted(places)}")
            self._calls[what](self, [TopicPartition(*place) for place in sorted(places)])

    def _taken(self, most: int) -> list[SimulatedMessage]:
        """Up to so many records, partition by partition in runs, each in its order."""
        dice = self._host.dice
        found: list[SimulatedMessage] = []
        while len(found) < most:
            ready = [p for p, at in self.positions.items() if p not in self._paused and at < len(self._log(p))]
            if not ready:
                break
            place = dice.choice(ready)
            log = self._log(place)
            for _ in range(min(dice.randint(1, 4), most - len(found), len(log) - self.positions[place])):
                at = self.positions[place]
                found.append(SimulatedMessage(place, at, log[at]))
                self.positions[place] = at + 1
                self._read.add(place)
        return found

    def _log(self, place: Place) -> list[Stored]:
        return self._broker.topics[place[0]].logs[place[1]]

    def _frozen(self, seconds: float) -> None:
        if seconds > SESSION_TIMEOUT_S:
            scheduler = self._host.scheduler
            scheduler.at(scheduler.now + SESSION_TIMEOUT_S, lambda: self._broker.group.leave(self._id))

    def _watch_silence(self) -> None:
        """Heartbeats end with the process, after its session; with a client that is not polled, at once."""
        scheduler = self._host.scheduler
        if self._closed:
            return
        if self._host.gone and self._host.task is not None:
            scheduler.at(scheduler.now + SESSION_TIMEOUT_S, lambda: self._broker.group.leave(self._id))
            return
        if not self._host.frozen and self._joined and scheduler.now - self._polled_at >= MAX_POLL_INTERVAL_S:
            self._broker.group.leave(self._id)
            self._joined, self._silent, self._epoch = False, True, 0
        scheduler.at(scheduler.now + 1.0, self._watch_silence)


class SimulatedProducer:
    """A transactional producer."""

    def __init__(self, host: Host, broker: Broker, properties: Mapping[str, Any]) -> None:
        self._host = host
        self._broker = broker
        self._id = str(properties["transactional.id"])
        self._timeout_s = properties["transaction.timeout.ms"] / 1000
        self._epoch = -1
        self._queue: list[tuple[str, Stored]] = []

    def list_topics(self, timeout: float) -> None:
        """Nothing follows from what it says."""

    def init_transactions(self, timeout_s: float) -> None:
        fault = self._host.enter("init_transactions", "init_away")
        if _is(fault, "init_away"):
            self._host.scheduler.wait(timeout_s)
            raise error(KafkaError._TIMED_OUT, "timed out", retriable=True)
        self._epoch = self._broker.init(self._id)
        self._host.leave(fault)

    def begin_transaction(self) -> None:
        self._queue.clear()

    def produce(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
    ) -> None:
        self._queue.append((topic, Stored(key, value, tuple(headers), self._broker.now_ms())))

    def poll(self, _timeout_s: float) -> int:
        return 0

    def flush(self, timeout_s: float) -> int:
        fault = self._host.enter("flush", "flush_stuck")
        transaction = self._transaction()
        stuck = _is(fault, "flush_stuck") and self._queue
        sent = self._queue[: self._host.dice.randrange(len(self._queue))] if stuck else self._queue
        for topic, stored in sent:
            stored.transaction = transaction
            transaction.written.append(f"{topic} {dict(stored.headers)['ce_id']!r}")
            self._broker.topics[topic].logs[0].append(stored)
        self._queue = self._queue[len(sent) :]
        if stuck:
            self._host.scheduler.wait(timeout_s)
        self._host.leave(fault)
        return len(self._queue)

    def send_offsets_to_transaction(
        self, offsets: list[TopicPartition], metadata: tuple[str, int], timeout_s: float
    ) -> None:
        fault = self._host.enter("send_offsets", "offsets_lost", "offsets_unanswered")
        if not _is(fault, "offsets_lost"):
            self._broker.send_offsets(self._transaction(), {_place(tp): tp.offset for tp in offsets}, metadata)
        self._answer(fault, timeout_s)

    def commit_transaction(self, timeout_s: float) -> None:
        fault = self._host.enter("commit", "commit_lost", "commit_unanswered", "commit_late")
        if _is(fault, "commit_late"):
            scheduler, epoch, transaction = self._host.scheduler, self._epoch, self._transaction()
            when = scheduler.now + timeout_s * self._host.dice.random() * 2
            scheduler.at(when, lambda: self._broker.end_late(self._id, epoch, transaction))
        elif not _is(fault, "commit_lost"):
            self._end()
        self._answer(fault, timeout_s)

    def abort_transaction(self, timeout_s: float) -> None:
        fault = self._host.enter("abort", "abort_lost")
        if not _is(fault, "abort_lost"):
            self._broker.end(self._id, self._epoch, "aborted")
        self._answer(fault, timeout_s)

    def purge(self) -> None:
        self._queue.clear()

    def close(self, _timeout_s: float) -> None:
        self._host.enter("close producer")

    def _end(self) -> None:
        # Committed already, by a request whose answer was lost: the brokers say so once more.
        self._broker.end(self._id, self._epoch, "committed")

    def _transaction(self) -> Transaction:
        return self._broker.open(self._id, self._epoch, self._timeout_s)

    def _answer(self, fault: Fault | None, timeout_s: float) -> None:
        """The answer, unless it is lost: then the time limit passes, or only a part of it."""
        if fault is not None and fault.kind.endswith(("_lost", "_unanswered", "_late")):
            self._host.scheduler.wait(timeout_s if fault.amount > 0.5 else min(timeout_s, seconds_of(fault)))
            raise error(KafkaError._TIMED_OUT, "timed out", retriable=True)
        self._host.leave(fault)


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as `describe_topics` answers."""

    topic_id: str
    partitions: Sequence[object]


@dataclass(frozen=True, slots=True)
class SimulatedAsker:
    """A consumer that has the group's id and is no member of it."""

    host: Host
    broker: Broker

    def committed(self, partitions: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        _enter_unless_away(self.host, "committed", timeout_s)
        scheduler, places = self.host.scheduler, [_place(tp) for tp in partitions]
        until = scheduler.now + timeout_s
        while self.broker.pending(places):
            if scheduler.now >= until:
                raise error(KafkaError._TIMED_OUT, "offsets are pending", retriable=True)
            scheduler.wait(timeout_s / 4)
        return [TopicPartition(*place, self.broker.group.committed.get(place, OFFSET_INVALID)) for place in places]

    def get_watermark_offsets(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int]:
        _enter_unless_away(self.host, "low watermark", timeout_s)
        return 0, len(self.broker.topics[partition.topic].logs[partition.partition])

    def close(self) -> None:
        """There is nothing to leave."""


@dataclass(frozen=True, slots=True)
class SimulatedAdmin:
    """Knows the topics."""

    host: Host
    broker: Broker

    def describe_topics(self, topics: TopicCollection, request_timeout: float) -> dict[str, "Future[Described]"]:
        fault = self.host.enter("describe_topics", "broker_away")
        found: dict[str, Future[Described]] = {}
        for name in topics.topic_names:
            future: Future[Described] = Future()
            if _is(fault, "broker_away"):
                future.set_exception(error(KafkaError._TIMED_OUT, "timed out", retriable=True))
            else:
                topic = self.broker.topics[name]
                future.set_result(Described(topic.topic_id, topic.logs))
            found[name] = future
        if _is(fault, "broker_away"):
            self.host.scheduler.wait(request_timeout)
        self.host.leave(fault)
        return found


def _enter_unless_away(host: Host, call: str, timeout_s: float) -> None:
    fault = host.enter(call, "broker_away")
    if _is(fault, "broker_away"):
        host.scheduler.wait(timeout_s)
        raise error(KafkaError._TIMED_OUT, "timed out", retriable=True)
    host.leave(fault)


def _place(partition: TopicPartition) -> Place:
    return partition.topic, partition.partition


def _is(fault: Fault | None, kind: str) -> bool:
    return fault is not None and fault.kind == kind
