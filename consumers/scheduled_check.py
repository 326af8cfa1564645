"""A check every so often, in a process of its own beside the workers: one sample after the other, and metrics of it.

A check that cannot be made, because Kafka or the store is away, is counted and made at the next turn.
"""

import math
import time
from collections.abc import Callable

import structlog

from consumers.cluster import ClusterError
from consumers.health import Health, HealthServer
from consumers.metrics import VerifyMetrics
from consumers.offsets import SourceError
from consumers.state_check import Report
from recommender.store import StoreUnavailableError

log = structlog.get_logger()


def check_every(
    interval_s: float,
    check: Callable[[int], Report],
    address: tuple[str, int] | None,
    sleep_s: Callable[[float], None] = time.sleep,
) -> None:
    """Call `check` with the point id to begin at, for ever; metrics are served at the address (host, port).

    Raises:
        HealthServerError: the address cannot be listened on.
        Exception: whatever a check raises, other than that Kafka or the store is away.
    """
    metrics, health = VerifyMetrics(), Health(math.inf)
    server = None if address is None else HealthServer(*address, health, metrics)
    if server is not None and address is not None:
        log.info("health and metrics are served", host=address[0], port=server.port)
    from_id = 0
    try:
        while True:
            begun = time.monotonic()
            from_id = _checked(check, from_id, metrics, health)
            sleep_s(max(0.0, interval_s - (time.monotonic() - begun)))
    finally:
        if server is not None:
            server.close()


def _checked(check: Callable[[int], Report], from_id: int, metrics: VerifyMetrics, health: Health) -> int:
    try:
        report = check(from_id)
    except (StoreUnavailableError, ClusterError, SourceError) as error:
        log.warning("the store could not be checked now", error=str(error))
        metrics.failed()
        health.ready(False, f"the last check could not be made: {error}")
        return from_id
    metrics.checked(report.users, report.mismatch_count, report.not_provable, report.seconds)
    health.ready(True)
    level = log.error if report.mismatch_count else log.info
    level("the store was checked", users_checked=report.users, mismatches=report.mismatch_count)
    return report.next_id
