"""A catalogue whose item ids are text, through the real broker: SKUs in, SKUs out, and the same dimensions for ever."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from deployment import Deployment
from qdrant_process import QdrantProcess
from service_process import WAIT_S
from topic_truth import committed_records, header_values

from consumers.catalogue_reading import item_producer
from consumers.exit_codes import ExitCode
from consumers.input_topics import rating_producer
from consumers.store_opening import open_item_ids
from recommender.profile import UserState
from schemas.events import Event, Forgotten, Rated, Retracted
from schemas.items import Item
from schemas.recommendations import RecommendationList, decode_list

YEAR_2020_MS = 1_577_836_800_000
USERS = 12
FIRST, SECOND = "SKU-first", "Größe 42/ä"
"""Items that everybody rates, so that whoever has not gets them."""


def taste(users: range) -> list[Event]:
    """Users who rate both items alike, and one that only they rate."""
    return [
        Rated(user_id=f"u{n}", item_id=item, rating=rating, rated_at=YEAR_2020_MS + n)
        for n in users
        for item, rating in ((FIRST, 5.0), (SECOND, 4.0), ("SKU-common", 4.5), (f"only-{n}", 1.0))
    ]


class Shop:
    """A deployment of a catalogue of strings, its events, and what its commands say."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def send(self, *events: Event) -> None:
        with rating_producer(self.deployment.settings) as producer:
            for event in events:
                producer.send(event)

    def taken(self) -> None:
        """Let a worker take what is there, and stop it."""
        # A killed worker may have taken all: with no lag to wait for, this one would be stopped before it is up.
        worker = self.deployment.worker().start().await_ready()
        self.deployment.await_lag(0, worker)
        assert worker.stop() == 0

    def list_of(self, user_id: str) -> RecommendationList:
        records = committed_records(self.deployment, self.deployment.settings.recommendations_topic)
        return decode_list([m for m in records if m.key() == user_id.encode()][-1].value() or b"")

    def dimensions(self, *items: str) -> Mapping[str, int]:
        """What the registry has of these items; only while no worker holds an Edge one."""
        ids = open_item_ids(self.deployment.settings)
        try:
            assert ids.registry is not None
            return dict(ids.registry.known(items))
        finally:
            ids.close()

    def dumped(self) -> dict[str, Any]:
        lines = self.deployment.command("dump").stdout.splitlines()
        return {row["user_id"]: row for row in map(json.loads, lines) if "user_id" in row}

    def states(self) -> dict[int, UserState]:
        return self.deployment.states()


@pytest.fixture(params=["edge", "server"])
def shop(request: pytest.FixtureRequest, broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Shop]:
    own = {"catalogue__item_ids": "string", "limits__batch_max_records": "10", "ranking__explain_items": "2"}
    if request.param == "edge":
        with Deployment(broker, topic_prefix, tmp_path, **own) as made:
            yield Shop(made.make_topics())
        return
    with QdrantProcess(tmp_path / "qdrant") as qdrant:
        own |= {"qdrant__store": "server", "qdrant__url": qdrant.url}
        with Deployment(broker, topic_prefix, tmp_path, **own) as made:
            yield Shop(made.make_topics())


