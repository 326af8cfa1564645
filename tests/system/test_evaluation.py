"""What is evaluated is what runs: the lists of a real worker beside those of the evaluator, event by event."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from deployment import Deployment
from topic_truth import committed_records

from consumers.evaluation import EvaluationPlan
from consumers.lists import ListWriter
from consumers.service_system import ServiceSystem, service_system
from producers.synthetic import SyntheticPlan, synthetic_dataset
from recommender.evaluation import LIST_LENGTH, RatedEvent
from schemas.events import Rated

DATASET = synthetic_dataset(SyntheticPlan(users=40, items=120, mean_ratings_per_user=12, fashion_strength=6))
EVENTS = 450


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """One partition, so that there is one order, and a worker that takes one rating at a time."""
    one = {"topics__partitions": "1", "limits__batch_max_records": "1", "ranking__list_length": str(LIST_LENGTH)}
    with Deployment(broker, topic_prefix, tmp_path, **one) as made:
        yield made.make_topics()


def evaluators_list(system: ServiceSystem, event: RatedEvent) -> list[dict[str, Any]]:
    """The list that the evaluator has for a user when it has learnt an event, as a worker would write it."""
    system.learn([event])
    state = system.states.load([event.user_id], [])[event.user_id]
    ranked, _ = system.recommender.assess(event.user_id, state, event.item)
    return orjson.loads(orjson.dumps(ListWriter("", "", "", 0).items(ranked)))  # type: ignore[no-any-return]


def test_a_worker_in_batches_of_one_publishes_what_the_evaluator_measures(deployment: Deployment) -> None:
    """After every rating: the same items in the same order, with the same scores, support and predicted ratings."""
    plan = EvaluationPlan(DATASET, deployment.settings, EVENTS)
    rows = list(plan.ratings().rows())
    deployment.produce(Rated(user_id=str(u), item_id=i, rating=r, rated_at=at) for u, i, r, at in rows)
    worker = deployment.worker().start()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    records = committed_records(deployment, deployment.settings.recommendations_topic)
    published = [orjson.loads(record.value() or b"") for record in records]
    assert [found["source"]["offset"] for found in published] == list(range(EVENTS))
    with service_system(plan.own_settings(), plan.rules(), "edge") as system:
        for (user, item, rating, at_ms), found in zip(rows, published, strict=True):
            assert isinstance(item, int)
            expected = evaluators_list(system, RatedEvent(str(user), item, rating, rating, at_ms))
            assert (found["user_id"], found["items"]) == (str(user), expected)
    assert {found["tier"] for found in published} == {"personal", "thin", "popular"}
