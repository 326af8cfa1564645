"""The ranking's hit rates on MovieLens ml-latest-small, through the service's own path, whole and without its parts.

    python tests/bench/quality.py [--events N]

Prints a table, writes build/quality.json, and exits 1 when a figure misses its mark. Turning position weighting off has
to lower the hit rate: a measure that could not fail would say nothing. Then the same on an invented stream that follows
fashion, beside recent popularity. The first N ratings alone are not judged.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from consumers.commands.context import console
from consumers.commands.evaluate import evaluated
from consumers.commands.evaluation_table import print_evaluations
from consumers.evaluation import Evaluation, EvaluationPlan
from consumers.evaluation_document import document
from consumers.settings import Settings
from producers.datasets import bundled_dataset
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset
from recommender.trend import HALF_LIVES_DAYS

WARM_MIN = 0.090
LIKED_MIN = 0.120
COLD_MIN = 0.30
WARM_WITHOUT_POSITION_MAX = 0.080
RESULT = Path("build/quality.json")
FASHION = SyntheticPlan(users=400, items=600, mean_ratings_per_user=25, fashion_strength=6.0)
PARTS = ("default", "default-no-trend", "default-no-position", "item-knn")
MIXED = ("default", "default-no-trend", *(f"popular-{days}d" for days in HALF_LIVES_DAYS))


def main() -> int:
    """Run both; the exit code is 1 when a mark is missed."""
    parser = argparse.ArgumentParser(description="Hit rates of the ranking; exits 1 when they miss their marks.")
    parser.add_argument("--events", type=int, help="only the first ratings, which are not judged")
    events = parser.parse_args().events
    evaluations = _evaluated(bundled_dataset(), events, PARTS)
    fashion = _evaluated(synthetic_dataset(FASHION), events, MIXED)
    missed = [] if events else [*_missed(*evaluations), *_missed_fashion(*fashion)]
    _write(evaluations, fashion, missed)
    for some in (evaluations, fashion):
        print_evaluations(some, console)
    for line in missed:
        console.print(line, style="red", markup=False)
    return 1 if missed else 0


def _evaluated(dataset: Dataset, events: int | None, systems: tuple[str, ...]) -> list[Evaluation]:
    return evaluated([EvaluationPlan(dataset, Settings(), events, system) for system in systems])


def _missed(default: Evaluation, no_trend: Evaluation, no_position: Evaluation, knn: Evaluation) -> list[str]:
    warm, liked, cold = default.report.warm.rate, default.report.liked.rate, default.report.cold.rate
    without, nightly = no_position.report.warm.rate, knn.report.warm.rate
    marks = [
        (warm >= WARM_MIN, f"warm HR@10 is {warm:.4f}, at least {WARM_MIN} is asked"),
        (liked >= LIKED_MIN, f"liked HR@10 is {liked:.4f}, at least {LIKED_MIN} is asked"),
        (cold >= COLD_MIN, f"cold HR@10 is {cold:.4f}, at least {COLD_MIN} is asked"),
        (warm >= no_trend.report.warm.rate, "the tuned trend makes lists worse"),
        (warm > nightly, f"item-kNN, retrained, reaches {nightly:.4f}"),
        (
            without < WARM_WITHOUT_POSITION_MAX,
            f"without position warm HR@10 is {without:.4f}: the weighting does nothing",
        ),
    ]
    return [line for met, line in marks if not met]


def _missed_fashion(default: Evaluation, no_trend: Evaluation, *recent: Evaluation) -> list[str]:
    """Where taste and fashion both count, the mix has to be better than either alone."""
    warm = default.report.warm.rate
    return [
        f"on a stream that follows fashion {other.system} reaches {other.report.warm.rate:.4f}, the default {warm:.4f}"
        for other in (no_trend, *recent)
        if warm <= other.report.warm.rate
    ]


def _write(evaluations: list[Evaluation], fashion: list[Evaluation], missed: list[str]) -> None:
    result = {
        **document(evaluations),
        "fashion": document(fashion),
        "missed": missed,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
