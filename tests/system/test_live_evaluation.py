"""Live evaluation through the broker: figures on the topic and on /metrics, and workers that do without the topic."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from deployment import Deployment
from service_process import WorkerProcess
from topic_truth import committed_records

from consumers.named_datasets import BUNDLED
from consumers.published_metrics import newest_metrics
from producers.datasets import bundled_dataset
from producers.tables import time_order
from recommender.live_figures import AUDIENCES
from schemas.events import Event, Rated
from schemas.metrics import LiveMetrics, metrics_key

EVENTS, MORE_EVENTS = 2_000, 100
WITHOUT = "the figures of live evaluation go to /metrics alone"
Events = list[Event]


@pytest.fixture(scope="module")
def events() -> Events:
    """The first ratings of the bundled data set, in time order."""
    rows = islice(time_order(bundled_dataset().ratings).rows(), EVENTS + MORE_EVENTS)
    return [Rated(user_id=str(user), item_id=item, rating=rating, rated_at=at_ms) for user, item, rating, at_ms in rows]


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment whose workers publish figures twice a second, and take few records at a time."""
    settings = {
        "instance": "w-1",
        "evaluation__publish_interval_s": "0.5",
        "limits__batch_max_records": "20",
    }
    with Deployment(broker, topic_prefix, tmp_path, **settings) as made:
        yield made.make_topics()


def topic_of(deployment: Deployment) -> str:
    """Where the figures go."""
    return str(deployment.settings.metrics_topic)


def knows(found: LiveMetrics, ratings: int) -> bool:
    """Whether the figures were taken when so many ratings were stored."""
    return round((found["vector_size"] or 0) * found["users"]) == ratings


def await_figures(deployment: Deployment, worker: WorkerProcess, ratings: int) -> LiveMetrics:
    """The only newest figures of the topic, once so many ratings are stored; no further batch publishes them."""

    def newest() -> LiveMetrics | None:
        found = newest_metrics(deployment.settings, topic_of(deployment))
        return found[0] if len(found) == 1 and knows(found[0], ratings) else None

    worker.await_until(lambda: newest() is not None, f"figures of {ratings} stored ratings")
    found = newest()
    assert found is not None
    return found


def assert_plausible(found: LiveMetrics) -> None:
    """Better than chance, and within what each figure can be."""
    everyone, warm, liked, cold = found["all"], found["warm"], found["liked"], found["cold"]
    assert everyone["n"] == warm["n"] + cold["n"] <= found["ratings"]
    assert 0 < liked["n"] < warm["n"]
    # Ten of some hundred items by chance are a few in a hundred.
    assert 0.05 < (everyone["ndcg10"] or 0) * 2 < 2 * (everyone["hr10"] or 0) < 1
    assert 0.4 < (found["mae"] or 0) < (found["rmse"] or 0) < 1.5
    assert found["judged_share"] == 1
    for share in ("coverage", "diversity", "user_coverage", "item_coverage"):
        assert 0 < (found[share] or 0) <= 1
    assert 0 < (found["novelty"] or 0) < 12
    for times in (found["search_ms"], found["refresh_ms"]):
        assert times is not None
        assert 0 < times["p50"] <= times["p99"]


def test_figures_are_on_the_topic_and_on_metrics(deployment: Deployment, events: Events) -> None:
    """Law: after a replay the topic, /metrics and the command say the same, and it is plausible."""
    assert deployment.command("catalogue", "load", BUNDLED).returncode == 0
    worker = deployment.worker().start().await_ready()
    deployment.produce(events[:EVENTS])
    found = await_figures(deployment, worker, EVENTS)
    assert_plausible(found)
    served = {name: worker.metric(f"tastestream_live_{name}") for name in ("coverage", "diversity", "users", "items")}
    assert served == {name: dict(found)[name] for name in served}
    for audience in AUDIENCES:
        hits = found[audience]
        assert worker.metric("tastestream_live_hit_rate", audience=audience) == hits["hr10"]
        assert worker.metric("tastestream_live_judged_ratings", audience=audience) == hits["n"]
    assert worker.metric("tastestream_live_prediction_error", kind="mae") == found["mae"]
    assert deployment.answer("metrics") == [found]
    table = deployment.command("metrics").stdout
    assert f"{found['all']['hr10']:.4f} of {found['all']['n']:,}" in table
    assert worker.stop() == 0


def test_a_restart_goes_on_under_the_same_key(deployment: Deployment, events: Events) -> None:
    """Law: the topic is compacted, a worker's figures replace its earlier ones; what is in its memory begins anew."""
    worker = deployment.worker().start().await_ready()
    deployment.produce(events[:EVENTS])
    before = await_figures(deployment, worker, EVENTS)
    assert worker.stop() == 0
    worker.start().await_ready()
    deployment.produce(events[EVENTS:])
    after = await_figures(deployment, worker, EVENTS + MORE_EVENTS)
    assert worker.stop() == 0
    assert 0 < after["ratings"] < before["ratings"]
    assert 0 < (after["judged_share"] or 0) < 1
    assert after["generated_at"] > before["generated_at"]
    (topic,) = deployment.cluster.topics([topic_of(deployment)]).values()
    assert (topic.partitions, topic.config["cleanup.policy"]) == (1, "compact")
    keys = {message.key() for message in committed_records(deployment, topic_of(deployment))}
    assert keys == {metrics_key(before).encode()} == {metrics_key(after).encode()}


def test_a_worker_does_without_the_topic(deployment: Deployment, events: Events) -> None:
    """Law: where the topic is missing, it says so once, serves the figures on /metrics, and publishes every list."""
    deployment.cluster.admin.delete_topics([topic_of(deployment)])[topic_of(deployment)].result()
    worker = deployment.worker().start().await_ready()
    deployment.produce(events[:MORE_EVENTS])
    deployment.await_lag(0, worker)
    users = {event.user_id for event in events[:MORE_EVENTS]}
    worker.await_until(lambda: worker.metric("tastestream_live_users") == len(users), "figures on /metrics")
    assert worker.stop() == 0
    assert worker.events().count(WITHOUT) == 1
    lists = committed_records(deployment, deployment.settings.recommendations_topic)
    assert {message.key() for message in lists} == {user.encode() for user in users}
