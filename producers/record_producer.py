"""How records of ours reach a topic: idempotent, acknowledged by all in-sync replicas, in order per key.

Sending only queues. Whether the broker has a record is known after `flush` or `close`; they raise `DeliveryError` if it
has not.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.client_log import ClientLog
from schemas.decode import WireRules
from schemas.messages import Message as Outgoing

FLUSH_TIMEOUT_S = 30.0
ABANDON_TIMEOUT_S = 5.0
"""How long `with` still tries to deliver when its body raised."""
DELIVERY_TIMEOUT_MS = 120_000
FAILURES_KEPT_MAX = 100
_QUEUE_POLL_S = 0.1
_OURS: dict[str, Any] = {"partitioner": "murmur2_random", "enable.idempotence": True, "acks": "all"}
_DEFAULTS: dict[str, Any] = {
    "linger.ms": 0,
    "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
    # By default a broker that was away may be back for ten seconds before it is asked again.
    "reconnect.backoff.max.ms": 1_000,
}
_REFUSED = {*_OURS, "request.required.acks", "transactional.id", "bootstrap.servers", "metadata.broker.list"}


@dataclass(frozen=True, slots=True)
class FailedRecord:
    """A record that the broker did not take, and why."""

    key: bytes | None
    value: bytes | None
    error: str


class DeliveryError(RuntimeError):
    """Records that were queued and did not arrive; `records` holds the first `FAILURES_KEPT_MAX` of them."""

    def __init__(self, message: str, records: tuple[FailedRecord, ...] = ()) -> None:
        super().__init__(message)
        self.records = records


class RecordProducer:
    """Sends records to one topic; one for all threads of a process is enough.

    `settings` are further properties of librdkafka, such as `security.protocol`.

    Raises:
        ValueError: a setting that librdkafka does not know, or that is not free here.
    """

    def __init__(self, bootstrap_servers: str, topic: str, settings: Mapping[str, Any] | None = None) -> None:
        self.topic = topic
        self._failed: list[FailedRecord] = []
        self._failed_count = 0
        self._last_error = "none reported"
        self._closed = False
        self._client = _client({"bootstrap.servers": bootstrap_servers, "error_cb": self._heard}, settings or {})

    def queue(self, message: Outgoing) -> None:
        """Queue a record; waits while the local queue is full.

        Raises:
            DeliveryError: the queue is full and records in it failed.
        """
        while not self._queued(message):
            self._client.poll(_QUEUE_POLL_S)
            self.check()
        self._client.poll(0)

    def check(self) -> None:
        """Serve what the broker reported so far.

        Raises:
            DeliveryError: records failed since this was last raised.
        """
        self._client.poll(0)
        if not self._failed_count:
            return
        failed, count = tuple(self._failed), self._failed_count
        self._failed.clear()
        self._failed_count = 0
        first = failed[0]
        message = (
            f"{count} records did not reach {self.topic!r}; the first, {first.key!r}: {first.value!r}: {first.error}"
        )
        raise DeliveryError(message, failed)

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait until the broker has everything.

        Raises:
            DeliveryError: it refused records, or some are still queued after `timeout_s`.
        """
        waiting = self._client.flush(timeout_s)
        self.check()
        if waiting:
            raise DeliveryError(
                f"{waiting} records for {self.topic!r} still wait after {timeout_s:g} s: can the brokers be reached? "
                f"The client's last error: {self._last_error}"
            )

    def close(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Flush, then let go of the connection; a second call does nothing.

        Raises:
            DeliveryError: as `flush`; what had not arrived is dropped.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self.flush(timeout_s)
        finally:
            self._client.purge()
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close(ABANDON_TIMEOUT_S)
        except DeliveryError as failure:
            error.add_note(str(failure))

    def _queued(self, message: Outgoing) -> bool:
        try:
            self._client.produce(
                self.topic,
                value=message.value,
                key=message.key,
                headers=list(message.headers),
                on_delivery=self._delivered,
            )
        except BufferError:
            return False
        return True

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        self._failed_count += 1
        if len(self._failed) < FAILURES_KEPT_MAX:
            self._failed.append(FailedRecord(message.key(), message.value(), error.str()))

    def _heard(self, error: KafkaError) -> None:
        self._last_error = error.str()


class CheckedProducer(RecordProducer):
    """Sends what the worker would take, by its own rules; without `topic`, to the one it reads by default.

    `rules` are the deployment's (scale, kind of item ids); `settings` are further properties of librdkafka, such as
    `security.protocol`.

    Raises:
        ValueError: a setting that librdkafka does not know, or that is not free here.
    """

    default_topic: ClassVar[str]

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str | None = None,
        rules: WireRules | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(bootstrap_servers, topic or self.default_topic, settings)
        self.rules = rules or WireRules()


def _client(own: dict[str, Any], settings: Mapping[str, Any]) -> Producer:
    taken = sorted(_REFUSED & settings.keys())
    if taken:
        raise ValueError(f"settings: {taken[0]!r} is not free here: leave it out")
    try:
        return Producer(_DEFAULTS | {"logger": ClientLog(logging.getLogger(__name__))} | own | dict(settings) | _OURS)
    except KafkaException as error:
        raise ValueError(f"settings: {error.args[0].str()}") from None
