"""The desk where requests are answered: poll → answer → send → commit, a transaction of its own per batch.

A reply and the offset of its request become visible together, so a request is answered exactly once in effect, whatever
is killed, paused or asked again. Nothing is written to the store, hence nothing need be flushed, and a batch that is
given up is simply read again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from consumers.answering.answers import Answers
from consumers.answering.request_source import RequestSource
from consumers.metrics import Metrics
from consumers.records import Batch
from producers.sink import TransactionAbortedError, TransactionalSink
from recommender.store import StoreUnavailableError

STORE_PAUSE_S = 1.0
"""How long requests wait before a store that is away is asked again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeskParts:
    """What the desk drives; the sink is the worker's own, between its transactions."""

    source: RequestSource
    sink: TransactionalSink
    answers: Answers
    metrics: Metrics
    clock_ms: Callable[[], int]


class Desk:
    """Answers what came in, a batch at a time."""

    def __init__(self, parts: DeskParts, setbacks_in_a_row_max: int = 10) -> None:
        self._parts = parts
        self._setbacks_in_a_row_max = setbacks_in_a_row_max
        self._setbacks_in_a_row = 0
        self._open_at = 0.0

    def step(self, wait_s: float) -> None:
        """Answer one batch, or wait so long for it.

        Raises:
            SinkError: Kafka refuses, or transactions fail again and again.
            SourceError: Kafka refuses.
            StoreError: the store cannot be used as things stand.
        """
        if time.monotonic() < self._open_at:
            return
        batch = self._parts.source.poll(wait_s)
        if not batch.records:
            return
        try:
            self._take(batch)
        except TransactionAbortedError as aborted:
            self._parts.metrics.restarted_producer()
            self._setbacks_in_a_row += 1
            if self._setbacks_in_a_row > self._setbacks_in_a_row_max:
                raise
            self._go_back(str(aborted))
        except StoreUnavailableError as away:
            self._open_at = time.monotonic() + max(STORE_PAUSE_S, away.retry_after_s or 0)
            self._go_back(str(away))

    def close(self) -> None:
        """Leave the group of requests."""
        self._parts.source.close()

    def _take(self, batch: Batch) -> None:
        parts, metrics = self._parts, self._parts.metrics
        with metrics.timed("answer"):
            messages = parts.answers.answer(batch.records)
        with metrics.timed("reply"):
            parts.sink.begin()
            parts.sink.send(messages)
            parts.sink.commit(batch.next_offsets(), batch.group_metadata)
        self._setbacks_in_a_row = 0
        now_ms = parts.clock_ms()
        for record in batch.records:
            if record.timestamp_ms is not None:
                metrics.request_seconds((now_ms - record.timestamp_ms) / 1000)

    def _go_back(self, why: str) -> None:
        log.warning("requests are read again from the committed offsets", why=why)
        self._parts.source.rewind()
