"""When what was written to a store is made durable: now and then, off the path between a rating and its list.

No commit waits for it. A store's writes are a log, of which a kill takes nothing and a loss of power the end. A batch's
marker stands in it before the batch's users and vouches only for what stands before itself, so whatever is lost lies
beyond the marker that is left: a restart replays it from Kafka, up to the committed offset states alone. Between two
flushes a loss of power costs that replay, and nothing else.

What was written and not committed is the exception. With several topics, a list that answers to an event of another one
may count it, and were it lost, the same version would be published twice. So it is flushed before anything else is
taken: after a setback, and at the start, for a worker that was killed.
"""

import time

from consumers.metrics import Metrics
from recommender.store import Store


class PacedFlush:
    """Flushes a store once its first unflushed write is `interval_s` old."""

    def __init__(self, store: Store, interval_s: float, metrics: Metrics) -> None:
        self._store = store
        self._interval_s = interval_s
        self._metrics = metrics
        self._unflushed_since: float | None = None

    def wrote(self) -> None:
        """Something was written to the store, or is about to be."""
        if self._unflushed_since is None:
            self._unflushed_since = time.monotonic()

    def left_over(self) -> None:
        """Flush what may have been written, be it by the worker before, and was not committed.

        Raises:
            StoreError: the store could not be flushed.
        """
        self.wrote()
        self.now()

    def if_due(self) -> None:
        """Flush if that is due.

        Raises:
            StoreError: the store could not be flushed.
        """
        if self._unflushed_since is not None and time.monotonic() - self._unflushed_since >= self._interval_s:
            self.now()

    def now(self) -> None:
        """Flush what was written, if anything was.

        Raises:
            StoreError: the store could not be flushed.
        """
        if self._unflushed_since is None:
            return
        with self._metrics.timed("flush"):
            self._store.flush()
        self._unflushed_since = None