def test_skus_in_skus_out(shop: Shop) -> None:
    """Lists, histories, dumps and checks name items as the events did; a killed worker changes no dimension."""
    deployment = shop.deployment
    shop.send(*taste(range(USERS)))
    worker = deployment.worker().start()
    worker.await_until(lambda: sum(deployment.committed().values()) > 0, "a first batch")
    worker.kill()
    shop.taken()
    before = shop.dimensions(FIRST, SECOND, "only-3", "nothing")
    assert before.keys() == {FIRST, SECOND, "only-3"}
    shop.send(
        *taste(range(USERS, USERS + 3)),
        Rated(user_id="ann", item_id="SKU-common", rating=4.5, rated_at=YEAR_2020_MS),
        Rated(user_id="ann", item_id="SKU-new", rating=2.0, rated_at=YEAR_2020_MS + 1),
        Retracted(type="retracted", user_id="ann", item_id="SKU-new", rated_at=YEAR_2020_MS + 2),
        Forgotten(type="forget", user_id="u0"),
    )
    shop.taken()
    assert shop.dimensions(*before) == before

    shown = [item["item_id"] for item in shop.list_of("ann")["items"]]
    assert set(shown[:2]) == {FIRST, SECOND}
    assert set(shown) <= {FIRST, SECOND} | {f"only-{n}" for n in range(USERS + 3)}
    reasons = [row["item_id"] for item in shop.list_of("ann")["items"][:2] for row in item["why"]["ratings"]]
    assert set(reasons) == {"SKU-common"}
    ann = shop.deployment.answer("show", "ann")
    assert [(row["item_id"], row["rating"]) for row in ann["history"]] == [("SKU-new", None), ("SKU-common", 4.5)]
    assert [item["item_id"] for item in ann["list"]["items"]] == shown[:10]
    dumped = shop.dumped()
    assert dumped["ann"]["items"] == [["SKU-common", 4.5, YEAR_2020_MS], ["SKU-new", None, YEAR_2020_MS + 2]]
    assert sorted(item for item, *_ in dumped["u7"]["items"]) == sorted((FIRST, SECOND, "SKU-common", "only-7"))
    assert dumped.keys() == {"ann", *(f"u{n}" for n in range(1, USERS + 3))}
    report = shop.deployment.answer("verify")
    assert (report["mismatches"], report["users"]) == (0, USERS + 4)


def test_a_rebuild_keeps_the_dimensions(shop: Shop) -> None:
    """A new store has what the old one had, dimensions included; they outlive the old store's deletion."""
    shop.send(*taste(range(USERS)))
    shop.taken()
    before = shop.dimensions(FIRST, SECOND)
    outcome = shop.deployment.answer("rebuild")
    assert (outcome["switched"], outcome["mismatches"], outcome["compared"]["compared"]) == (True, 0, USERS)
    assert shop.dimensions(FIRST, SECOND) == before
    assert shop.deployment.command("rebuild", "--drop-old").returncode == 0
    assert shop.dimensions(FIRST, SECOND) == before
    assert shop.deployment.answer("verify")["mismatches"] == 0
    shop.send(Rated(user_id="ann", item_id="SKU-common", rating=4.5))
    shop.taken()
    assert {item["item_id"] for item in shop.list_of("ann")["items"][:2]} == {FIRST, SECOND}


def test_titles_come_with_string_ids(shop: Shop) -> None:
    """The catalogue's topic names items of text ids in lists, histories and commands, and takes them out of lists."""
    deployment = shop.deployment
    with item_producer(deployment.settings) as producer:
        producer.put(Item(item_id=FIRST, title="The first", genres=["Shoes"]))
        producer.put(Item(item_id="never-rated", title="Another"))
        producer.remove(SECOND)
    shop.send(*taste(range(USERS)))
    worker = deployment.worker(catalogue__fallback_title="No {item_id}").start()
    deployment.await_lag(0, worker)
    shop.send(Rated(user_id="ann", item_id="SKU-common", rating=4.5))
    deployment.await_lag(0, worker)
    assert worker.metric("tastestream_catalogue_items", state="known") == 2
    assert worker.metric("tastestream_catalogue_refused_total") == 0
    assert worker.stop() == 0
    shown = {item["item_id"]: item.get("title") for item in shop.list_of("ann")["items"]}
    assert shown[FIRST] == "The first"
    assert SECOND not in shown
    assert {title for item, title in shown.items() if item != FIRST} <= {f"No {item}" for item in shown}
    titles = {row["item_id"]: row.get("title") for row in shop.deployment.answer("show", "u3")["history"]}
    assert titles == {FIRST: "The first", SECOND: None, "SKU-common": None, "only-3": None}
    (found,) = shop.deployment.answer("catalogue", "show", FIRST)
    assert (found["item_id"], found["genres"]) == (FIRST, ["Shoes"])
    assert [item["item_id"] for item in shop.deployment.answer("catalogue", "show", "another")] == ["never-rated"]
    listed = shop.deployment.answer("catalogue", "list")
    assert ([item["item_id"] for item in listed["items"]], listed["removed"]) == ([FIRST, "never-rated"], [SECOND])
    assert "was removed" in shop.deployment.command("catalogue", "show", SECOND).stderr


