"""Evaluations of the same ratings as JSON carries them; `se_` before a name: its standard error, clustered by user."""

from collections.abc import Sequence
from typing import Any

from consumers.evaluation import Evaluation
from recommender.measures import ClusteredMean, HitRate, Report, paired_z

_DIGITS = 5


def document(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Every figure; `paired_z` tells how sure it is that the first system hits more than the one that bears it."""
    first = evaluations[0]
    return {
        "dataset": first.dataset,
        "events": first.report.events,
        "users": first.users,
        "users_with_attributes": first.profiles,
        "items": first.items,
        "batch": first.batch_events,
        "global_mean": _rounded(first.moments.mean),
        "global_deviation": _rounded(first.moments.deviation),
        "results": {
            evaluation.system: {
                **figures(evaluation.report),
                "paired_z": None if evaluation is first else _rounded(paired_z(first.report, evaluation.report)),
                "seconds": round(evaluation.seconds, 1),
            }
            for evaluation in evaluations
        },
        "seconds": round(sum(evaluation.seconds for evaluation in evaluations), 1),
    }


def figures(report: Report) -> dict[str, Any]:
    """The measures of a report, rounded to five digits; None where there is none."""
    errors, variety = report.errors, report.variety
    return {
        "warm": {**_hits(report.warm), **_mean("hr10_liked", report.liked.hit), "n_liked": report.liked.events},
        "cold": _hits(report.cold),
        **_mean("mae", errors.absolute),
        "rmse": _rounded(errors.rmse),
        "se_rmse": _rounded(errors.rmse_standard_error if errors.events else None),
        "coverage": round(variety.coverage, _DIGITS),
        **_mean("diversity", variety.diversity),
        **_mean("novelty", variety.novelty),
    }


def _hits(found: HitRate) -> dict[str, Any]:
    return {
        **_mean("hr10", found.hit),
        **_mean("ndcg10", found.gain),
        **_mean("mrr10", found.reciprocal),
        "n": found.events,
    }


def _mean(name: str, found: ClusteredMean) -> dict[str, float | None]:
    return {name: _rounded(found.mean), f"se_{name}": _rounded(found.standard_error if found.count else None)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
