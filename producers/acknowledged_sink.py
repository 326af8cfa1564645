"""Records that need no transaction: sent, and there once all in-sync replicas have them.

Two round trips instead of a transaction's five in a row, for what may be there twice: of records that were not
acknowledged in time nobody knows, so whoever needs them there sends them again.
"""

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from producers.sink import ProducerFactory, SinkError, fields_of
from schemas.messages import Message

_QUEUE_POLL_S = 0.05


class NotDeliveredError(SinkError):
    """Some of the records may not be there; send all of them again."""


class AcknowledgedSink:
    """Delivers some records at a time; any failure leaves it ready for the next ones."""

    def __init__(
        self, properties: Mapping[str, Any], timeout_s: float = 10.0, factory: ProducerFactory = Producer
    ) -> None:
        self._timeout_s = timeout_s
        self._factory = factory
        self._properties = {
            "linger.ms": 0,
            "partitioner": "murmur2_random",
            **properties,
            "enable.idempotence": True,
            "acks": "all",
        }
        self._failure: KafkaError | None = None
        self._producer = factory(self._properties)

    def deliver(self, messages: Iterable[Message]) -> None:
        """Send records, and wait until the brokers have them.

        Raises:
            NotDeliveredError: they do not have all of them in time.
            SinkError: they refuse.
        """
        deadline = time.monotonic() + self._timeout_s
        written: set[str] = set()
        try:
            for message in messages:
                written.add(message.topic)
                self._queue(message, deadline)
            waiting = self._producer.flush(max(0.0, deadline - time.monotonic()))
        except KafkaException as error:
            self._failure, waiting = self._failure or error.args[0], 0
        if self._failure is not None or waiting:
            self._fail(written)

    def close(self) -> None:
        """Let the producer go, with whatever it still holds."""
        with contextlib.suppress(KafkaException):
            self._producer.purge()
            self._producer.close(self._timeout_s)

    def _queue(self, message: Message, deadline: float) -> None:
        while True:
            try:
                self._producer.produce(message.topic, on_delivery=self._delivered, **fields_of(message))
            except BufferError:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._QUEUE_FULL)) from None  # noqa: SLF001
                self._producer.poll(_QUEUE_POLL_S)
            else:
                return

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failure = self._failure or error

    def _fail(self, written: set[str]) -> None:
        failure, self._failure = self._failure, None
        with contextlib.suppress(KafkaException):
            self._producer.purge()
        # What is still on its way must not be told of as if it were one of the next records.
        self._producer = self._factory(self._properties)
        names = ", ".join(sorted(written))
        if failure is None:
            raise NotDeliveredError(f"{names}: the brokers did not take the records within {self._timeout_s:g} s")
        if failure.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise SinkError(f"could not send to {names}: {failure.str()}; allow Write on {names}")
        raise NotDeliveredError(f"{names}: {failure.str()}")