def test_an_integer_is_no_id_of_a_string_catalogue(shop: Shop) -> None:
    """An event with an integer id is a dead letter that says what to send; the others go on."""
    deployment = shop.deployment
    shop.send(Rated(user_id="ann", item_id="318", rating=4.5))
    raw = Producer({"bootstrap.servers": deployment.servers, "partitioner": "murmur2_random", "log_level": 0})
    raw.produce(deployment.topic, b'{"user_id":"ann","item_id":318,"rating":4.5}', "ann")
    assert raw.flush(WAIT_S) == 0
    shop.taken()
    (letter,) = committed_records(deployment, deployment.settings.dead_letter_topic)
    headers = header_values(letter)
    assert headers["tastestream-reason"] == b"bad_item_id"
    assert b"send the id as text" in b" ".join(headers.values())
    assert shop.dumped()["ann"]["items"][0][0] == "318"


def test_a_user_is_shown_while_a_worker_runs(shop: Shop) -> None:
    """`show` has the same items from the topics as from the store, and `rate --wait` gets a list of SKUs."""
    shop.send(*taste(range(USERS)))
    worker = shop.deployment.worker().start().await_ready()
    shop.deployment.await_lag(0, worker)
    rated = shop.deployment.answer("rate", "ann", "SKU-common", "4.5", "--wait")
    assert {item["item_id"] for item in rated["list"]["items"][:2]} == {FIRST, SECOND}
    running = shop.deployment.answer("show", "u5")
    assert worker.stop() == 0
    rest = shop.deployment.answer("show", "u5")
    assert running["history"] == rest["history"]
    assert (rest["source"], len(rest["history"])) == ("store", 4)


def test_a_data_set_is_replayed_checked_and_trained_from(shop: Shop, tmp_path: Path) -> None:
    """`replay`, `verify --file` and `factors train` take a file whose ids are text, some of them of digits alone."""
    items = ("1", "2", "x")
    rows = [(f"u{n}", item, 1 + (n * k) % 4, 1_600_000_000 + n) for n in range(9) for k, item in enumerate(items)]
    file = tmp_path / "ratings.csv"
    file.write_text("\n".join(["user,item,rating,timestamp", *(",".join(map(str, row)) for row in rows)]))
    assert shop.deployment.answer("replay", str(file))["events"] == len(rows)
    shop.taken()
    for arguments in ((), ("--file", str(file))):
        report = shop.deployment.answer("verify", *arguments)
        assert (report["mismatches"], report["users"]) == (0, 9)
    trained = shop.deployment.answer("factors", "train", "--out", str(tmp_path / "factors.npz"), "--dimensions", "2")
    assert trained["items"] == 3


def test_integers_make_no_registry(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """A catalogue of integers has one shard, as it always had."""
    with Deployment(broker, topic_prefix, tmp_path) as deployment:
        deployment.make_topics().produce([Rated(user_id="ann", item_id=7, rating=4.5)])
        worker = deployment.worker().start()
        deployment.await_lag(0, worker)
        assert worker.stop() == 0
        assert not list((tmp_path / "edge").rglob("items"))


def test_a_rebuild_beside_an_edge_worker_is_refused(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """On Edge the worker holds the registry: the sentence says to stop it, and nothing is made."""
    with Deployment(broker, topic_prefix, tmp_path, catalogue__item_ids="string") as deployment:
        shop = Shop(deployment.make_topics())
        shop.send(*taste(range(2)))
        worker = deployment.worker().start().await_ready()
        deployment.await_lag(0, worker)
        refused = shop.deployment.command("rebuild")
        assert refused.returncode == ExitCode.STORE, refused.stderr
        assert "the worker has to be stopped" in " ".join(refused.stderr.split())
        assert worker.stop() == 0
        assert shop.deployment.answer("rebuild", "--status")["unfinished"] == []
