"""The figures of a demonstration, as one document."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from consumers.demo.play import Catching
from consumers.demo.stage import Worker


def worker_figures(worker: Worker) -> dict[str, Any]:
    """What only the worker knows, asked while it runs."""
    return {
        "dead_letters": int(worker.metric('tastestream_outcomes_total{outcome="dead_letter"}')),
        "duplicates_skipped": int(worker.metric('tastestream_outcomes_total{outcome="duplicate"}')),
        "worker_memory_mb": round(worker.memory_mb, 1),
    }


def figures(caught_up: Catching, freshness_ms: Sequence[float]) -> dict[str, Any]:
    """What the watchers saw: refreshes per second at full speed, freshness at a steady pace."""
    return {
        "seconds": round(caught_up.seconds, 3),
        "events_per_s": round(caught_up.events / caught_up.seconds, 1),
        "refreshes_per_s": round(caught_up.lists / caught_up.seconds, 1),
        "freshness_ms": {"p50": _percentile(freshness_ms, 50), "p99": _percentile(freshness_ms, 99)},
    }


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 1) if values else None
