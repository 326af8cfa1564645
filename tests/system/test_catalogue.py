"""The catalogue through the real broker: titles in lists, what changes, what leaves, and what is no item at all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ResourceType
from deployment import Deployment
from sample_ratings import ratings
from service_process import WorkerProcess
from topic_truth import committed_records

from consumers.catalogue_reading import item_producer, read_catalogue
from consumers.cluster import Cluster
from schemas.events import Event, Rated
from schemas.items import Item
from schemas.recommendations import RecommendationList, decode_list

FIRST = 7
"""The item that everybody rates, so that whoever has not gets it first."""
SECOND = 8


def shared_taste() -> list[Event]:
    """Twelve users who rate FIRST, SECOND and an item of their own alike."""
    items = (FIRST, SECOND, 1)
    return [Rated(user_id=f"u{n}", item_id=item, rating=4.5) for n in range(12) for item in items]


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(broker, topic_prefix, tmp_path) as made:
        made.make_topics()
        made.produce(shared_taste())
        yield made


def put(deployment: Deployment, *items: Item, removed: tuple[int, ...] = ()) -> None:
    """Change the catalogue; returns when the brokers have it."""
    with item_producer(deployment.settings) as producer:
        for item in items:
            producer.put(item)
        for item_id in removed:
            producer.remove(item_id)


def refreshed(deployment: Deployment, worker: WorkerProcess, rating: float) -> RecommendationList:
    """The list that answers to one more rating of a user who knows neither FIRST nor SECOND."""
    deployment.await_lag(0, worker)
    deployment.produce([Rated(user_id="ann", item_id=1, rating=rating)])
    deployment.await_lag(0, worker)
    lists = [m for m in committed_records(deployment, deployment.settings.recommendations_topic) if m.key() == b"ann"]
    return decode_list(lists[-1].value() or b"")


def titles(value: RecommendationList) -> dict[Any, str | None]:
    return {item["item_id"]: item.get("title") for item in value["items"]}


def known(worker: WorkerProcess, state: str, count: int) -> None:
    """Wait until the worker's catalogue holds so many."""
    worker.await_until(
        lambda: worker.metric("tastestream_catalogue_items", state=state) == count, f"{count} items {state}"
    )


def test_titles_of_the_catalogue_are_in_the_lists_and_removed_items_are_not(deployment: Deployment) -> None:
    """What the topic says of an item is in the next list, also when it changes; a removal outlives a restart."""
    put(deployment, Item(item_id=FIRST, title="Seven", genres=["Crime"]), Item(item_id=SECOND, title="Eight"))
    worker = deployment.worker().start().await_ready()
    first = refreshed(deployment, worker, 4)
    assert titles(first) == {FIRST: "Seven", SECOND: "Eight"}
    assert [item.get("genres") for item in first["items"] if item["item_id"] == FIRST] == [["Crime"]]

    put(deployment, Item(item_id=FIRST, title="Se7en"), Item(item_id=9, title="Nine"))
    known(worker, "known", 3)
    assert titles(refreshed(deployment, worker, 4.5)) == {FIRST: "Se7en", SECOND: "Eight"}

    put(deployment, removed=(FIRST,))
    known(worker, "removed", 1)
    assert titles(refreshed(deployment, worker, 4)) == {SECOND: "Eight"}

    assert worker.stop() == 0
    worker.start().await_ready()
    assert titles(refreshed(deployment, worker, 4.5)) == {SECOND: "Eight"}
    put(deployment, Item(item_id=FIRST, title="Seven, back"))
    known(worker, "removed", 0)
    assert titles(refreshed(deployment, worker, 4)) == {FIRST: "Seven, back", SECOND: "Eight"}


def test_what_is_no_item_is_told_and_stops_nothing(deployment: Deployment) -> None:
    """Malformed records are counted and logged with their place; lists and the items around them go on."""
    producer = Producer({"bootstrap.servers": deployment.servers})
    topic = deployment.settings.items_topic or ""
    # A record without a key does not get here: of a compacted topic the broker itself refuses it.
    for key, value in ((b"7", b"{"), (b"seven", None), (b"7", b'{"item_id": 8}')):
        producer.produce(topic, value, key)
    producer.flush()
    put(deployment, Item(item_id=FIRST, title="Seven"))
    worker = deployment.worker().start().await_ready()
    assert titles(refreshed(deployment, worker, 4)) == {FIRST: "Seven", SECOND: None}
    lines = [json.loads(line) for line in worker.stderr.splitlines() if "is left out" in line]
    assert {line["reason"] for line in lines} == {"not_json", "bad_item_id", "key_mismatch"}
    assert all({line["topic"], type(line["partition"]), type(line["offset"])} == {topic, int} for line in lines)
    assert worker.metric("tastestream_catalogue_refused_total") == 3
    assert worker.metric("tastestream_dead_letters_total") == 0
    assert worker.stop() == 0


