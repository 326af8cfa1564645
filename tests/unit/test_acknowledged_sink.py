"""The sink without transactions over a producer that fails as librdkafka does: what is there, what may not be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producers.acknowledged_sink import AcknowledgedSink, NotDeliveredError
from producers.sink import SinkError
from schemas.messages import Message

TIMEOUT_S = 0.05
REPLIES = [Message("replies", b"r1", b"{}", (("a", b"1"),), 0), Message("others", b"r2", b"{}")]


@dataclass
class Broker:
    """Makes producers, keeps what they are asked, and says what became of each record, in turn: nothing, or an error.

    `keeps` records are never answered for.
    """

    answers: list[KafkaError | None] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    keeps: int = 0
    taken: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    made: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def producer(self, properties: dict[str, Any]) -> "FakeProducer":
        self.made.append(properties)
        return FakeProducer(self)

    def called(self, name: str) -> None:
        self.calls.append(name)
        if waiting := self.failures.get(name):
            raise waiting.pop(0)


@dataclass
class FakeProducer:
    broker: Broker
    queue: list[Callable[[KafkaError | None, object], None]] = field(default_factory=list)

    def produce(self, topic: str, *, on_delivery: Callable[[KafkaError | None, object], None], **fields: Any) -> None:
        self.broker.called("produce")
        self.broker.taken.append((topic, fields))
        self.queue.append(on_delivery)

    def poll(self, _timeout_s: float) -> int:
        self.broker.called("poll")
        return 0

    def flush(self, timeout_s: float) -> int:
        assert 0 <= timeout_s <= TIMEOUT_S
        self.broker.called("flush")
        while len(self.queue) > self.broker.keeps:
            self.queue.pop(0)(self.broker.answers.pop(0) if self.broker.answers else None, None)
        return len(self.queue)

    def purge(self) -> None:
        self.broker.called("purge")

    def close(self, _timeout_s: float) -> None:
        self.broker.called("close")


def sink_of(broker: Broker, **properties: Any) -> AcknowledgedSink:
    return AcknowledgedSink(properties, TIMEOUT_S, broker.producer)


def refused(code: int) -> KafkaError:
    return KafkaError(code, "the brokers say so")


def test_what_the_guarantee_rests_on_cannot_be_overridden() -> None:
    """Law: acknowledged by all in-sync replicas, without doubles of one sending, where Java's clients put them."""
    broker = Broker()
    sink_of(broker, **{"acks": "1", "enable.idempotence": False, "linger.ms": 3})
    expected = {"acks": "all", "enable.idempotence": True, "linger.ms": 3, "partitioner": "murmur2_random"}
    assert broker.made == [expected]


def test_records_are_delivered_once_the_brokers_have_them() -> None:
    """Law: as they are, with a partition where they name one; the producer goes on to be used."""
    broker = Broker()
    sink = sink_of(broker)
    sink.deliver(REPLIES)
    sink.deliver(REPLIES[:1])
    assert broker.calls == ["produce", "produce", "flush", "produce", "flush"]
    headers = [("a", b"1")]
    assert broker.taken[0] == ("replies", {"key": b"r1", "value": b"{}", "headers": headers, "partition": 0})
    assert broker.taken[1] == ("others", {"key": b"r2", "value": b"{}", "headers": []})
    assert len(broker.made) == 1


@pytest.mark.parametrize("answers", [[refused(KafkaError._MSG_TIMED_OUT)], [None, refused(KafkaError._MSG_TIMED_OUT)]])
def test_a_record_that_is_not_taken_is_told(answers: Sequence[KafkaError | None]) -> None:
    """Law: whichever it is, with the brokers' reason and the topics; the next ones have a producer of their own."""
    broker = Broker([*answers])
    sink = sink_of(broker)
    with pytest.raises(NotDeliveredError, match=r"others, replies: the brokers say so"):
        sink.deliver(REPLIES)
    assert (broker.calls[-1], len(broker.made)) == ("purge", 2)
    sink.deliver(REPLIES)


def test_records_that_nothing_is_heard_of_are_told() -> None:
    """Law: they may be there or not, and what becomes of them later is nothing to the next ones."""
    broker = Broker(keeps=1)
    sink = sink_of(broker)
    with pytest.raises(NotDeliveredError, match=r"did not take the records within 0\.05 s"):
        sink.deliver(REPLIES)
    broker.keeps = 0
    sink.deliver(REPLIES)
    assert len(broker.made) == 2


@pytest.mark.parametrize("call", ["produce", "flush"])
def test_a_client_that_fails_is_replaced(call: str) -> None:
    """Law: a record that the client does not take, and a producer that is broken, are told as any other failure."""
    broker = Broker(failures={call: [KafkaException(refused(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER))]})
    with pytest.raises(NotDeliveredError, match="the brokers say so"):
        sink_of(broker).deliver(REPLIES)
    assert len(broker.made) == 2


def test_a_full_queue_is_waited_for() -> None:
    """Law: while the brokers take something, nothing is lost; a queue that stays full is a failure, in time."""
    broker = Broker(failures={"produce": [BufferError(), BufferError()]})
    sink_of(broker).deliver(REPLIES)
    assert broker.calls == ["produce", "poll", "produce", "poll", "produce", "produce", "flush"]
    stuck = Broker(failures={"produce": [BufferError() for _ in range(1_000_000)]})
    with pytest.raises(NotDeliveredError, match="Queue full"):
        sink_of(stuck).deliver(REPLIES)


def test_what_is_forbidden_is_said_with_what_to_do() -> None:
    """Law: sending it again does not help, so it is no failure that may pass."""
    broker = Broker([refused(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
    with pytest.raises(SinkError, match="allow Write on replies") as said:
        sink_of(broker).deliver(REPLIES[:1])
    assert not isinstance(said.value, NotDeliveredError)


def test_closing_drops_what_is_left() -> None:
    """Law: and a client that cannot is no error of ours."""
    broker = Broker(failures={"close": [KafkaException(refused(KafkaError._TIMED_OUT))]})
    sink_of(broker).close()
    assert broker.calls == ["purge", "close"]
