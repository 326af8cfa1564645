"""What is evaluated is what runs: the lists of a real worker beside those of the evaluator, event by event."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from deployment import Deployment
from topic_truth import committed_records

from consumers.catalogue_reading import item_producer, read_catalogue
from consumers.evaluation import EvaluationPlan
from consumers.lists import ListWriter
from consumers.service_system import ServiceSystem, service_system
from consumers.settings_ranking import RankingSettings
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import Dataset, Id
from recommender.evaluation import LIST_LENGTH, RatedEvent
from schemas.events import Rated
from schemas.items import Item

Row = tuple[Id, Id, float, int]
Lists = list[list[dict[str, Any]]]

DATASET = synthetic_dataset(SyntheticPlan(users=40, items=120, mean_ratings_per_user=12, fashion_strength=6))
EVENTS = 450
SMALL_DATASET = synthetic_dataset(SyntheticPlan(users=10, items=24, mean_ratings_per_user=9, taste_strength=2))
AGAIN = 6
"""Ratings of the small data set that are given once more, and otherwise, at its end."""
YEAR_MS = 365 * 86_400_000

Z_SCORES = {"ranking__global_mean": "3.5", "ranking__global_deviation": "1.05"}
PRESETS = {
    "tutorial": {"ranking__preset": "tutorial"},
    "article": {"ranking__preset": "article", **Z_SCORES},
}
TECHNIQUES = {
    "idf": {"ranking__idf": "true"},
    "pruning": {"ranking__prune_below": "1.5"},
    "averages": {"ranking__duplicates": "mean"},
    "decay": {"ranking__decay_per_year": "0.5"},
    "z-scores": {"ranking__centre": "global", "ranking__global_mean": "3.5", "ranking__global_deviation": "1"},
    "genre popularity": {"ranking__cold_popularity": "0.3"},
    "content": {"ranking__content_weight": "0.3"},
    "diversity": {"ranking__diversity": "0.5"},
}
"""Some, each alone beside the default; the presets are made of the others."""


@pytest.fixture
def deploy(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Makes the test's one deployment: one partition, so that there is one order, and one rating at a time."""
    made: list[Deployment] = []

    def deployed(**variables: str) -> Deployment:
        one = {"topics__partitions": "1", "limits__batch_max_records": "1", "ranking__list_length": str(LIST_LENGTH)}
        made.append(Deployment(broker, topic_prefix, tmp_path, **one, **variables))
        return made[0].__enter__().make_topics()

    yield deployed
    for one in made:
        one.__exit__(None, None, None)


def evaluators_list(system: ServiceSystem, event: RatedEvent) -> list[dict[str, Any]]:
    """The list that the evaluator has for a user when it has learnt an event, as a worker would write it."""
    system.learn([event])
    state = system.states.load([event.user_id], [])[event.user_id]
    ranked, _ = system.recommender.assess(event.user_id, state, event.item)
    writer = ListWriter("", "", "", 0, system.recommender.catalogue)
    return orjson.loads(orjson.dumps(writer.items(ranked)))  # type: ignore[no-any-return]


def evaluators_lists(plan: EvaluationPlan, rows: Sequence[Row]) -> Lists:
    """The list after every rating, with the catalogue that stands in the topic."""
    catalogue = read_catalogue(plan.settings).known
    with service_system(plan.own_settings(), plan.rules(), plan.store, catalogue) as system:
        return [evaluators_list(system, RatedEvent(str(u), int(i), r, r, at)) for u, i, r, at in rows]


def published_after(deployment: Deployment, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What a worker publishes of these ratings, one list after each."""
    deployment.produce(Rated(user_id=str(u), item_id=i, rating=r, rated_at=at) for u, i, r, at in rows)
    worker = deployment.worker().start()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    records = committed_records(deployment, deployment.settings.recommendations_topic)
    published = [orjson.loads(record.value() or b"") for record in records if record.key() != b"_popular"]
    assert [found["source"]["offset"] for found in published] == list(range(len(rows)))
    assert [found["user_id"] for found in published] == [str(user) for user, *_ in rows]
    return published


def assert_as_evaluated(published: list[dict[str, Any]], expected: Lists) -> None:
    """Item by item, so that a failure shows the first list that differs."""
    for found, items in zip(published, expected, strict=True):
        assert (found["source"]["offset"], found["items"]) == (found["source"]["offset"], items)


def test_a_worker_in_batches_of_one_publishes_what_the_evaluator_measures(deploy: Callable[..., Deployment]) -> None:
    """After every rating: the same items in the same order, with the same scores, support and predicted ratings."""
    deployment = deploy()
    plan = EvaluationPlan(DATASET, deployment.settings, EVENTS)
    rows = list(plan.ratings().rows())
    published = published_after(deployment, rows)
    assert_as_evaluated(published, evaluators_lists(plan, rows))
    assert {found["tier"] for found in published} == {"personal", "thin", "popular"}


def small_stream(plan: EvaluationPlan) -> list[Row]:
    """The small data set, and then some ratings anew, which are the opposite of what they were."""
    rows = list(plan.ratings().rows())
    return rows + [(user, item, 5.5 - rating, at_ms + YEAR_MS) for user, item, rating, at_ms in rows[:AGAIN]]


def with_catalogue(deployment: Deployment, dataset: Dataset) -> Deployment:
    with item_producer(deployment.settings) as producer:
        for item_id, known in dataset.items.items():
            producer.put(Item(item_id=item_id, title=known.title, genres=list(known.genres), year=known.year))
    return deployment


@pytest.mark.parametrize("name", [*PRESETS, *TECHNIQUES])
def test_presets_and_techniques_run_as_they_are_evaluated(deploy: Callable[..., Deployment], name: str) -> None:
    """Each preset, and each technique alone: the evaluator's lists after every rating, which are not the default's."""
    deployment = with_catalogue(deploy(**(PRESETS | TECHNIQUES)[name]), SMALL_DATASET)
    plan = EvaluationPlan(SMALL_DATASET, deployment.settings, None, deployment.settings.ranking.preset)
    rows = small_stream(plan)
    published = published_after(deployment, rows)
    expected = evaluators_lists(plan, rows)
    assert_as_evaluated(published, expected)
    assert {found["ranking"].partition(":")[0] for found in published} == {deployment.settings.ranking.preset}
    default = deployment.settings.model_copy(update={"ranking": RankingSettings()})
    assert expected != evaluators_lists(EvaluationPlan(SMALL_DATASET, default, store="memory"), rows)
