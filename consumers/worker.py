"""The worker: poll → handle → send → commit, and with it the whole delivery guarantee.

A step ends in one of three ways: it is committed; it is given up, and everything goes on from the committed offsets;
or the worker stops before the commit, and a restart replays. A store that is away pauses the worker, which stays in
its group and tries the same batch again, until `store_retry_limit_s`. No commit waits for a disk (`flushing`).
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from consumers.answering.desk import Desk
from consumers.catalogue_table import CatalogueTable
from consumers.flushing import PacedFlush
from consumers.handler import Handler
from consumers.live_report import LiveReport
from consumers.pool_upkeep import PoolUpkeep
from consumers.records import Batch
from consumers.source import KafkaSource
from consumers.status import Status
from consumers.surroundings import Surroundings
from producers.sink import SinkError, TransactionAbortedError, TransactionalSink
from recommender.recommender import Recommender
from recommender.store import Store, StoreError, StoreRestoredError, StoreUnavailableError
from schemas.messages import Message

TURN_S = 0.001
"""How long ratings are waited for between two looks for requests: nobody can wait for two consumers at once."""
TURN_MAX_S = 0.005
TURN_GROWTH = 1.02
"""Each look that finds nothing makes the next turn so much longer, up to the longest after a quarter of a second."""
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How long a store may be away, how many batches in a row may be set back, how stored users are counted.

    Users are counted `scan_slice_users` per step, and all of them anew every `rescan_interval_s` where others write.
    What is written is flushed within `flush_interval_s` and a step.
    """

    store_retry_limit_s: float = 3_600.0
    scan_slice_users: int = 500
    rescan_interval_s: float = 600.0
    setbacks_in_a_row_max: int = 10
    poll_timeout_s: float = 0.2
    flush_interval_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Parts:
    """What the worker drives."""

    source: KafkaSource
    sink: TransactionalSink
    store: Store
    handler: Handler
    recommender: Recommender
    check_tenure: Callable[[], None] = lambda: None
    """Raises where the store is no longer the one to use; called at every step."""
    catalogue: CatalogueTable | None = None
    desk: Desk | None = None
    """Where requests are answered, between batches; None where none are."""
    live: LiveReport | None = None
    """Whose figures are published although there is no batch, once it is time; the handler has the same one."""
    pool: PoolUpkeep | None = None
    """Who keeps the neighbour pool at its size, between batches."""
    shadow: Recommender | None = None
    """A second ranking, which counts stored users for itself."""
    counted: Callable[[], None] = lambda: None
    """Called at every step at which all stored users are counted."""


