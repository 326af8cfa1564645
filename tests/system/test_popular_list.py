"""`_popular` through the broker: published by one of several workers at a time, and taken for a user by nobody."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from qdrant_process import QdrantProcess
from sample_ratings import ratings
from service_process import PROGRAM, WAIT_S, await_until, clean_environment
from topic_truth import assert_exactly_once, committed_records

from schemas.events import Rated
from schemas.recommendations import RecommendationList, decode_list

EVENTS = 4_000
EVENTS_AT_ONCE = 40


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    with QdrantProcess(tmp_path / "qdrant") as process:
        yield process


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path, qdrant: QdrantProcess) -> Iterator[Deployment]:
    """Any number of workers, who publish the list every second."""
    server = {"qdrant__store": "server", "qdrant__url": f"http://127.0.0.1:{qdrant.port}"}
    with Deployment(broker, topic_prefix, tmp_path, ranking__popular_interval_s="1", **server) as made:
        yield made.make_topics()


def popular_lists(deployment: Deployment) -> list[RecommendationList]:
    """What stands under `_popular`, in topic order, all of it in one partition."""
    records = committed_records(deployment, deployment.settings.recommendations_topic)
    found = [record for record in records if record.key() == b"_popular"]
    assert len({record.partition() for record in found}) <= 1
    return [decode_list(record.value() or b"") for record in found]


def rate_until(deployment: Deployment, events: Iterator[Rated], more: int) -> None:
    """Go on rating until so many more lists for users nobody knows were published."""
    before = len(popular_lists(deployment))

    def is_reached() -> bool:
        deployment.produce([next(events) for _ in range(EVENTS_AT_ONCE)])
        return len(popular_lists(deployment)) >= before + more

    await_until(is_reached, f"{more} lists under _popular")


def started(deployment: Deployment, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command of an operator."""
    environment = clean_environment(deployment._variables)
    pipe = subprocess.PIPE
    return subprocess.Popen([*PROGRAM, *arguments], cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def lines_of(watch: subprocess.Popen[str]) -> list[RecommendationList]:
    """What a watch printed until its end."""
    printed = [json.loads(line) for line in watch.communicate(timeout=WAIT_S)[0].splitlines()]
    assert watch.returncode == 0
    return printed


def test_the_list_for_users_nobody_knows(deployment: Deployment, tmp_path: Path) -> None:
    """Its versions rise while workers share, leave and come back; states, users' lists and `verify` know nothing of it.

    `watch` shows it to whoever asks for it, and to nobody else.
    """
    events = ratings(EVENTS)
    one, other = (deployment.worker(instance=name).start().await_ready() for name in ("a", "b"))
    wanted: list[list[str]] = [["--user", "_popular", "--events", "1"], ["--events", "9"]]
    watches = [started(deployment, tmp_path, "watch", "--json", *arguments) for arguments in wanted]
    for watch in watches:
        assert watch.stderr is not None
        assert any("watching" in line for line in watch.stderr)
    rate_until(deployment, events, more=2)
    assert [value["user_id"] for value in lines_of(watches[0])] == ["_popular"]
    assert "_popular" not in {value["user_id"] for value in lines_of(watches[1])}
    for leaving in (one, other):
        assert leaving.stop() == 0
        rate_until(deployment, events, more=2)
        leaving.start().await_ready()
    deployment.await_lag(0, one, other)
    verify = started(deployment, tmp_path, "verify", "--json")
    assert json.loads(verify.communicate(timeout=WAIT_S)[0])["mismatches"] == 0
    assert [worker.stop() for worker in (one, other)] == [0, 0]
    assert_the_lists_are_in_order(popular_lists(deployment))
    assert_exactly_once(deployment)


def assert_the_lists_are_in_order(found: list[RecommendationList]) -> None:
    """Versions rise strictly, and each list is one of popularity, with items, of nobody's ratings."""
    versions = [(value["state"]["epoch"], value["state"]["version"]) for value in found]
    assert versions == sorted(set(versions))
    assert {(value["tier"], value["state"]["num_ratings"], value["state"]["avg_rating"]) for value in found} == {
        ("popular", 0, None)
    }
    assert all(value["items"] for value in found)
