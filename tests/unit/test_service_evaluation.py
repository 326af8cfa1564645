"""The evaluation of the service's own path: what it asks, what it learns, and on which scale."""

import numpy as np
import pytest

from consumers.evaluation import BASELINES, VARIANTS, Evaluation, EvaluationPlan, document, run_evaluation
from consumers.settings import Settings
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset, IdColumn, Ratings
from schemas.scale import Scale

DATASET = synthetic_dataset(SyntheticPlan(users=25, items=40, mean_ratings_per_user=10))


def evaluated(dataset: Dataset = DATASET, variant: str = "default") -> Evaluation:
    plan = EvaluationPlan(dataset, Settings(), None, variant, store="memory")
    return run_evaluation(plan, lambda _done, _total: None)


def changed(item: IdColumn, rating: np.ndarray[tuple[int], np.dtype[np.float64]], scale: Scale) -> Dataset:
    ratings = DATASET.ratings
    return Dataset("changed", Ratings(ratings.user, item, rating, ratings.rated_at_ms), scale)


def test_every_event_is_counted_where_it_belongs() -> None:
    """All but each user's first rating are measured: with 1 to 4 earlier ones as cold, from 5 on as warm."""
    report = evaluated().report
    counts = np.unique(DATASET.ratings.user, return_counts=True)[1]
    assert report.events == len(DATASET.ratings)
    assert report.cold.events == sum(min(count, 5) - 1 for count in counts.tolist())
    assert report.warm.events == sum(max(count - 5, 0) for count in counts.tolist())
    assert 0 < report.liked.events < report.warm.events


def test_names_of_items_do_not_matter() -> None:
    """Ids that are text are numbered; in the order of the numbers they were, the hits are the same."""
    names = np.array([f"film {item:05d}" for item in DATASET.ratings.item.tolist()], object)
    named = evaluated(changed(names, DATASET.ratings.rating, Scale()))
    found, plain = (document([one])["results"]["default"] for one in (named, evaluated()))
    # The renamed items have no genres, so there is no diversity.
    assert found == {**plain, "diversity": None}
    assert named.items == evaluated().items


def test_the_scale_does_not_matter() -> None:
    """The same opinions on a scale to 10 give the same hits, the same ones count as liked, and errors are doubled."""
    doubled = evaluated(changed(DATASET.ratings.item, DATASET.ratings.rating * 2, Scale(1.0, 10.0))).report
    plain = evaluated().report
    for measure in ("warm", "liked", "cold"):
        assert getattr(doubled, measure) == getattr(plain, measure)
    assert doubled.errors.rmse == pytest.approx(2 * (plain.errors.rmse or 0), rel=1e-9)


def test_a_part_is_the_beginning() -> None:
    """`events` takes the first ratings in time order, and progress is told event by event."""
    told: list[tuple[int, int]] = []
    plan = EvaluationPlan(DATASET, Settings(), events=50, store="memory")
    report = run_evaluation(plan, lambda done, total: told.append((done, total))).report
    assert (report.events, told) == (50, [(number, 50) for number in range(1, 51)])


@pytest.mark.parametrize("variant", ["no-position", "no-trend"])
def test_every_part_of_the_ranking_counts(variant: str) -> None:
    """Without it the results differ, on a stream that follows fashion."""
    fashion = synthetic_dataset(
        SyntheticPlan(users=60, items=80, mean_ratings_per_user=12, fashion_strength=10, popularity_exponent=0.2)
    )
    found = document([evaluated(fashion), evaluated(fashion, variant)])["results"]
    assert found["default"] != found[variant]


@pytest.mark.parametrize("variant", [*VARIANTS, *BASELINES])
def test_all_are_measured_on_the_same_events(variant: str) -> None:
    """Whatever is evaluated, the same ratings are asked for, and no list shows what its user has rated."""
    report, other = evaluated(variant=variant).report, evaluated().report
    counts = [(found.events, found.warm.events, found.liked.events, found.cold.events) for found in (report, other)]
    assert counts[0] == counts[1]
    assert report.cold.hits > 0


def test_predictions_are_measured_for_every_rating() -> None:
    """Also of items that are not in the list; a baseline that predicts nothing has no error."""
    report = evaluated().report
    assert report.errors.events == report.warm.events + report.cold.events
    assert 0 < (report.errors.mae or 0) <= (report.errors.rmse or 0) < 4.5
    assert evaluated(variant="popular").report.errors.mae is None
