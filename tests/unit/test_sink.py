"""The transactional sink over a producer that fails as librdkafka does: what is retried, aborted, replaced, refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from producers.sink import (
    FencedError,
    MessageTooLargeError,
    SinkError,
    SinkOptions,
    TransactionAbortedError,
    TransactionalSink,
)
from schemas.messages import Message

OPTIONS = SinkOptions("worker-1", flush_timeout_s=0.05, commit_timeout_s=0.05, init_timeout_s=3.0, group="readers")
RETRIABLE = KafkaException(KafkaError(KafkaError._TIMED_OUT, "timed out", retriable=True))
ABORTABLE = KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION, "rebalanced", txn_requires_abort=True))
FATAL = KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "out of order", fatal=True))
TOO_LARGE = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large", txn_requires_abort=True))
PLAIN = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large"))
FENCED = [
    KafkaException(KafkaError(code, "fenced", fatal=True))
    for code in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)
]
MESSAGE = Message("lists", b"u", b"{}", (("a", b"1"),))
OFFSETS = {("ratings", 0): 7, ("ratings", 1): 9}
METADATA = object()


@dataclass
class Broker:
    """Makes producers; keeps every call of all of them in order, and fails calls by name, in turn."""

    failures: dict[str, list[Exception | None]] = field(default_factory=dict)
    undelivered: list[int] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    producers: list["FakeProducer"] = field(default_factory=list)

    def producer(self, properties: dict[str, Any]) -> "FakeProducer":
        self.called("new")
        self.producers.append(FakeProducer(self, properties))
        return self.producers[-1]

    def called(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments))
        waiting = self.failures.get(name)
        if waiting and (failure := waiting.pop(0)) is not None:
            raise failure

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls if call[0] != "list"]


@dataclass
class FakeProducer:
    broker: Broker
    properties: dict[str, Any]

    def list_topics(self, timeout: float) -> None:
        self.broker.called("list", timeout)

    def init_transactions(self, timeout_s: float) -> None:
        self.broker.called("init", timeout_s)

    def begin_transaction(self) -> None:
        self.broker.called("begin")

    def produce(self, topic: str, **fields: Any) -> None:
        self.broker.called("produce", topic, fields)

    def poll(self, timeout_s: float) -> int:
        self.broker.called("poll", timeout_s)
        return 0

    def flush(self, timeout_s: float) -> int:
        self.broker.called("flush", timeout_s)
        return self.broker.undelivered.pop(0) if self.broker.undelivered else 0

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], metadata: object, timeout_s: float) -> None:
        places = {(offset.topic, offset.partition): offset.offset for offset in offsets}
        self.broker.called("offsets", places, metadata, timeout_s > 0)

    def commit_transaction(self, timeout_s: float) -> None:
        self.broker.called("commit", timeout_s > 0)

    def abort_transaction(self, timeout_s: float) -> None:
        self.broker.called("abort", timeout_s)

    def purge(self) -> None:
        self.broker.called("purge")

    def close(self, timeout_s: float) -> None:
        self.broker.called("close", timeout_s)


def sink_of(broker: Broker, **properties: Any) -> TransactionalSink:
    """A sink that is connected, its calls so far forgotten."""
    sink = TransactionalSink(properties, OPTIONS, broker.producer)
    broker.calls.clear()
    return sink


def transaction(sink: TransactionalSink, messages: Sequence[Message] = (MESSAGE,)) -> None:
    sink.begin()
    sink.send(messages)
    sink.commit(OFFSETS, METADATA)


def test_a_producer_is_ready_once_it_has_fenced_its_predecessors() -> None:
    """Law: keys land where Java's clients put them, and what the guarantee rests on cannot be overridden."""
    broker = Broker()
    given = {"bootstrap.servers": "b:1", "enable.idempotence": False, "linger.ms": 3}
    TransactionalSink(given, OPTIONS, broker.producer)
    assert broker.calls == [("new",), ("list", 1.0), ("init", 3.0)]
    expected = {
        "bootstrap.servers": "b:1",
        "linger.ms": 3,
        "retry.backoff.ms": 10,
        "compression.type": "zstd",
        "metadata.recovery.strategy": "none",
        "partitioner": "murmur2_random",
        "transactional.id": "worker-1",
        "transaction.timeout.ms": 15_000,
        "enable.idempotence": True,
    }
    assert expected.items() <= broker.producers[0].properties.items()


