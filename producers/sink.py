"""The transactional sink: outputs, dead letters and input offsets become visible together or not at all.

Measured (librdkafka 2.16 against Kafka 4.3): `flush` before `send_offsets_to_transaction` saves up to 80 ms; a commit
that times out retriably is committed by calling it again; delivery callbacks turn errors into `SystemError`, so there
are none. When no broker answers, the client by default forgets all it knows, and a request that waits for one of them
(`send_offsets_to_transaction`) never returns: `metadata.recovery.strategy` is off. The epoch bump of
`init_transactions` is what fences a predecessor's late request.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from schemas.messages import Message

_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001  # librdkafka's own codes are named so
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)

_REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow Write on {written}, and Read on the topics that are read",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "allow Read on group {group!r}",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "allow Write on transactional id {transactional_id!r}",
}
"""What an operator has to allow, by what the brokers say; waiting cures none of it."""

_RETRY_PAUSE_S = 0.02
_CONNECT_TIMEOUT_S = 1.0

ProducerFactory = Callable[[dict[str, Any]], Any]


class SinkError(Exception):
    """The sink cannot go on."""


class TransactionAbortedError(SinkError):
    """Nothing of the transaction is visible, or whether it is cannot be known: go on from the committed offsets."""


class MessageTooLargeError(TransactionAbortedError):
    """A message is larger than its topic takes, even packed; nothing of the transaction is visible."""


class FencedError(SinkError):
    """Another producer took over the transactional id."""


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """Limits in seconds: of one transaction on the broker, of flushing, and of committing with all its retries.

    `group` is the consumer group of the offsets, for errors to name.
    """

    transactional_id: str
    transaction_timeout_s: float = 15.0
    flush_timeout_s: float = 10.0
    commit_timeout_s: float = 30.0
    init_timeout_s: float = 30.0
    group: str = ""


class TransactionalSink:
    """One transaction after the other: `begin`, `send`, `commit`; any failure leaves it ready for the next `begin`."""

    def __init__(
        self, properties: Mapping[str, Any], options: SinkOptions, factory: ProducerFactory = Producer
    ) -> None:
        """Connect and fence predecessors with the same transactional id.

        Raises:
            FencedError: another producer fenced this one meanwhile.
            SinkError: the brokers did not answer in time or refused.
        """
        self._options = options
        self._factory = factory
        self._properties = {
            "linger.ms": 0,
            "retry.backoff.ms": 10,
            # A dead letter has to pack about as small as its sender packed the record, to stay within its limit.
            "compression.type": "zstd",
            "metadata.recovery.strategy": "none",
            "partitioner": "murmur2_random",
            **properties,
            "transactional.id": options.transactional_id,
            "transaction.timeout.ms": int(options.transaction_timeout_s * 1000),
            "enable.idempotence": True,
        }
        self._begun_at = time.monotonic()
        self._written: set[str] = set()
        self._producer = self._new_producer()

    def begin(self) -> None:
        """Begin a transaction."""
        self._begun_at = time.monotonic()
        self._written.clear()
        self._guarded("begin a transaction", self._producer.begin_transaction)

    def send(self, messages: Iterable[Message]) -> None:
        """Hand messages to the producer; they travel while the caller goes on."""
        deadline = time.monotonic() + self._options.flush_timeout_s
        for message in messages:
            self._written.add(message.topic)
            self._produce(message, deadline)
        self._guarded("send", lambda: self._producer.poll(0))

    def commit(self, next_offsets: Mapping[tuple[str, int], int], group_metadata: Any = None) -> None:
        """Commit the messages sent and the input's offsets, by (topic, partition), together; offsets need metadata.

        Raises:
            MessageTooLargeError: a message does not fit its topic; nothing is visible.
            TransactionAbortedError: nothing is visible or it cannot be known; go on from the committed offsets.
            FencedError: another producer took over.
        """
        self._guarded("flush", self._flush)
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in next_offsets.items()]
        limit_s = self._options.commit_timeout_s
        if offsets:
            self._retried(
                "send the offsets",
                lambda left_s: self._producer.send_offsets_to_transaction(offsets, group_metadata, left_s),
                limit_s,
            )
        self._retried("commit", self._producer.commit_transaction, limit_s)

    def abort(self) -> None:
        """Give up the transaction in hand."""
        with contextlib.suppress(TransactionAbortedError):
            self._abort("the worker gave the batch up")

    def close(self) -> None:
        """Let the producer go; a transaction still open is aborted by the brokers."""
        with contextlib.suppress(KafkaException), warnings.catch_warnings():
            # A fenced producer cannot abort what is open, and would say so as a warning beside our own error.
            warnings.simplefilter("ignore", RuntimeWarning)
            self._producer.purge()
            self._producer.close(self._options.flush_timeout_s)

    def _flush(self) -> None:
        if self._producer.flush(self._options.flush_timeout_s):
            self._replace("the brokers did not take the messages in time")

    def _produce(self, message: Message, deadline: float) -> None:
        while True:
            try:
                self._producer.produce(message.topic, **fields_of(message))
            except BufferError:
                if time.monotonic() > deadline:
                    self._replace("the producer's queue stayed full")
                self._guarded(f"send to {message.topic}", lambda: self._producer.poll(0.05))
            except KafkaException as error:
                self._fail(f"send to {message.topic}", error)
            else:
                return

    def _guarded(self, doing: str, call: Callable[[], object]) -> None:
        try:
            call()
        except KafkaException as error:
            self._fail(doing, error)

    def _retried(self, doing: str, call: Callable[[float], object], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while True:
            try:
                call(max(0.1, deadline - time.monotonic()))
            except KafkaException as error:
                kafka_error: KafkaError = error.args[0]
                if not kafka_error.retriable():
                    self._fail(doing, error)
                if time.monotonic() > deadline:
                    self._replace(f"could not {doing} in {limit_s:g} s: {kafka_error.str()}")
                # Some come at once, as while the offsets of another transaction are pending.
                time.sleep(_RETRY_PAUSE_S)
            else:
                return

    def _fail(self, doing: str, error: KafkaException) -> None:
        error = self._reason(error)
        self._refuse_fenced(error)
        kafka_error: KafkaError = error.args[0]
        if kafka_error.code() in _REFUSED:
            self.abort()
        elif kafka_error.txn_requires_abort() or kafka_error.retriable():
            is_size = kafka_error.code() == KafkaError.MSG_SIZE_TOO_LARGE
            kind = MessageTooLargeError if is_size else TransactionAbortedError
            self._abort(f"could not {doing}: {kafka_error.str()}", kind)
        raise SinkError(f"could not {doing}: {self._said(kafka_error)}") from error

    def _reason(self, error: KafkaException) -> KafkaException:
        """What broke the client, where all it says is that it is broken."""
        if error.args[0].code() != KafkaError._FATAL:  # noqa: SLF001
            return error
        try:
            self._producer.abort_transaction(self._options.commit_timeout_s)
        except KafkaException as reason:
            return reason
        return error

    def _said(self, error: KafkaError) -> str:
        remedy = _REFUSED.get(error.code())
        if remedy is None:
            return error.str()
        written = ", ".join(sorted(self._written)) or "the topics that are written"
        names = {"transactional_id": self._options.transactional_id, "group": self._options.group}
        return f"{error.str()}; {remedy.format(written=written, **names)}"

    def _refuse_fenced(self, error: KafkaException) -> None:
        if not _is_fenced(error):
            return
        if time.monotonic() - self._begun_at > (limit_s := self._options.transaction_timeout_s):
            # The brokers end what lasts too long as if another producer had come; a new producer is safe either way.
            self._replace(f"the brokers ended a transaction that took longer than {limit_s:g} s")
        raise self._fenced() from error

    def _fenced(self) -> FencedError:
        return FencedError(
            f"another process produces with the transactional id {self._options.transactional_id!r}: "
            "give every worker its own `instance`"
        )

    def _abort(self, why: str, kind: type[TransactionAbortedError] = TransactionAbortedError) -> None:
        try:
            self._producer.abort_transaction(self._options.commit_timeout_s)
        except KafkaException as error:
            # A new producer would fence the one that fenced us, and so on in turns.
            self._refuse_fenced(error)
            self._replace(why)
        raise kind(why)

    def _replace(self, why: str) -> None:
        with contextlib.suppress(KafkaException):
            self._producer.purge()
        self._producer = self._new_producer()
        raise TransactionAbortedError(why)

    def _new_producer(self) -> Any:
        try:
            producer = self._factory(self._properties)
            # Before a connection stands the client would not find its coordinator, and look again after half a second.
            with contextlib.suppress(KafkaException):
                producer.list_topics(timeout=_CONNECT_TIMEOUT_S)
            producer.init_transactions(self._options.init_timeout_s)
        except KafkaException as error:
            if _is_fenced(error):
                raise self._fenced() from error
            kafka_error: KafkaError = error.args[0]
            raise SinkError(
                f"no transaction can be begun as {self._options.transactional_id!r}: {self._said(kafka_error)}"
            ) from error
        return producer


def fields_of(message: Message) -> dict[str, Any]:
    """A message as `produce` takes it, beside its topic: without a partition the partitioner decides."""
    return {
        "key": message.key,
        "value": message.value,
        "headers": list(message.headers),
        **({} if message.partition is None else {"partition": message.partition}),
        **({} if message.timestamp_ms is None else {"timestamp": message.timestamp_ms}),
    }


def _is_fenced(error: KafkaException) -> bool:
    return error.args[0].code() in _FENCED
