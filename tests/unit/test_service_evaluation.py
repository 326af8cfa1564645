"""The evaluation of the service's own path: what it asks, what it learns, and on which scale."""

from collections.abc import Sequence

import numpy as np

from consumers.evaluation import Evaluation, EvaluationPlan, run_evaluation
from consumers.settings import Settings
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset, IdColumn, Ratings
from schemas.scale import Scale

DATASET = synthetic_dataset(SyntheticPlan(users=25, items=40, mean_ratings_per_user=10))


def evaluated(dataset: Dataset = DATASET, *, events: int | None = None, position: bool = True) -> Evaluation:
    plan = EvaluationPlan(dataset, Settings(), events, position, store="memory")
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
    assert named.document()["results"] == evaluated().document()["results"]
    assert named.items == evaluated().items


def test_the_scale_does_not_matter() -> None:
    """The same opinions on a scale to 10 give the same hits, and the same ones count as liked."""
    doubled = changed(DATASET.ratings.item, DATASET.ratings.rating * 2, Scale(1.0, 10.0))
    assert evaluated(doubled).document()["results"] == evaluated().document()["results"]


def test_a_part_is_the_beginning() -> None:
    """`events` takes the first ratings in time order, and progress is told event by event."""
    told: list[tuple[int, int]] = []
    plan = EvaluationPlan(DATASET, Settings(), events=50, store="memory")
    report = run_evaluation(plan, lambda done, total: told.append((done, total))).report
    assert (report.events, told) == (50, [(number, 50) for number in range(1, 51)])


def test_position_is_a_rule_of_its_own() -> None:
    """Without it the results stand under another name, and they differ."""

    def results(*, position: bool) -> Sequence[object]:
        ((name, figures),) = evaluated(position=position).document()["results"].items()
        return name, figures

    (name, figures), (other, others) = results(position=True), results(position=False)
    assert (name, other) == ("default", "no-position")
    assert figures != others
