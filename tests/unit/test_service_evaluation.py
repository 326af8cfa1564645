"""The evaluation of the service's own path: what it asks, what it learns, and on which scale."""

import statistics
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consumers.evaluation import BASELINES, RANKINGS, VARIATIONS, Evaluation, EvaluationPlan, run_evaluation
from consumers.evaluation_document import document
from consumers.factor_files import write_factors
from consumers.factor_system import factor_system
from consumers.factor_training import FactorError
from consumers.service_system import ServiceSystem, service_system
from consumers.settings import Settings
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset, IdColumn, Ratings, User
from recommender.evaluation import RatedEvent
from recommender.factors import Factors
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


def known_users() -> Dataset:
    """Every second user is a woman of 60, the others are men of 20: enough of each for neighbours."""
    ids = np.unique(DATASET.ratings.user).tolist()
    users = {one: User(one, age=20 + 40 * (at % 2), gender="MF"[at % 2]) for at, one in enumerate(ids)}
    return Dataset("known", DATASET.ratings, DATASET.scale, DATASET.items, users)


def filtered(dataset: Dataset, **filters: object) -> Evaluation:
    plan = EvaluationPlan(dataset, Settings(filters=filters), None, "default-no-trend", "memory")
    return run_evaluation(plan, lambda _done, _total: None)


@pytest.mark.parametrize("filters", [{"same": ("gender",)}, {"near": ("age:4",)}])
def test_standing_filters_know_the_users_of_the_data_set(filters: dict[str, object]) -> None:
    """Filtered by what the data set says of its users the lists are others; of users without attributes, the same."""
    strangers = Dataset("strangers", DATASET.ratings, DATASET.scale, DATASET.items)
    with_attributes, without = filtered(known_users(), **filters), filtered(strangers, **filters)
    plain = figures_of(filtered(strangers))
    assert figures_of(filtered(known_users())) == plain
    assert figures_of(with_attributes) != plain
    assert figures_of(without) == plain
    assert (with_attributes.profiles, without.profiles) == (with_attributes.users, 0)
    assert document([with_attributes])["users_with_attributes"] == with_attributes.users


def test_attributes_are_told_as_a_replay_tells_them() -> None:
    """Of the users of the ratings that are evaluated, and of nobody else, before the first rating."""
    plan = EvaluationPlan(known_users(), Settings(), 30, store="memory")
    told = {one.user_id: dict(one.attributes) for one in plan.profiles()}
    assert told.keys() == {str(user) for user in plan.ratings().user.tolist()}
    with service_system(plan.own_settings(), plan.rules(), "memory") as system:
        system.introduce({user_id: {**attributes} for user_id, attributes in told.items()})
        states = {state.user_id: dict(state.attributes) for page in system.stored() for state in page}
    assert states == told


def test_whoever_takes_over_goes_on() -> None:
    """Over another store filled from the first the same lists follow, also those that the trend had a part in."""
    plan = EvaluationPlan(known_users(), Settings(), store="memory")
    events = [RatedEvent(str(user), int(item), rating, rating, at) for user, item, rating, at in plan.ratings().rows()]
    half = len(events) // 2

    def opened() -> AbstractContextManager[ServiceSystem]:
        return service_system(plan.own_settings(), plan.rules(), "memory")

    with opened() as first, opened() as second:
        first.introduce({"ann": {"age": 30}})
        for event in events[:half]:
            first.assess(event.user_id, event.item)
            first.learn([event])
        second.take_over(first)
        lists = [[system.assess(event.user_id, event.item) for event in events[half:]] for system in (first, second)]
        for system in (first, second):
            system.learn(events[half:])
        counts = [sorted((s.user_id, s.count) for page in system.stored() for s in page) for system in (first, second)]
    assert lists[0] == lists[1]
    assert counts[0] == counts[1]


def test_factors_are_made_of_the_past_alone() -> None:
    """Made anew 22 times; whatever is rated later, lists until then are the same."""
    whole = EvaluationPlan(DATASET, Settings(), None, "default-factors", "memory")
    events = [RatedEvent(str(user), int(item), rating, rating, at) for user, item, rating, at in whole.ratings().rows()]
    other = [event._replace(item=events[0].item) for event in events]
    found = []
    for following in (events, other):
        with factor_system(partial(_opened, whole), whole.rules().value, len(events)) as system:
            lists = []
            for event in [*events[:150], *following[150:]]:
                lists.append(system.assess(event.user_id, event.item))
                system.learn([event])
            found.append(lists[:150])
            assert system.service.recommender.embeddings[0].way == "factors"
    assert found[0] == found[1]


def test_a_given_file_of_factors_is_used_as_it_is(tmp_path: Path) -> None:
    """Its factors weigh from the first rating on; to items whose ids are text it has nothing to say."""
    items = np.unique(DATASET.ratings.item).astype(np.uint32)
    file = tmp_path / "factors.npz"
    write_factors(Factors(items, np.random.default_rng(1).random((len(items), 4), np.float32)), file)
    settings = Settings(ranking={"factors_weight": 0.5, "factors_file": file})
    plan = EvaluationPlan(DATASET, settings, None, "default", "memory")
    assert figures_of(run_evaluation(plan, lambda _done, _total: None)) != figures_of(evaluated())
    named = changed(np.array([f"film {item}" for item in DATASET.ratings.item.tolist()], object), *_rest())
    with pytest.raises(FactorError, match="item ids of changed are text"):
        run_evaluation(replace(plan, dataset=named), lambda _done, _total: None)


def _rest() -> tuple[Any, Scale]:
    return DATASET.ratings.rating, DATASET.scale


def _opened(plan: EvaluationPlan, factors: Factors | None) -> AbstractContextManager[ServiceSystem]:
    rules = replace(plan.rules(), factors_weight=0.0) if factors is None else plan.rules()
    return service_system(plan.own_settings(), rules, "memory", None, factors)


def test_genres_reach_the_ranking() -> None:
    """`tutorial` mixes popularity within liked genres into cold lists: without genres these are others."""
    bare = Dataset("bare", DATASET.ratings, DATASET.scale)
    with_genres, without = evaluated(system="tutorial"), evaluated(bare, "tutorial")
    assert with_genres.report.cold.hit.total != without.report.cold.hit.total
    assert with_genres.report.warm.hit.total == without.report.warm.hit.total
