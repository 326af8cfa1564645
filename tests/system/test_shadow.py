"""A shadow through the broker: figures of both rankings on the topic, the published lists as ever, kill and restart."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment
from service_process import WorkerProcess
from topic_truth import committed_records

from consumers.published_metrics import newest_metrics
from producers.datasets import bundled_dataset
from producers.tables import time_order
from schemas.events import Event, Rated
from schemas.metrics import LiveMetrics, metrics_key
from schemas.recommendations import decode_list

EVENTS, MORE_EVENTS = 400, 100
SHADOW = ("--shadow", "article")


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """The first ratings of the bundled data set, in time order."""
    rows = islice(time_order(bundled_dataset().ratings).rows(), EVENTS + MORE_EVENTS)
    return [Rated(user_id=str(user), item_id=item, rating=rating, rated_at=at_ms) for user, item, rating, at_ms in rows]


def settings(instance: str) -> dict[str, str]:
    """One partition and batches of one, so that two deployments cut the same stream alike."""
    return {
        "instance": instance,
        "evaluation__publish_interval_s": "0.3",
        "limits__batch_max_records": "1",
        "topics__partitions": "1",
        "ranking__global_mean": "3.5",
        "ranking__global_deviation": "1.05",
        "ranking__popular_interval_s": "0",
    }


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """The one with a shadow."""
    with Deployment(broker, topic_prefix + "-s", tmp_path / "s", **settings("w-1")) as made:
        yield made.make_topics()


@pytest.fixture
def plain(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """The same without."""
    with Deployment(broker, topic_prefix + "-p", tmp_path / "p", **settings("w-1")) as made:
        yield made.make_topics()


def await_figures(deployment: Deployment, worker: WorkerProcess, ratings: int) -> dict[str, LiveMetrics]:
    """The newest record of each preset, once both were taken when so many ratings were stored."""
    found: dict[str, LiveMetrics] = {}

    def are_there() -> bool:
        newest = newest_metrics(deployment.settings, str(deployment.settings.metrics_topic))
        found.update({record["preset"]: record for record in newest})
        return len(found) == 2 and all(
            round((record["vector_size"] or 0) * record["users"]) == ratings for record in found.values()
        )

    worker.await_until(are_there, f"figures of both at {ratings} stored ratings")
    return found


def lists_of(deployment: Deployment) -> list[tuple[str, Any, Any]]:
    """All published lists in their order: whose they are, of which state, and their items."""
    found = committed_records(deployment, deployment.settings.recommendations_topic)
    lists = [decode_list(message.value() or b"") for message in found]
    return [(one["user_id"], one["state"]["version"], one["items"]) for one in lists]


def test_both_are_judged_and_the_published_lists_are_as_ever(
    deployment: Deployment, plain: Deployment, events: list[Event]
) -> None:
    """Law: the topic has both, /metrics the comparison; every published list is the one that it is without a shadow."""
    for one, arguments in ((deployment, SHADOW), (plain, ())):
        worker = one.worker(*arguments).start().await_ready()
        one.produce(events[:EVENTS])
        one.await_lag(0, worker)
        if one is deployment:
            found = await_figures(one, worker, EVENTS)
            assert (
                worker.metric("tastestream_live_paired_z", preset="article", against="default")
                == (found["article"]["paired_z"])
            )
        assert worker.stop() == 0
    main, shadow = found["default"], found["article"]
    assert shadow["against"] == "default"
    assert shadow["paired_ratings"] == shadow["all"]["n"] == main["all"]["n"] > EVENTS // 2
    assert 0 < (shadow["all"]["hr10"] or 0) != main["all"]["hr10"]
    assert lists_of(deployment) == lists_of(plain)


def test_it_goes_on_after_a_kill(deployment: Deployment, events: list[Event]) -> None:
    """Law: the shadow's vectors are kept with the states, its windows begin anew, under the same key."""
    worker = deployment.worker(*SHADOW).start().await_ready()
    deployment.produce(events[:EVENTS])
    before = await_figures(deployment, worker, EVENTS)
    worker.kill()
    worker.start().await_ready()
    deployment.produce(events[EVENTS:])
    after = await_figures(deployment, worker, EVENTS + MORE_EVENTS)
    assert worker.stop() == 0
    for preset in ("default", "article"):
        assert metrics_key(before[preset]) == metrics_key(after[preset])
        assert 0 < after[preset]["ratings"] < before[preset]["ratings"]
    assert after["article"]["paired_ratings"] == after["article"]["all"]["n"] > 0
