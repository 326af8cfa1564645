"""What surrounds a simulated worker and says nothing: metrics, logs, the watchdog."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from unittest.mock import patch

import stamina.instrumentation
import structlog

from consumers.metric_names import CacheName, Outcome, StepName
from consumers.metrics import Metrics
from schemas.reasons import Reason


class SilentMetrics(Metrics):
    """Counts nothing: making a registry for every incarnation would take longer than running it."""

    def __init__(self) -> None:
        pass

    def batch(self, records: int) -> None:
        pass

    def step(self, name: StepName, seconds: float) -> None:
        pass

    def timed(self, name: StepName) -> AbstractContextManager[None]:  # type: ignore[override]
        del name
        return nullcontext()

    def outcome(self, outcome: Outcome, n: int = 1) -> None:
        pass

    def dead_letter(self, reason: Reason) -> None:
        pass

    def freshness(self, seconds: float) -> None:
        pass

    def lag(self, topic: str, partition: int, records: int) -> None:
        pass

    def unassigned(self, topic: str, partition: int) -> None:
        pass

    def unknown_fields(self, n: int) -> None:
        pass

    def cache_bytes(self, cache: CacheName, n: int) -> None:
        pass

    def store_retry(self) -> None:
        pass

    def write_conflicts(self, total: int) -> None:
        pass

    def restarted_producer(self) -> None:
        pass

    def assigned(self, n: int) -> None:
        pass


@contextmanager
def silent() -> Iterator[None]:
    """Nothing is logged inside."""
    quiet = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    stamina.instrumentation.set_on_retry_hooks([])
    try:
        with patch("consumers.worker.log", quiet):
            yield
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