def test_a_transaction_is_flushed_before_its_offsets_are_sent() -> None:
    """Law: begin, messages, flush, offsets with the batch's own group metadata, commit."""
    broker = Broker()
    transaction(sink_of(broker))
    fields = {"key": b"u", "value": b"{}", "headers": [("a", b"1")]}
    assert broker.calls == [
        ("begin",),
        ("produce", "lists", fields),
        ("poll", 0),
        ("flush", OPTIONS.flush_timeout_s),
        ("offsets", OFFSETS, METADATA, True),
        ("commit", True),
    ]


def test_a_message_names_its_partition_only_where_it_has_one() -> None:
    """Law: without one the partitioner decides; a partition of 0 is one."""
    broker = Broker()
    sink_of(broker).send([MESSAGE, Message("replies", None, None, (), 0)])
    produced = [call[2] for call in broker.calls if call[0] == "produce"]
    assert ["partition" in fields for fields in produced] == [False, True]
    assert produced[1] == {"key": None, "value": None, "headers": [], "partition": 0}


def test_a_message_names_its_time_only_where_it_has_one() -> None:
    """Law: without one it is the time of sending; the first millisecond of 1970 is one."""
    broker = Broker()
    sink_of(broker).send([MESSAGE, Message("ratings", None, None, timestamp_ms=0)])
    produced = [call[2] for call in broker.calls if call[0] == "produce"]
    assert [fields.get("timestamp") for fields in produced] == [None, 0]


def test_a_transaction_without_offsets_sends_none() -> None:
    """Law: what reads no input as a group commits no offsets, and needs no metadata."""
    broker = Broker()
    sink = sink_of(broker)
    sink.begin()
    sink.send([MESSAGE])
    sink.commit({})
    assert broker.names == ["begin", "produce", "poll", "flush", "commit"]


@pytest.mark.parametrize("step", ["flush", "commit"])
def test_a_message_too_large_for_its_topic_is_told_apart(step: str) -> None:
    """Law: the transaction is aborted as any other, and whoever can do without the message hears of it."""
    broker = Broker({step: [TOO_LARGE]})
    sink = sink_of(broker)
    with pytest.raises(MessageTooLargeError, match="too large"):
        transaction(sink)
    assert broker.names[-2:] == [step, "abort"]


@pytest.mark.parametrize("step", ["offsets", "commit"])
def test_a_retriable_error_is_answered_by_calling_again(step: str) -> None:
    """Law: a timeout leaves open whether the brokers did it, so it is asked again and never aborted."""
    broker = Broker({step: [RETRIABLE, RETRIABLE]})
    transaction(sink_of(broker))
    assert broker.names.count(step) == 3
    assert "abort" not in broker.names
    assert len(broker.producers) == 1


@pytest.mark.parametrize("step", ["offsets", "commit"])
def test_what_stays_retriable_beyond_the_limit_replaces_the_producer(step: str) -> None:
    """Law: only a new producer with the same id tells how a commit without an answer ended."""
    broker = Broker({step: [RETRIABLE] * 1_000_000})
    sink = sink_of(broker)
    with pytest.raises(TransactionAbortedError, match="timed out"):
        transaction(sink)
    assert broker.names[-3:] == ["purge", "new", "init"]
    assert "abort" not in broker.names


def test_a_connection_is_there_before_transactions_begin() -> None:
    """Law: the client knows a broker before it looks for its coordinator; that none answered is init's to say."""
    broker = Broker({"list": [KafkaException(KafkaError(KafkaError._TRANSPORT, "away"))]})
    TransactionalSink({}, OPTIONS, broker.producer)
    assert [call[0] for call in broker.calls] == ["new", "list", "init"]


@pytest.mark.parametrize("step", ["offsets", "commit"])
def test_an_error_that_comes_at_once_is_not_met_by_a_busy_loop(step: str) -> None:
    """Law: between two attempts there is a pause, however soon the answer comes."""
    broker = Broker({step: [RETRIABLE] * 1_000_000})
    with pytest.raises(TransactionAbortedError):
        transaction(sink_of(broker))
    assert 1 < broker.names.count(step) < 10


