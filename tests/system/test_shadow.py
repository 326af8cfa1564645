"""A shadow through the broker: figures of both rankings on the topic, the published lists as ever, kill and restart."""

import json
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment
from qdrant_process import QdrantProcess
from service_process import PROGRAM, WAIT_S, WorkerProcess, clean_environment
from topic_truth import committed_records

from consumers.published_metrics import newest_metrics
from producers.datasets import bundled_dataset
from producers.tables import time_order
from schemas.events import Event, Rated
from schemas.metrics import LiveMetrics, metrics_key
from schemas.recommendations import decode_list

EVENTS, MORE_EVENTS = 200, 100
SHADOW = ("--shadow", "article")
JUDGED = {
    *("ratings", "all", "warm", "liked", "cold", "mae", "rmse", "n_predicted", "lists", "coverage", "diversity"),
    *("novelty", "users", "items", "user_coverage", "vector_size"),
}
"""What the figures of a ranking are, but for the time that they took."""


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
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a store: on Edge, or on a server where a test asks for one."""
    if getattr(request, "param", "edge") == "edge":
        yield {}
        return
    with QdrantProcess(tmp_path / "qdrant") as qdrant:
        yield {"qdrant__store": "server", "qdrant__url": qdrant.url}


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path, store: dict[str, str]) -> Iterator[Deployment]:
    """The one with a shadow."""
    with Deployment(broker, topic_prefix + "-s", tmp_path / "s", **settings("w-1"), **store) as made:
        yield made.make_topics()


@pytest.fixture
def plain(broker: str, topic_prefix: str, tmp_path: Path, store: dict[str, str]) -> Iterator[Deployment]:
    """The same without."""
    with Deployment(broker, topic_prefix + "-p", tmp_path / "p", **settings("w-1"), **store) as made:
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


def await_judgement(deployment: Deployment, worker: WorkerProcess, preset: str, lists: int) -> dict[str, Any]:
    """What is said of a preset on the topic once it has made so many lists, but for the time that they took."""

    def found() -> list[LiveMetrics]:
        newest = newest_metrics(deployment.settings, str(deployment.settings.metrics_topic))
        return [record for record in newest if (record["preset"], record["lists"]) == (preset, lists)]

    worker.await_until(lambda: bool(found()), f"figures of {lists} lists by {preset}")
    return {name: value for name, value in found()[0].items() if name in JUDGED}


def lists_of(deployment: Deployment) -> list[tuple[str, Any, Any]]:
    """All published lists in their order: whose they are, of which state, and their items."""
    found = committed_records(deployment, deployment.settings.recommendations_topic)
    lists = [decode_list(message.value() or b"") for message in found]
    return [(one["user_id"], one["state"]["version"], one["items"]) for one in lists]


def assert_served(worker: WorkerProcess, found: dict[str, LiveMetrics]) -> None:
    """`/metrics` has the shadow's figures, and the published ranking's apart from them."""
    main, shadow = found["default"], found["article"]
    z = worker.metric("tastestream_live_paired_z", preset="article", against="default")
    assert z == shadow["paired_z"]
    for audience in ("all", "warm", "liked", "cold"):
        rate = worker.metric("tastestream_live_shadow_hit_rate", preset="article", audience=audience)
        judged = worker.metric("tastestream_live_shadow_judged_ratings", preset="article", audience=audience)
        assert (rate, judged) == (shadow[audience]["hr10"], shadow[audience]["n"])
        assert worker.metric("tastestream_live_hit_rate", audience=audience) == main[audience]["hr10"]


def printed(deployment: Deployment, *arguments: str) -> str:
    """What `tastestream metrics` says."""
    done = subprocess.run(
        [*PROGRAM, "metrics", *arguments],
        env=clean_environment({**deployment._variables, "COLUMNS": "160"}),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_told(deployment: Deployment, found: dict[str, LiveMetrics]) -> None:
    """A column for each ranking, and beneath the shadow's how the two compare."""
    assert {record["preset"]: record for record in json.loads(printed(deployment, "--json"))} == found
    lines = printed(deployment).splitlines()
    (heading,) = (line for line in lines if "w-1 (default)" in line)
    assert "w-1 (article)" in heading
    shadow = found["article"]
    (compared,) = (line for line in lines if line.startswith("paired z, McNemar"))
    comparison = f"{shadow['paired_z']:.2f} of {shadow['paired_ratings']} against default"
    assert compared.removeprefix("paired z, McNemar").strip() == comparison
    (hits,) = (line for line in lines if line.startswith("HR@10, all"))
    for record in found.values():
        assert f"{record['all']['hr10']:.4f} of {record['all']['n']}" in hits


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
            assert_served(worker, found)
        assert worker.stop() == 0
    assert_told(deployment, found)
    main, shadow = found["default"], found["article"]
    assert shadow["against"] == "default"
    assert shadow["paired_ratings"] == shadow["all"]["n"] == main["all"]["n"] > EVENTS // 2
    assert 0 < (shadow["all"]["hr10"] or 0) != main["all"]["hr10"]
    assert lists_of(deployment) == lists_of(plain)


@pytest.mark.parametrize("store", ["edge", "server"], indirect=True)
def test_a_shadow_is_judged_as_if_it_were_published(
    deployment: Deployment, plain: Deployment, events: list[Event]
) -> None:
    """Law: of the same stream the preset has the same figures as a shadow and as the published ranking."""
    shadowing = deployment.worker(*SHADOW)
    publishing = plain.worker(ranking__preset="article")
    found = []
    for one, worker in ((deployment, shadowing), (plain, publishing)):
        worker.start().await_ready()
        one.produce(events[:EVENTS])
        found.append(await_judgement(one, worker, "article", EVENTS))
        assert worker.stop() == 0
    assert found[0] == found[1]


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
