"""Metrics as Prometheus reads them."""

from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumers.metric_names import CacheName, MetricName, Outcome, StepName
from consumers.metrics import FRESHNESS_BUCKETS_S, Metrics
from schemas.reasons import REASONS


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Values by sample name and label values."""
    return {
        (sample.name, ",".join(value for key, value in sorted(sample.labels.items()) if key != "le")): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_every_named_metric_is_served_and_none_besides() -> None:
    """Law: `MetricName` is the whole list."""
    metrics = Metrics()
    metrics.lag("ratings", 0, 1)
    text = metrics.render().decode()
    families = {f.name for f in text_string_to_metric_families(text) if f.name.startswith("tastestream")}
    ours = {name.removesuffix("_total") for name in get_args(MetricName)} | {"tastestream_build_info"}
    assert {name for name in families if not name.endswith("_created")} == ours - {"tastestream_build"}


def test_closed_labels_begin_at_zero() -> None:
    """Law: a series that has not happened yet is there, so that its first increase is seen."""
    found = samples(Metrics())
    assert all(found["tastestream_outcomes_total", outcome] == 0 for outcome in get_args(Outcome))
    assert all(found["tastestream_dead_letters_total", reason] == 0 for reason in REASONS)
    assert all(found["tastestream_step_seconds_count", step] == 0 for step in get_args(StepName))
    assert all(found["tastestream_cache_bytes", cache] == 0 for cache in get_args(CacheName))


def test_what_is_reported_is_what_is_served() -> None:
    """Law: every method moves its own series by what it was given."""
    metrics = Metrics()
    metrics.batch(3)
    metrics.batch(4)
    metrics.step("rank", 0.25)
    metrics.outcome("applied", 5)
    metrics.dead_letter("not_json")
    metrics.freshness(0.5)
    metrics.unknown_fields(2)
    metrics.cache_bytes("own", 99)
    metrics.store_retry()
    metrics.restarted_producer()
    metrics.write_conflicts(2)
    metrics.write_conflicts(5)
    metrics.assigned(6)
    found = samples(metrics)
    assert found["tastestream_batch_records_count", ""] == 2
    assert found["tastestream_batch_records_sum", ""] == 7
    assert found["tastestream_step_seconds_sum", "rank"] == 0.25
    assert found["tastestream_outcomes_total", "applied"] == 5
    assert found["tastestream_dead_letters_total", "not_json"] == 1
    assert found["tastestream_outcomes_total", "dead_letter"] == 1
    assert found["tastestream_freshness_seconds_sum", ""] == 0.5
    assert found["tastestream_unknown_fields_total", ""] == 2
    assert found["tastestream_cache_bytes", "own"] == 99
    assert found["tastestream_store_retries_total", ""] == 1
    assert found["tastestream_producer_restarts_total", ""] == 1
    assert found["tastestream_write_conflicts_total", ""] == 5
    assert found["tastestream_assigned_partitions", ""] == 6


def test_the_lag_of_a_lost_partition_is_not_served_any_more() -> None:
    """Law: only the worker that holds a partition tells its lag; losing it twice is no error."""
    metrics = Metrics()
    metrics.lag("ratings", 0, 10)
    metrics.lag("ratings", 1, 20)
    metrics.unassigned("ratings", 0)
    metrics.unassigned("ratings", 0)
    found = samples(metrics)
    assert ("tastestream_lag_records", "0,ratings") not in found
    assert found["tastestream_lag_records", "1,ratings"] == 20


def test_a_clock_behind_the_brokers_is_no_negative_time() -> None:
    """Law: freshness is never below zero."""
    metrics = Metrics()
    metrics.freshness(-3)
    assert samples(metrics)["tastestream_freshness_seconds_sum", ""] == 0


def test_a_step_that_fails_is_timed() -> None:
    """Law: the block is counted once, and its exception goes on."""
    metrics = Metrics()
    with pytest.raises(KeyError), metrics.timed("write"):
        raise KeyError
    assert samples(metrics)["tastestream_step_seconds_count", "write"] == 1


def test_two_workers_in_one_process_count_apart() -> None:
    """Law: nothing is global."""
    first, second = Metrics(), Metrics()
    first.store_retry()
    assert samples(second)["tastestream_store_retries_total", ""] == 0


def test_freshness_is_told_from_a_millisecond_to_a_minute() -> None:
    """Law: the buckets rise from 1 ms to 60 s."""
    assert list(FRESHNESS_BUCKETS_S) == sorted(set(FRESHNESS_BUCKETS_S))
    assert (FRESHNESS_BUCKETS_S[0], FRESHNESS_BUCKETS_S[-1]) == (0.001, 60)