@pytest.mark.parametrize("step", ["produce", "flush", "offsets", "commit"])
def test_an_error_that_asks_for_it_aborts_the_transaction(step: str) -> None:
    """Law: the same producer is ready for the next transaction."""
    broker = Broker({step: [ABORTABLE]})
    sink = sink_of(broker)
    with pytest.raises(TransactionAbortedError, match="rebalanced"):
        transaction(sink)
    assert broker.names[-2:] == [step, "abort"]
    transaction(sink)
    assert broker.names[-1] == "commit"
    assert len(broker.producers) == 1


def test_a_producer_that_cannot_abort_is_replaced() -> None:
    """Law: after a failed abort the next transaction is begun by a new producer with the same id."""
    broker = Broker({"commit": [ABORTABLE], "abort": [RETRIABLE]})
    sink = sink_of(broker)
    with pytest.raises(TransactionAbortedError):
        transaction(sink)
    assert broker.names[-4:] == ["abort", "purge", "new", "init"]
    assert [producer.properties["transactional.id"] for producer in broker.producers] == ["worker-1"] * 2
    transaction(sink)


@pytest.mark.parametrize("error", FENCED)
@pytest.mark.parametrize("step", ["begin", "produce", "flush", "offsets", "commit"])
def test_a_fenced_producer_stops_and_says_whose_setting_it_is(step: str, error: KafkaException) -> None:
    """Law: being fenced is never retried, aborted or answered by a new producer."""
    broker = Broker({step: [error]})
    sink = sink_of(broker)
    with pytest.raises(FencedError, match=r"'worker-1'.*`instance`"):
        transaction(sink)
    assert broker.names[-1] == step
    assert len(broker.producers) == 1


@pytest.mark.parametrize("step", ["produce", "poll"])
def test_a_client_that_only_says_it_is_broken_is_asked_why(step: str) -> None:
    """Law: after a fatal error `produce` names no reason; the sink still tells being fenced from other faults."""
    broken = KafkaException(KafkaError(KafkaError._FATAL, "fatal"))
    with pytest.raises(FencedError):
        transaction(sink_of(Broker({step: [broken], "abort": [FENCED[0]]})))
    with pytest.raises(SinkError, match="out of order") as refused:
        transaction(sink_of(Broker({step: [broken], "abort": [FATAL]})))
    assert type(refused.value) is SinkError


@pytest.mark.parametrize("error", FENCED)
def test_two_workers_of_one_name_do_not_fence_each_other_in_turns(error: KafkaException) -> None:
    """Law: a producer that learns while aborting that it was fenced gives way."""
    broker = Broker({"commit": [ABORTABLE], "abort": [error]})
    sink = sink_of(broker)
    with pytest.raises(FencedError):
        transaction(sink)
    assert len(broker.producers) == 1


@pytest.mark.parametrize("failures", [{"commit": [FENCED[0]]}, {"offsets": [ABORTABLE], "abort": [FENCED[0]]}])
def test_a_transaction_that_outlived_its_limit_is_no_rival(failures: dict[str, list[Exception | None]]) -> None:
    """Law: the brokers fence a worker that slept in a transaction themselves; it goes on with a new producer."""
    broker = Broker(failures)
    sink = TransactionalSink({}, replace(OPTIONS, transaction_timeout_s=0.0), broker.producer)
    with pytest.raises(TransactionAbortedError, match="took longer than 0 s"):
        transaction(sink)
    assert broker.names[-3:] == ["purge", "new", "init"]
    transaction(sink)
    assert broker.names[-1] == "commit"


def test_the_age_of_a_transaction_is_its_own() -> None:
    """Law: what counts is when it was begun, not when the producer was made or an earlier one begun."""
    sink = sink_of(Broker({"commit": [FENCED[0]]}))
    sink._begun_at -= 60
    with pytest.raises(FencedError):
        transaction(sink)


def test_a_rival_that_is_met_again_ends_the_worker() -> None:
    """Law: a new producer that is fenced while it begins is not replaced by yet another."""
    broker = Broker({"init": [None, FENCED[0]], "commit": [FENCED[0]]})
    sink = TransactionalSink({}, replace(OPTIONS, transaction_timeout_s=0.0), broker.producer)
    with pytest.raises(FencedError):
        transaction(sink)
    assert len(broker.producers) == 2


