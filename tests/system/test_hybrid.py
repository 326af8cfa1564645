"""Hybrid neighbours and factors through the broker: users with nothing in common but their genres find each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from qdrant_process import QdrantProcess
from request_client import RequestClient
from score_readings import exact, readings

from consumers.catalogue_reading import item_producer
from consumers.exit_codes import ExitCode
from consumers.published_lists import current_list
from schemas.events import Event, Rated
from schemas.items import Item
from schemas.recommendations import ListItem

NOIR, COMEDY = range(100, 110), range(200, 210)
IN_ORDER = {"topics__partitions": "1"}
"""Whoever rates last has a list that knows of everybody."""
HYBRID = {"ranking__content_weight": "0.3", "ranking__explain_items": "5"} | IN_ORDER


def rated(user_id: str, items: range) -> Iterator[Event]:
    """One rating a minute, all high, so that the order is clear."""
    for at, item in enumerate(items):
        yield Rated(user_id=user_id, item_id=item, rating=4.5, rated_at=1_700_000_000_000 + at * 60_000)


def tastes() -> list[Event]:
    """Two who like one kind of film, and two who like another; within a kind nobody rated what the other did."""
    return [
        *rated("noir", NOIR[5:]),
        *rated("comedy", COMEDY[5:]),
        *rated("other", COMEDY[:5]),
        *rated("me", NOIR[:5]),
    ]


def with_films(deployment: Deployment) -> Deployment:
    deployment.make_topics()
    with item_producer(deployment.settings) as producer:
        for item_id in (*NOIR, *COMEDY):
            genre, year = ("Noir", 1950) if item_id in NOIR else ("Comedy", 1990)
            producer.put(Item(item_id=item_id, title=f"film {item_id}", genres=[genre], year=year))
    return deployment


def published(deployment: Deployment, user_id: str) -> list[ListItem]:
    value = current_list(deployment.settings, user_id)
    assert value is not None
    return value["items"]


@pytest.fixture(params=["edge", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a store of each kind."""
    if request.param == "edge":
        yield {}
        return
    with QdrantProcess(tmp_path / "qdrant") as qdrant:
        yield {"qdrant__store": "server", "qdrant__url": qdrant.url}


def test_users_with_the_same_genres_become_neighbours(
    broker: str, topic_prefix: str, tmp_path: Path, store: dict[str, str]
) -> None:
    """No rated item in common: the hybrid finds who likes the same kind, says so, and its reasons add up."""
    with with_films(Deployment(broker, topic_prefix, tmp_path, **HYBRID, **store)) as deployment:
        deployment.produce(tastes())
        worker = deployment.worker().start()
        deployment.await_lag(0, worker)
        items = published(deployment, "me")
        voted = [item for item in items if item.get("type") == "content"]
        assert {item["item_id"] for item in items[:5]} == set(NOIR[5:])
        assert [item["item_id"] for item in voted[:5]] == [item["item_id"] for item in items[:5]]
        assert voted[0]["source"] == ["content"]
        for item in items[:5]:
            assert readings(item["why"]) == [exact(item["score"])] * 2
        client = RequestClient(deployment)
        reply = client.ask({"wishes": {"genres": ["Comedy"]}, "n": 4})
        assert {item["item_id"] for item in reply["items"]} <= set(COMEDY)
        mine = client.ask({"user_id": "me", "wishes": {"genres": ["Comedy"]}, "n": 3, "explain": 1})
        assert {item["item_id"] for item in mine["items"]} <= set(COMEDY)
        assert readings(mine["items"][0]["why"]) == [exact(mine["items"][0]["score"])] * 2
        unknown = client.ask({"wishes": {"tags": ["heist"]}})
        assert unknown["error"]["code"] == "unknown_label"
        typed = deployment.answer("ask", "--like-genre", "Noir")
        assert typed["items"][0]["item_id"] in NOIR
        assert worker.stop() == 0


def test_without_it_nothing_is_said_of_ways_and_wishes_are_refused(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    """Off, the same ratings make nobody a neighbour, no item carries a type, and wishes have a clear error."""
    with with_films(Deployment(broker, topic_prefix, tmp_path)) as deployment:
        deployment.produce(tastes())
        worker = deployment.worker().start()
        deployment.await_lag(0, worker)
        assert not any("type" in item or "source" in item for item in published(deployment, "me"))
        refused = RequestClient(deployment).ask({"wishes": {"genres": ["Noir"]}})
        assert refused["error"]["code"] == "not_hybrid"
        assert worker.stop() == 0


def test_factors_of_the_topic_make_neighbours(
    broker: str, topic_prefix: str, tmp_path: Path, store: dict[str, str]
) -> None:
    """Trained from the topic, then used alone: an existing store grows the vector, and users are found by it."""
    with Deployment(broker, topic_prefix, tmp_path, **IN_ORDER, **store) as deployment:
        deployment.make_topics()
        # Who rated both kinds of one taste ties them together in the factors.
        deployment.produce([*rated("bridge", NOIR), *rated("fan", COMEDY), *rated("other", COMEDY[2:])])
        worker = deployment.worker().start()
        deployment.await_lag(0, worker)
        assert worker.stop() == 0
        file = tmp_path / "factors.npz"
        trained = deployment.answer("factors", "train", "--out", str(file), "--dimensions", "2")
        assert trained["items"] == len(NOIR) + len(COMEDY)
        own = {"ranking__factors_weight": "1", "ranking__factors_file": str(file)}
        worker = deployment.worker(**own).start()
        deployment.produce([*rated("later", NOIR[5:]), *rated("me", NOIR[:5])])
        deployment.await_lag(0, worker)
        assert worker.stop() == 0
        items = published(deployment, "me")
        assert {item["item_id"] for item in items[:5]} == set(NOIR[5:])
        assert (items[0]["type"], items[0]["source"]) == ("collaborative", ["factors"])


@pytest.mark.parametrize("content", [None, b"no factors"])
def test_a_wrong_file_of_factors_is_refused(
    broker: str, topic_prefix: str, tmp_path: Path, content: bytes | None
) -> None:
    """Missing, or something else: the worker ends before it touches anything, and says which file and what to do."""
    file = tmp_path / "factors.npz"
    if content is not None:
        file.write_bytes(content)
    own = {"ranking__factors_weight": "0.5", "ranking__factors_file": str(file)}
    with Deployment(broker, topic_prefix, tmp_path, **own) as deployment:
        deployment.make_topics()
        worker = deployment.worker().start()
        assert worker.await_exit() == ExitCode.USAGE
        assert str(file) in worker.refusal()
        assert "tastestream factors train" in worker.refusal()
