"""Every name of a metric and of what its samples are told apart by: typed here, and nowhere else."""

from typing import Literal

from schemas.request_errors import ErrorCode

MetricName = Literal[
    "tastestream_build",
    "tastestream_batch_records",
    "tastestream_step_seconds",
    "tastestream_outcomes_total",
    "tastestream_dead_letters_total",
    "tastestream_freshness_seconds",
    "tastestream_lag_records",
    "tastestream_unknown_fields_total",
    "tastestream_cache_bytes",
    "tastestream_store_retries_total",
    "tastestream_write_conflicts_total",
    "tastestream_producer_restarts_total",
    "tastestream_assigned_partitions",
    "tastestream_catalogue_items",
    "tastestream_catalogue_refused_total",
    "tastestream_requests_total",
    "tastestream_request_seconds",
    "tastestream_live_hit_rate",
    "tastestream_live_ndcg",
    "tastestream_live_judged_ratings",
    "tastestream_live_judged_share",
    "tastestream_live_prediction_error",
    "tastestream_live_coverage",
    "tastestream_live_diversity",
    "tastestream_live_novelty_bits",
    "tastestream_live_seconds",
    "tastestream_live_users",
    "tastestream_live_items",
    "tastestream_live_user_coverage",
    "tastestream_live_item_coverage",
    "tastestream_live_vector_size",
    "tastestream_live_paired_z",
    "tastestream_live_shadow_hit_rate",
    "tastestream_live_shadow_judged_ratings",
]
VerifyMetricName = Literal[
    "tastestream_verify_users",
    "tastestream_verify_mismatches",
    "tastestream_verify_not_provable",
    "tastestream_verify_failures_total",
    "tastestream_verify_last_run_timestamp_seconds",
    "tastestream_verify_seconds",
]
"""What `tastestream verify` serves, which is a process of its own."""
StepName = Literal[
    "decode",
    "read",
    "write",
    "rank",
    "search",
    "send",
    "flush",
    "commit",
    "total",
    "answer",
    "reply",
    "shadow",
    "shadow_search",
]
Outcome = Literal["applied", "duplicate", "dead_letter", "replayed", "list", "tombstone", "owed"]
RequestOutcome = Literal["answered"] | ErrorCode
CacheName = Literal["own", "neighbours", "lists", "shadow"]
PlainFigure = Literal[
    "judged_share",
    "coverage",
    "diversity",
    "novelty",
    "users",
    "items",
    "user_coverage",
    "item_coverage",
    "vector_size",
]
"""The figures of live evaluation that have a metric of their own without labels."""
