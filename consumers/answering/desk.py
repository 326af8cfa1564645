"""The desk where requests are answered: poll → answer → deliver → commit, without a transaction.

A request is answered at least once: its offset is committed once the brokers have its reply. It changes nothing, so
all that comes of a worker that dies in between is a second reply under the same id, and a transaction would take three
times as long. Nothing is written to the store, so nothing need be flushed, and a batch that is given up is read again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from consumers.answering.answers import Answers
from consumers.answering.request_source import RequestSource
from consumers.metrics import Metrics
from consumers.records import Batch, Record
from producers.acknowledged_sink import AcknowledgedSink, NotDeliveredError
from recommender.store import StoreUnavailableError
from schemas.messages import Message

STORE_PAUSE_S = 1.0
"""How long requests wait before a store that is away is asked again."""
_CLOCK_S = 1e-6
"""No request is cheaper: a clock may stand still between two looks at it."""
FIRST_MAX = 8
"""Requests that a step answers together before it knows what they take; dear ones may come after cheap ones."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk drives."""

    source: RequestSource
    sink: AcknowledgedSink
    answers: Answers
    metrics: Metrics
    clock_ms: Callable[[], int]


class Desk:
    """Answers what came in, as much of it at a time as `budget_s` allows."""

    def __init__(self, parts: DeskParts, budget_s: float = 0.05, setbacks_in_a_row_max: int = 10) -> None:
        self._parts = parts
        self._budget_s = budget_s
        self._setbacks_in_a_row_max = setbacks_in_a_row_max
        self._setbacks_in_a_row = 0
        self._open_at = 0.0
        self._waiting = Batch()
        self._each_s = budget_s
        """What a request took in the last step; at first, nobody knows."""

    def step(self, wait_s: float) -> bool:
        """Answer requests, or wait so long for one; whether there was any.

        Raises:
            SinkError: Kafka refuses, or does not take replies again and again.
            SourceError: Kafka refuses.
            StoreError: the store cannot be used as things stand.
        """
        if time.monotonic() < self._open_at:
            return False
        if not self._waiting.records:
            self._waiting = self._parts.source.poll(wait_s)
        if not self._waiting.records:
            return False
        try:
            self._take(self._waiting)
        except NotDeliveredError as undelivered:
            self._parts.metrics.restarted_producer()
            self._setbacks_in_a_row += 1
            if self._setbacks_in_a_row > self._setbacks_in_a_row_max:
                raise
            self._go_back(str(undelivered))
        except StoreUnavailableError as away:
            self._open_at = time.monotonic() + max(STORE_PAUSE_S, away.retry_after_s or 0)
            self._go_back(str(away))
        return True

    def close(self) -> None:
        """Leave the group of requests, and let the producer of replies go."""
        self._parts.source.close()
        self._parts.sink.close()

    def _take(self, batch: Batch) -> None:
        parts, metrics = self._parts, self._parts.metrics
        with metrics.timed("answer"):
            messages = self._answered(batch.records)
        # A request has one reply.
        taken = Batch(batch.records[: len(messages)])
        with metrics.timed("reply"):
            parts.sink.deliver(messages)
            parts.source.commit(taken.next_offsets())
        self._waiting = Batch(batch.records[len(messages) :])
        self._setbacks_in_a_row = 0
        now_ms = parts.clock_ms()
        for record in taken.records:
            if record.timestamp_ms is not None:
                metrics.request_seconds((now_ms - record.timestamp_ms) / 1000)

    def _answered(self, records: Sequence[Record]) -> list[Message]:
        """The replies to as many of the first requests as fit into the budget, at least to one.

        Together they cost less than one by one: a few are answered at once where the last step's would fit.
        """
        begun, messages = time.monotonic(), list[Message]()
        count = max(1, min(len(records), FIRST_MAX, int(self._budget_s / self._each_s)))
        while count:
            messages += self._parts.answers.answer(records[len(messages) : len(messages) + count])
            spent_s = time.monotonic() - begun
            self._each_s = max(spent_s / len(messages), _CLOCK_S)
            fitting = int((self._budget_s - spent_s) / self._each_s)
            count = max(0, min(len(records) - len(messages), 2 * count, fitting))
        return messages

    def _go_back(self, why: str) -> None:
        log.warning("requests that were not answered are read again", why=why)
        self._waiting = Batch()
        self._parts.source.rewind()