def test_a_deployment_without_the_topic_works_as_before(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """Without a catalogue lists have ids, or the deployment's own words; where one is due, it is said once."""
    with Deployment(broker, topic_prefix, tmp_path, topics__items="off") as deployment:
        deployment.make_topics().produce(shared_taste())
        worker = deployment.worker(topics__items="items", catalogue__fallback_title="Movie {item_id}")
        worker.start().await_ready()
        assert titles(refreshed(deployment, worker, 4)) == {FIRST: "Movie 7", SECOND: "Movie 8"}
        told = [event for event in worker.events() if event.startswith("there is no catalogue")]
        assert len(told) == 1
        assert worker.stop() == 0
        quiet = deployment.worker().start().await_ready()
        assert not [event for event in quiet.events() if "catalogue" in event]
        assert titles(refreshed(deployment, quiet, 4.5)) == {FIRST: None, SECOND: None}


def test_the_topic_is_made_to_keep_removals(deployment: Deployment) -> None:
    """`topics create` makes a compacted topic in which a null is not forgotten, and --check compares it."""
    topic = deployment.settings.items_topic or ""
    cluster: Cluster = deployment.cluster
    config = cluster.config(ResourceType.TOPIC, topic)
    assert (config["cleanup.policy"], int(config["delete.retention.ms"])) == ("compact", 36_500 * 86_400_000)


def test_the_commands_fill_search_and_empty_the_catalogue(deployment: Deployment) -> None:
    """`catalogue load|list|show|remove` as an operator types them, for people and for programs."""
    done = deployment.answer("catalogue", "load", "bundled")
    assert done["items"] == 9_742
    shown = deployment.answer("catalogue", "show", "the matrix")
    assert [(item["item_id"], item["title"]) for item in shown] == [(2571, "Matrix, The (1999)")]
    assert deployment.answer("catalogue", "show", "--link", "imdb:tt0133093") == shown
    assert deployment.answer("catalogue", "show", "2571") == shown
    listed = deployment.answer("catalogue", "list", "--genre", "film-noir", "--year-to", "1945", "--top", "2")
    assert len(listed["items"]) == 2
    assert all("Film-Noir" in item["genres"] and item["year"] <= 1945 for item in listed["items"])
    assert deployment.answer("catalogue", "remove", "2571", "5") == {
        "topic": deployment.settings.items_topic,
        "removed": [2571, 5],
    }
    assert read_catalogue(deployment.settings).removed() == [5, 2571]
    refused = deployment.command("catalogue", "show", "The Matrix")
    assert (refused.returncode, "has no 'The Matrix'" in refused.stderr) == (1, True)
    assert "was removed" in deployment.command("catalogue", "show", "2571").stderr
    unknown = deployment.command("catalogue", "list", "--genre", "Sifi")
    assert (unknown.returncode, "no item has the genre 'Sifi'" in unknown.stderr) == (1, True)
    assert deployment.command("catalogue", "remove", "SKU-1").returncode == 2
    assert deployment.command("catalogue", "load", "/nowhere").returncode == 2
    people = deployment.command("catalogue", "list", "--genre", "Western", "--top", "3").stdout
    assert "of 9,740 items; 2 were removed" in people


def test_everybody_s_lists_are_the_same_without_a_catalogue(deployment: Deployment) -> None:
    """Names change nothing: items and scores with a catalogue are those without one."""
    deployment.produce(ratings(200))
    worker = deployment.worker(topics__items="off").start().await_ready()
    bare = refreshed(deployment, worker, 4)
    assert worker.stop() == 0
    put(deployment, *(Item(item_id=n, title=f"Title {n}") for n in range(1, 300)))
    worker = deployment.worker().start().await_ready()
    named = refreshed(deployment, worker, 4)
    assert [(i["item_id"], i["score"]) for i in named["items"]] == [(i["item_id"], i["score"]) for i in bare["items"]]
    assert all(item["title"] == f"Title {item['item_id']}" for item in named["items"] if int(item["item_id"]) < 300)
