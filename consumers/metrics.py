"""What the service counts and times, for Prometheus; every metric's name stands here and nowhere else.

Labels come from closed lists, but for topic and partition. A user id is never a label.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Protocol, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from consumers.catalogue_records import Refusal
from consumers.metric_names import (
    CacheName,
    MetricName,
    Outcome,
    PlainFigure,
    RequestOutcome,
    StepName,
    VerifyMetricName,
)
from schemas.metrics import HitFigures, LiveMetrics
from schemas.reasons import REASONS, Reason
from schemas.request_errors import ERROR_CODES

BATCH_BUCKETS_RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
STEP_BUCKETS_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
FRESHNESS_BUCKETS_S = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)


class _GaugeMaker(Protocol):
    def __call__(self, name: MetricName, text: str, *labels: str) -> Gauge: ...


class Metrics:
    """The metrics of one worker, in a registry of their own; every method may be called from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._info("tastestream_build", "What is running").info({"version": _version()})
        self._batches = self._histogram("tastestream_batch_records", "Records of a batch", BATCH_BUCKETS_RECORDS)
        self._freshness = self._histogram(
            "tastestream_freshness_seconds", "From a record's append to its commit", FRESHNESS_BUCKETS_S
        )
        steps = self._histogram("tastestream_step_seconds", "Time of a part of a step", STEP_BUCKETS_S, "step")
        self._steps = {name: steps.labels(name) for name in get_args(StepName)}
        outcomes = self._counter("tastestream_outcomes_total", "What became of records and users", "outcome")
        self._outcomes = {name: outcomes.labels(name) for name in get_args(Outcome)}
        dead_letters = self._counter("tastestream_dead_letters_total", "Records that cannot be used", "reason")
        self._dead_letters = {reason: dead_letters.labels(reason) for reason in REASONS}
        caches = self._gauge("tastestream_cache_bytes", "Memory of a cache", "cache")
        self._caches = {name: caches.labels(name) for name in get_args(CacheName)}
        self._lags = self._gauge("tastestream_lag_records", "Records not yet read", "topic", "partition")
        self._unknown_fields = self._counter("tastestream_unknown_fields_total", "Fields that were ignored")
        self._store_retries = self._counter("tastestream_store_retries_total", "Waits for a store that is away")
        self._conflicts = self._counter(
            "tastestream_write_conflicts_total", "Users written anew, as another process had written them meanwhile"
        )
        self._conflicts_told = 0
        self._restarts = self._counter("tastestream_producer_restarts_total", "Producers made anew after a failure")
        self._assigned = self._gauge("tastestream_assigned_partitions", "Partitions this worker holds")
        items = self._gauge("tastestream_catalogue_items", "Items of the catalogue", "state")
        self._items = {state: items.labels(state) for state in ("known", "removed")}
        self._catalogue_refused = self._counter(
            "tastestream_catalogue_refused_total", "Records of the catalogue that are left out", "reason"
        )
        self.live = LiveGauges(self._gauge)
        self.latest: dict[StepName, float] = dict.fromkeys(get_args(StepName), 0.0)
        """How long each part of a step took the last time, in seconds."""

        requests = self._counter("tastestream_requests_total", "What became of questions", "outcome")
        self._requests = {name: requests.labels(name) for name in ("answered", *ERROR_CODES)}
        self._waits = self._histogram(
            "tastestream_request_seconds", "From a request's append to its reply's being there", FRESHNESS_BUCKETS_S
        )

    def batch(self, records: int) -> None:
        """A batch of this many records was read."""
        self._batches.observe(records)

    def step(self, name: StepName, seconds: float) -> None:
        """A part of a step took this long."""
        self._steps[name].observe(seconds)
        self.latest[name] = seconds

    @contextmanager
    def timed(self, name: StepName) -> Iterator[None]:
        """Time the block as a part of a step, also when it raises."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.step(name, time.perf_counter() - begun)

    def outcome(self, outcome: Outcome, n: int = 1) -> None:
        """This is what became of `n` records or users."""
        self._outcomes[outcome].inc(n)

    def dead_letter(self, reason: Reason) -> None:
        """A record was refused; counts as an outcome, too."""
        self._dead_letters[reason].inc()
        self.outcome("dead_letter")

    def freshness(self, seconds: float) -> None:
        """From a record's append to the commit of what came of it."""
        # The broker's clock may be ahead of ours; a negative time would break the histogram's sum.
        self._freshness.observe(max(0.0, seconds))

    def request(self, outcome: RequestOutcome, n: int = 1) -> None:
        """This is what became of `n` questions."""
        self._requests[outcome].inc(n)

    def request_seconds(self, seconds: float) -> None:
        """From a request's append to when the brokers have its reply."""
        self._waits.observe(max(0.0, seconds))

    def lag(self, topic: str, partition: int, records: int) -> None:
        """This many records of a partition are not yet read."""
        self._lags.labels(topic, str(partition)).set(records)

    def unassigned(self, topic: str, partition: int) -> None:
        """A partition went to another worker: its lag is no longer ours to tell."""
        self._lags.remove(topic, str(partition))

    def unknown_fields(self, n: int) -> None:
        """This many fields were ignored."""
        self._unknown_fields.inc(n)

    def cache_bytes(self, cache: CacheName, n: int) -> None:
        """A cache holds this much."""
        self._caches[cache].set(n)

    def store_retry(self) -> None:
        """The store is away, and is tried again."""
        self._store_retries.inc()

    def write_conflicts(self, total: int) -> None:
        """So many writes in all did not hold, as another process had written the user meanwhile."""
        self._conflicts.inc(total - self._conflicts_told)
        self._conflicts_told = total

    def restarted_producer(self) -> None:
        """The producer was given up for a new one."""
        self._restarts.inc()

    def assigned(self, n: int) -> None:
        """The worker holds this many partitions."""
        self._assigned.set(n)

    def catalogue_items(self, known: int, removed: int) -> None:
        """The catalogue holds so many items, and remembers so many that were removed."""
        self._items["known"].set(known)
        self._items["removed"].set(removed)

    def catalogue_refused(self, refusal: Refusal) -> None:
        """A record of the catalogue was left out."""
        self._catalogue_refused.labels(refusal).inc()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _info(self, name: MetricName, text: str) -> Info:
        return Info(name, text, registry=self._registry)

    def _counter(self, name: MetricName, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: MetricName, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _histogram(self, name: MetricName, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)


class LiveGauges:
    """The figures of live evaluation as of the newest record; not a number where nothing says them yet."""

    def __init__(self, gauge: "_GaugeMaker") -> None:
        self._hit_rate = gauge("tastestream_live_hit_rate", "Ratings whose item stood in the first ten", "audience")
        self._ndcg = gauge("tastestream_live_ndcg", "nDCG@10 of ratings", "audience")
        self._judged = gauge("tastestream_live_judged_ratings", "Ratings in the window that met a list", "audience")
        self._error = gauge("tastestream_live_prediction_error", "Mean absolute and root mean squared error", "kind")
        self._seconds = gauge("tastestream_live_seconds", "What a list took, over the window", "part", "quantile")
        self._plain: dict[PlainFigure, Gauge] = {
            "judged_share": gauge("tastestream_live_judged_share", "Share of the window's ratings that met a list"),
            "coverage": gauge("tastestream_live_coverage", "Items shown in the window by items known"),
            "diversity": gauge("tastestream_live_diversity", "1 - mean similarity of the genres of a list's items"),
            "novelty": gauge("tastestream_live_novelty_bits", "Mean -log2 of the popularity of what is shown"),
            "users": gauge("tastestream_live_users", "Users with ratings"),
            "items": gauge("tastestream_live_items", "Items with ratings"),
            "user_coverage": gauge("tastestream_live_user_coverage", "Users with ratings for a personal list"),
            "item_coverage": gauge("tastestream_live_item_coverage", "Items with ratings by items of the catalogue"),
            "vector_size": gauge("tastestream_live_vector_size", "Ratings kept per user"),
        }
        for plain in self._plain.values():
            plain.set(math.nan)
        self._paired_z = gauge(
            "tastestream_live_paired_z", "McNemar's z: above 0 the preset hits more", "preset", "against"
        )
        self._shadow_hit_rate = gauge(
            "tastestream_live_shadow_hit_rate",
            "Ratings whose item stood in the shadow's first ten",
            "preset",
            "audience",
        )
        self._shadow_judged = gauge(
            "tastestream_live_shadow_judged_ratings", "Ratings that met a list of the shadow", "preset", "audience"
        )

    def show(self, found: LiveMetrics) -> None:
        """Serve the figures of a record."""
        for audience, hits in _audiences(found).items():
            self._hit_rate.labels(audience).set(_number(hits["hr10"]))
            self._ndcg.labels(audience).set(_number(hits["ndcg10"]))
            self._judged.labels(audience).set(hits["n"])
        self._error.labels("mae").set(_number(found["mae"]))
        self._error.labels("rmse").set(_number(found["rmse"]))
        for part, times in (("search", found["search_ms"]), ("refresh", found["refresh_ms"])):
            for quantile, ms in (("0.5", times and times["p50"]), ("0.99", times and times["p99"])):
                self._seconds.labels(part, quantile).set(_number(ms) / 1000)
        for name, gauge in self._plain.items():
            gauge.set(_number(found[name]))

    def show_paired(self, found: LiveMetrics) -> None:
        """Serve what a shadow's record says of it, alone and beside the published lists."""
        for audience, hits in _audiences(found).items():
            self._shadow_hit_rate.labels(found["preset"], audience).set(_number(hits["hr10"]))
            self._shadow_judged.labels(found["preset"], audience).set(hits["n"])
        self._paired_z.labels(found["preset"], found["against"]).set(_number(found["paired_z"]))


class VerifyMetrics:
    """What the last check of the store found, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._users = self._gauge("tastestream_verify_users", "Users of the last check")
        self._mismatches = self._gauge("tastestream_verify_mismatches", "Users of it that are not as events make them")
        self._not_provable = self._gauge("tastestream_verify_not_provable", "Users of it whose events are gone")
        self._last_run = self._gauge("tastestream_verify_last_run_timestamp_seconds", "When the last check ended")
        self._seconds = self._gauge("tastestream_verify_seconds", "How long the last check took")
        name: VerifyMetricName = "tastestream_verify_failures_total"
        self._failures = Counter(name, "Checks that could not be made", registry=self._registry)

    def checked(self, users: int, mismatches: int, not_provable: int, seconds: float) -> None:
        """A check ended now."""
        self._users.set(users)
        self._mismatches.set(mismatches)
        self._not_provable.set(not_provable)
        self._seconds.set(seconds)
        self._last_run.set_to_current_time()

    def failed(self) -> None:
        """A check could not be made; what the last one found stands."""
        self._failures.inc()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _gauge(self, name: VerifyMetricName, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry)


def _audiences(found: LiveMetrics) -> dict[str, HitFigures]:
    return {"all": found["all"], "warm": found["warm"], "liked": found["liked"], "cold": found["cold"]}


def _number(figure: float | None) -> float:
    return math.nan if figure is None else figure


def _version() -> str:
    try:
        return metadata.version("tastestream")
    except metadata.PackageNotFoundError:
        return "not installed"