class Worker:
    """Runs steps until it is told to stop."""

    def __init__(self, parts: Parts, limits: WorkerLimits, around: Surroundings) -> None:
        self._parts = parts
        self._limits = limits
        self._around = around
        self._setbacks_in_a_row = 0
        self._flush = PacedFlush(parts.store, limits.flush_interval_s, around.metrics)
        self._rankings = [ranking for ranking in (parts.recommender, parts.shadow) if ranking is not None]
        self._counted_at = time.monotonic()
        self._is_counted = self._is_counting = False
        self._turn_s = TURN_S
        self._status = Status(parts.source, parts.handler, parts.recommender, around)

    def stop(self) -> None:
        """Finish the step in hand, then return from `run`; safe to call from a signal handler."""
        self._around.stopping.set()

    def run(self) -> None:
        """Steps until `stop`.

        Raises:
            Exception: whatever a step could not deal with; a restart replays what that left undone.
        """
        # While the group gives us partitions: the kernels, and a first look at the stored ratings, so that the first
        # list already knows what an average rating is.
        for ranking in self._rankings:
            ranking.warm_up()
        self._load_catalogue()
        self._count_slice()
        self._flush.left_over()
        while not self._around.stopping.is_set():
            self.step()
        self._flush.now()

    def step(self) -> None:
        """One batch, or one short wait for it."""
        self._around.watchdog.beat()
        self._parts.check_tenure()
        batch = self._next_batch()
        if self._parts.catalogue is not None:
            self._parts.catalogue.follow()
        if batch.records:
            with self._around.metrics.timed("total"):
                self._take(batch)
            self._answer_requests()
        else:
            self._publish_overdue()
        self._flush.if_due()
        self._count_slice()
        self._status.refresh()

    def _next_batch(self) -> Batch:
        """The next ratings, or none after a short wait, in which requests are answered as they come."""
        source = self._parts.source
        if self._parts.desk is None or not self._is_counted:
            # What is yet to be counted does not wait for ratings that nobody gives.
            return source.poll(TURN_S if self._is_counting else None)
        until = time.monotonic() + self._limits.poll_timeout_s
        while True:
            batch = source.poll(self._turn_s)
            if batch.records:
                self._turn_s = TURN_S
            if batch.records or self._around.stopping.is_set() or time.monotonic() > until:
                return batch
            # A look wakes nobody up and costs a tenth of a wait, and ratings are heard of at once.
            self._turn_s = TURN_S if self._answer_requests() else min(TURN_MAX_S, self._turn_s * TURN_GROWTH)

    def _answer_requests(self) -> bool:
        """Whether there were any."""
        # Before the stored ratings are counted, nobody knows what is popular.
        if self._parts.desk is None or not self._is_counted:
            return False
        self._around.watchdog.beat()
        return self._parts.desk.step(wait_s=0.0)

    def _take(self, batch: Batch) -> None:
        self._around.metrics.batch(len(batch.records))
        self._flush.wrote()
        try:
            messages = self._handled(batch)
            if messages is None:
                self._go_back("the batch was given up")
            else:
                self._commit(batch, messages)
        except TransactionAbortedError as aborted:
            self._around.metrics.restarted_producer()
            self._set_back(aborted)
        except StoreRestoredError as restored:
            # A worker that lost its partitions and does not know yet sets their markers back, too. Either way the
            # markers tell where to go on, as after a restart.
            self._set_back(restored)

    def _set_back(self, error: SinkError | StoreError) -> None:
        """Go back, unless it has become a habit: what fails every time must not go round for ever."""
        self._setbacks_in_a_row += 1
        if self._setbacks_in_a_row > self._limits.setbacks_in_a_row_max:
            raise error
        self._go_back(str(error))

    def _handled(self, batch: Batch) -> list[Message] | None:
        """What to publish; None when the batch is no longer ours to handle."""
        give_up_at = time.monotonic() + self._limits.store_retry_limit_s
        wait_s = _BACKOFF_FIRST_S
        while True:
            try:
                return self._parts.handler.handle(batch)
            except StoreUnavailableError as error:
                self._around.metrics.store_retry()
                wait_s = max(wait_s, error.retry_after_s or 0)
                if time.monotonic() + wait_s > give_up_at:
                    raise
                log.warning("the store is away, the worker waits", error=str(error), wait_s=round(wait_s, 2))
            if not self._waited(wait_s):
                return None
            wait_s = min(_BACKOFF_MAX_S, wait_s * 2) * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, no secret

    def _waited(self, wait_s: float) -> bool:
        """Stay in the group for a while; False when the batch is no longer ours, or the worker is to stop."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            self._around.wait_for_store()
            if not self._parts.source.keep_alive() or self._around.stopping.is_set():
                return False
        return True

    def _commit(self, batch: Batch, messages: list[Message]) -> None:
        parts, metrics = self._parts, self._around.metrics
        next_offsets = batch.next_offsets()
        if not next_offsets:
            return
        with metrics.timed("send"):
            parts.sink.begin()
            parts.sink.send(messages)
        with metrics.timed("commit"):
            parts.sink.commit(next_offsets, batch.group_metadata)
        self._setbacks_in_a_row = 0
        self._measure_freshness(batch)
        parts.handler.committed()

    def _publish_overdue(self) -> None:
        """What no batch has come to take along."""
        live, sink = self._parts.live, self._parts.sink
        messages = [] if live is None else live.due(self._around.clock_ms())
        if live is None or not messages:
            return
        try:
            sink.begin()
            sink.send(messages)
            sink.commit({})
        except TransactionAbortedError as aborted:
            self._around.metrics.restarted_producer()
            log.warning("figures were not published, and are again later", why=str(aborted))
        else:
            live.committed()

    def _measure_freshness(self, batch: Batch) -> None:
        now_ms = self._around.clock_ms()
        for record in batch.records:
            if record.timestamp_ms is not None and not record.replayed:
                self._around.metrics.freshness(max(0, now_ms - record.timestamp_ms) / 1000)

    def _go_back(self, why: str) -> None:
        log.warning("going on from the committed offsets", why=why)
        self._parts.handler.drop_caches()
        self._flush.left_over()
        if not self._around.stopping.is_set():
            self._parts.source.rewind()

    def _load_catalogue(self) -> None:
        def goes_on() -> bool:
            self._around.alive()
            return not self._around.stopping.is_set()

        if self._parts.catalogue is not None:
            self._parts.catalogue.load(goes_on)

    def _count_slice(self) -> None:
        users_max = self._limits.scan_slice_users
        self._is_counting = False
        try:
            if any(ranking.scan_slice(users_max) for ranking in self._rankings):
                self._counted_at, self._is_counting = time.monotonic(), not self._is_counted
                return
            self._is_counted = True
            self._parts.counted()
            if self._parts.pool is not None and self._parts.pool.step(users_max):
                self._flush.wrote()
                return
            if not self._parts.store.exclusive and self._is_count_old():
                for ranking in self._rankings:
                    ranking.rescan()
        except StoreUnavailableError as error:
            log.warning("stored users could not be looked through now", error=str(error))

    def _is_count_old(self) -> bool:
        return time.monotonic() - self._counted_at > self._limits.rescan_interval_s
