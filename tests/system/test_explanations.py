"""Why an item is in a list, through the broker: on the topic when asked for, by command where it is not."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from sample_ratings import ratings
from score_readings import exact, readings
from service_process import PROGRAM, WAIT_S
from topic_truth import committed_records

from schemas.events import Event, Rated
from schemas.recommendations import RecommendationList, decode_list

EVENTS = 3_000
EXPLAINED = 3
VIEWER = "viewer"
VIEWED: list[Event] = [
    Rated(user_id=VIEWER, item_id=item, rating=rating)
    for item, rating in ((318, 5.0), (296, 4.5), (593, 5.0), (50, 4.0))
]


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics, titles, and lists of twenty."""
    settings = {"catalogue__fallback_title": "Movie {item_id}", "ranking__list_length": "20"}
    with Deployment(broker, topic_prefix, tmp_path, **settings) as made:
        yield made.make_topics()


def published(deployment: Deployment) -> list[RecommendationList]:
    records = committed_records(deployment, deployment.settings.recommendations_topic)
    return [decode_list(value) for record in records if (value := record.value()) is not None]


def served(deployment: Deployment, **settings: str) -> list[RecommendationList]:
    """The lists of a worker that took everything, and has ended."""
    worker = deployment.worker(**settings).start().await_ready()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    return published(deployment)


def test_lists_say_why_when_asked_and_add_up(deployment: Deployment) -> None:
    """The first so many items of every list carry their reasons, which add up to the printed score exactly."""
    deployment.produce([*ratings(EVENTS), *VIEWED])
    lists = served(deployment, ranking__explain_items=str(EXPLAINED))
    assert lists
    for value in lists:
        assert [at for at, item in enumerate(value["items"]) if "why" in item] == list(range(EXPLAINED))
        for item in value["items"][:EXPLAINED]:
            assert readings(item["why"]) == [exact(item["score"])] * 2
    mine = [value for value in lists if value["user_id"] == VIEWER][-1]
    whys = [item["why"] for item in mine["items"][:EXPLAINED]]
    reasons = [reason for why in whys for reason in why["ratings"]]
    assert {reason["item_id"] for reason in reasons} <= {318, 296, 593, 50}
    assert all("title" in reason for reason in reasons)
    assert VIEWER not in json.dumps(whys)


def test_lists_say_nothing_of_themselves(deployment: Deployment) -> None:
    """Unless asked for, no item of any list has reasons."""
    deployment.produce([*ratings(EVENTS), *VIEWED])
    assert not [item for value in served(deployment) for item in value["items"] if "why" in item]


def test_show_tells_why_from_the_list_or_from_the_store(deployment: Deployment) -> None:
    """A list's own reasons are shown; of one without, the user is ranked for anew; who holds the store is said."""
    deployment.produce([*ratings(EVENTS), *VIEWED])
    served(deployment)
    stored = deployment.answer("show", VIEWER, "--why", "--top", "4")["why"]
    assert (stored["from"], len(stored["items"])) == ("store", 4)
    assert all(readings(item["why"]) == [exact(item["score"])] * 2 for item in stored["items"])
    told = deployment.command("show", VIEWER, "--why").stdout
    assert "ranked anew from the store" in told
    assert "because" in told
    worker = deployment.worker().start().await_ready()
    refused = deployment.command("show", VIEWER, "--why")
    assert refused.returncode == 1
    assert "ranking.explain_items" in refused.stderr
    assert worker.stop() == 0
    worker = deployment.worker(ranking__explain_items="2").start().await_ready()
    deployment.produce([Rated(user_id=VIEWER, item_id=858, rating=5.0)])
    deployment.await_lag(0, worker)
    listed = deployment.answer("show", VIEWER, "--why")
    assert listed["why"]["from"] == "list"
    assert listed["why"]["items"] == listed["list"]["items"][:2]
    assert "as the list says" in deployment.command("show", VIEWER, "--why").stdout


def watched(deployment: Deployment, folder: Path, item: int, *arguments: str) -> tuple[str, str]:
    """What `watch --why` says and complains of one more rating of the viewer's."""
    watch = subprocess.Popen(
        [*PROGRAM, "watch", "--why", "--events", "1", *arguments],
        cwd=folder,
        env=deployment.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stderr is not None
        assert any("watching" in line for line in watch.stderr)
        deployment.produce([Rated(user_id=VIEWER, item_id=item, rating=4.5)])
        return watch.communicate(timeout=WAIT_S)
    finally:
        watch.kill()
        watch.wait()


def test_watch_tells_why_as_lists_come(deployment: Deployment, tmp_path: Path) -> None:
    """In words or as JSON, what the lists carry; where they carry nothing, what to set is said, and lists go on."""
    deployment.produce([*ratings(EVENTS), *VIEWED])
    worker = deployment.worker(ranking__explain_items="2").start().await_ready()
    deployment.await_lag(0, worker)
    assert "because" in watched(deployment, tmp_path, 858)[0]
    line = json.loads(watched(deployment, tmp_path, 527, "--json")[0])
    assert (line["why"]["from"], line["why"]["items"]) == ("list", line["items"][:2])
    assert worker.stop() == 0
    deployment.worker().start().await_ready()
    said, complained = watched(deployment, tmp_path, 2571, "--json")
    assert "why" not in json.loads(said)
    assert complained.count("ranking.explain_items") == 1
