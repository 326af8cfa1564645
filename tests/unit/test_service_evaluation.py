"""The evaluation of the service's own path: what it asks, what it learns, and on which scale."""

import statistics
from typing import Any

import numpy as np
import pytest

from consumers.evaluation import BASELINES, RANKINGS, VARIATIONS, Evaluation, EvaluationPlan, run_evaluation
from consumers.evaluation_document import document
from consumers.service_system import service_system
from consumers.settings import Settings
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset, IdColumn, Ratings
from recommender.evaluation import RatedEvent
from recommender.measures import paired_z
from schemas.scale import Scale

DATASET = synthetic_dataset(SyntheticPlan(users=25, items=40, mean_ratings_per_user=10))


def evaluated(dataset: Dataset = DATASET, system: str = "default", batch_events: int = 1) -> Evaluation:
    plan = EvaluationPlan(dataset, Settings(), None, system, "memory", batch_events)
    return run_evaluation(plan, lambda _done, _total: None)


def figures_of(evaluation: Evaluation) -> dict[str, Any]:
    """Its figures as JSON carries them, without how long it took."""
    (found,) = document([evaluation])["results"].values()
    return {name: value for name, value in found.items() if name != "seconds"}


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
    # The renamed items have no genres, so there is no diversity.
    assert figures_of(named) == {**figures_of(evaluated()), "diversity": None, "se_diversity": None}
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


@pytest.mark.parametrize("system", VARIATIONS)
def test_every_part_of_the_ranking_counts(system: str) -> None:
    """Without it the results differ, on a stream that follows fashion."""
    fashion = synthetic_dataset(
        SyntheticPlan(users=60, items=80, mean_ratings_per_user=12, fashion_strength=10, popularity_exponent=0.2)
    )
    assert figures_of(evaluated(fashion)) != figures_of(evaluated(fashion, system))


@pytest.mark.parametrize("system", [*RANKINGS, *BASELINES])
def test_all_are_measured_on_the_same_events(system: str) -> None:
    """Whatever is evaluated, the same ratings are asked for, and no list shows what its user has rated."""
    report, other = evaluated(system=system).report, evaluated().report
    counts = [(found.events, found.warm.events, found.liked.events, found.cold.events) for found in (report, other)]
    assert counts[0] == counts[1]
    assert report.cold.hit.total > 0


def test_predictions_are_measured_for_every_rating() -> None:
    """Also of items that are not in the list; a baseline that predicts nothing has no error."""
    report = evaluated().report
    assert report.errors.events == report.warm.events + report.cold.events
    assert 0 < (report.errors.absolute.mean or 0) <= (report.errors.rmse or 0) < 4.5
    assert evaluated(system="popular").report.errors.rmse is None


@pytest.mark.parametrize("system", ["default", "popular-30d", "item-knn"])
def test_a_batch_of_everything_knows_nobody(system: str) -> None:
    """All lists are from before the first rating, when there is nothing to show; the same ratings are measured."""
    whole, plain = evaluated(system=system, batch_events=len(DATASET.ratings)), evaluated(system=system)
    assert whole.report.warm.events == plain.report.warm.events
    assert (whole.report.warm.hit.total, whole.report.cold.hit.total) == (0, 0)
    assert document([whole])["batch"] == len(DATASET.ratings)


def test_a_batch_is_learnt_whole() -> None:
    """After it the store holds what it holds when events come one by one: a last list of all is the same."""
    plan = EvaluationPlan(DATASET, Settings(), store="memory")
    events = [RatedEvent(str(user), int(item), rating, rating, at) for user, item, rating, at in plan.ratings().rows()]
    found = []
    for size in (1, 7, len(events)):
        with service_system(plan.own_settings(), plan.rules(), "memory") as system:
            for begin in range(0, len(events), size):
                system.learn(events[begin : begin + size])
            users = {event.user_id: system.states.load([event.user_id], [])[event.user_id] for event in events}
            found.append({user_id: (state.count, state.history.items.tolist()) for user_id, state in users.items()})
    assert found[0] == found[1] == found[2]


def test_a_comparison_is_of_the_first_with_each_other_one() -> None:
    """`paired_z` says how far the first is ahead, and is nowhere else to be had than from two systems."""
    first, other = evaluated(), evaluated(system="popular")
    results = document([first, other, first])["results"]
    assert results["popular"]["paired_z"] == pytest.approx(paired_z(first.report, other.report), abs=1e-5)
    assert results["default"]["paired_z"] is None


def test_z_scores_are_by_the_ratings_that_are_evaluated() -> None:
    """Mean and deviation (n − 1) of the first ratings, unless the settings have others; the document says them."""
    plan = EvaluationPlan(DATASET, Settings(), 100, "article", "memory")
    ratings = plan.ratings().rating.tolist()
    rule = plan.rules().value
    assert (rule.centre, rule.spread) == pytest.approx((statistics.mean(ratings), statistics.stdev(ratings)))
    told = document([run_evaluation(plan, lambda _done, _total: None)])
    assert (told["global_mean"], told["global_deviation"]) == pytest.approx((rule.centre, rule.spread), abs=1e-5)
    own = Settings(ranking={"preset": "article", "global_mean": 3.0, "global_deviation": 0.5})
    rule = EvaluationPlan(DATASET, own, 100, "article", "memory").rules().value
    assert (rule.centre, rule.spread) == (3.0, 0.5)


def test_genres_reach_the_ranking() -> None:
    """`tutorial` mixes popularity within liked genres into cold lists: without genres these are others."""
    bare = Dataset("bare", DATASET.ratings, DATASET.scale)
    with_genres, without = evaluated(system="tutorial"), evaluated(bare, "tutorial")
    assert with_genres.report.cold.hit.total != without.report.cold.hit.total
    assert with_genres.report.warm.hit.total == without.report.warm.hit.total