def test_a_producer_that_is_fenced_while_it_begins_says_so() -> None:
    """Law: losing the race for the id at the start is the same failure as losing it later."""
    with pytest.raises(FencedError):
        TransactionalSink({}, OPTIONS, Broker({"init": [FENCED[0]]}).producer)


@pytest.mark.parametrize("error", [FATAL, PLAIN])
@pytest.mark.parametrize("step", ["begin", "produce", "flush", "offsets", "commit"])
def test_any_other_error_stops_the_worker(step: str, error: KafkaException) -> None:
    """Law: what is neither retriable nor abortable is not tried again; the message says what was being done."""
    broker = Broker({step: [error]})
    with pytest.raises(SinkError, match=rf"could not .*: {error.args[0].str()}") as raised:
        transaction(sink_of(broker))
    assert type(raised.value) is SinkError
    assert broker.names[-1] == step


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "allow Write on lists"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "allow Read on group 'readers'"),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "allow Write on transactional id 'worker-1'"),
    ],
)
@pytest.mark.parametrize("step", ["produce", "offsets", "commit"])
def test_what_is_forbidden_ends_the_worker_at_once(step: str, code: int, sentence: str) -> None:
    """Law: a refusal is not tried again, leaves nothing open, and says what must be allowed on which resource."""
    broker = Broker({step: [KafkaException(KafkaError(code, "forbidden", txn_requires_abort=True))]})
    with pytest.raises(SinkError, match=f"forbidden; {sentence}") as raised:
        transaction(sink_of(broker))
    assert type(raised.value) is SinkError
    assert broker.names[-2:] == [step, "abort"]


def test_messages_that_are_not_taken_in_time_replace_the_producer() -> None:
    """Law: when a flush leaves messages, sending the offsets might hang: the producer goes, they are never sent."""
    broker = Broker(undelivered=[2])
    sink = sink_of(broker)
    with pytest.raises(TransactionAbortedError, match="in time"):
        transaction(sink)
    assert broker.names[-4:] == ["flush", "purge", "new", "init"]
    assert broker.producers[1].properties == broker.producers[0].properties
    assert "offsets" not in broker.names
    transaction(sink)
    assert broker.names[-1] == "commit"


def test_no_new_producer_stops_the_worker() -> None:
    """Law: without a producer there is nothing to go on with."""
    broker = Broker({"init": [None, RETRIABLE]}, undelivered=[1])
    with pytest.raises(SinkError, match="no transaction can be begun as 'worker-1': timed out") as raised:
        transaction(sink_of(broker))
    assert not isinstance(raised.value, TransactionAbortedError)


def test_a_full_queue_is_waited_for() -> None:
    """Law: the message that did not fit is produced once there is room, in its order."""
    broker = Broker({"produce": [None, BufferError(), BufferError()]})
    second = Message("lists", b"v", b"{}")
    sink_of(broker).send([MESSAGE, second])
    assert broker.names == ["produce", "produce", "poll", "produce", "poll", "produce", "poll"]
    assert [call[2]["key"] for call in broker.calls if call[0] == "produce"] == [b"u", b"v", b"v", b"v"]


def test_a_queue_that_stays_full_replaces_the_producer() -> None:
    """Law: waiting for room has the limit of a flush."""
    broker = Broker({"produce": [BufferError()] * 1_000_000})
    with pytest.raises(TransactionAbortedError, match="stayed full"):
        transaction(sink_of(broker))
    assert broker.names[-3:] == ["purge", "new", "init"]


def test_giving_a_batch_up_leaves_the_sink_ready() -> None:
    """Law: an abort that was asked for is no failure."""
    broker = Broker()
    sink = sink_of(broker)
    sink.begin()
    sink.send([MESSAGE])
    sink.abort()
    assert broker.names[-1] == "abort"
    transaction(sink)


@pytest.mark.parametrize("failing", ["purge", "close"])
def test_closing_never_raises(failing: str) -> None:
    """Law: a producer that cannot be closed does not hide why the worker ended."""
    sink_of(Broker({failing: [RETRIABLE]})).close()


def test_closing_drops_what_is_open() -> None:
    """Law: nothing is delivered on the way out; what is open is aborted by the brokers."""
    broker = Broker()
    sink = sink_of(broker)
    sink.begin()
    sink.close()
    assert broker.names == ["begin", "purge", "close"]
