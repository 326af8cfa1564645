"""Forgetting as an operator asks for it: the receipt is true, the user is in no list made later, and stays gone."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer
from deployment import Deployment
from qdrant_double import QdrantDouble
from qdrant_process import QdrantProcess
from service_process import PROGRAM, WAIT_S, WorkerProcess
from topic_truth import assert_exactly_once, committed_records, header_values

from recommender.profile import UserState
from recommender.store import point_id
from schemas.events import Event, Forgotten, ProfileChanged, Rated
from schemas.recommendations import RecommendationList, decode_list

ANN, BOB = "ann", "bob"
SHARED_ITEMS, ANNS_OWN, LATER = (1, 2, 3), (71, 72, 73), 4
YEAR_2020_MS = 1_577_836_800_000

LIFE: list[Event] = [
    ProfileChanged(type="profile", user_id=ANN, attributes={"age": 11, "hair": "red"}),
    *(Rated(user_id=ANN, item_id=item, rating=4.5, rated_at=YEAR_2020_MS) for item in SHARED_ITEMS),
    *(Rated(user_id=ANN, item_id=item, rating=5.0, rated_at=YEAR_2020_MS + 1) for item in ANNS_OWN),
    *(Rated(user_id=BOB, item_id=item, rating=4.0, rated_at=YEAR_2020_MS) for item in SHARED_ITEMS),
]
RATING_OF_BOB = Rated(user_id=BOB, item_id=LATER, rating=4.0, rated_at=YEAR_2020_MS + 2)


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(broker, topic_prefix, tmp_path, limits__batch_max_records="5") as made:
        yield made.make_topics()


def receipt(deployment: Deployment, user_id: str) -> Any:
    """What a program is told when the user is forgotten."""
    done = deployment.command("forget", user_id, "--wait", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def records_of(deployment: Deployment, topic: str, user_id: str) -> list[Message]:
    return [record for record in committed_records(deployment, topic) if record.key() == user_id.encode()]


def newest_list(deployment: Deployment, user_id: str) -> RecommendationList:
    last = records_of(deployment, deployment.settings.recommendations_topic, user_id)[-1]
    return decode_list(last.value() or b"null")


def shown(value: RecommendationList, *, voted: bool = False) -> set[int | str]:
    """The items of a list; only those that neighbours voted for."""
    return {item["item_id"] for item in value["items"] if item["support"] or not voted}


def take(deployment: Deployment, worker: WorkerProcess, *events: Event) -> None:
    deployment.produce(events)
    deployment.await_lag(0, worker)


def state_of(deployment: Deployment, user_id: str) -> UserState:
    return deployment.states()[point_id(user_id)]


def test_the_receipt_is_true(deployment: Deployment) -> None:
    """What went is what was there, event and tombstone stand where it says, and what stays is counted and named."""
    worker = deployment.worker().start().await_ready()
    take(deployment, worker, *LIFE)
    said = receipt(deployment, ANN)
    removed = said["removed"]
    assert (removed["ratings"], removed["attributes"], removed["events"]) == (6, ["age", "hair"], 7)
    assert (removed["vector_items"], removed["list_id"]) == (6, "ann:1.7")
    assert 0 < said["seconds"] < WAIT_S
    events = records_of(deployment, deployment.topic, ANN)
    assert (said["topic"], said["partition"], said["offset"]) == (
        deployment.topic,
        events[-1].partition(),
        events[-1].offset(),
    )
    assert json.loads(events[-1].value() or b"")["type"] == "forget"
    lists = records_of(deployment, deployment.settings.recommendations_topic, ANN)
    answer = said["answer"]
    assert (answer["kind"], answer["partition"], answer["offset"]) == (
        "tombstone",
        lists[-1].partition(),
        lists[-1].offset(),
    )
    assert header_values(lists[-1])["tastestream-source"].decode() == (
        f"{deployment.topic}:{events[-1].partition()}:{events[-1].offset()}"
    )
    remains = said["cannot_remove"]
    assert [row["records"] for row in remains["events"]] == [len(events)]
    assert [row["records"] for row in remains["lists"]] == [len(lists)]
    assert remains["dead_letters"] == []
    assert remains["retention"][deployment.topic]["retention.ms"] == "-1"
    assert str(deployment.settings.edge_folder) in remains["elsewhere"][0]


def test_nobody_is_given_what_only_the_forgotten_user_liked(deployment: Deployment) -> None:
    """While Ann is there Bob is shown what she alone rated; afterwards no list of his names it, and nobody votes."""
    worker = deployment.worker().start().await_ready()
    take(deployment, worker, *LIFE)
    take(deployment, worker, RATING_OF_BOB)
    assert shown(newest_list(deployment, BOB), voted=True) == set(ANNS_OWN)
    receipt(deployment, ANN)
    take(deployment, worker, RATING_OF_BOB.model_copy(update={"item_id": LATER + 1}))
    assert not shown(newest_list(deployment, BOB)) & set(ANNS_OWN)
    assert newest_list(deployment, BOB)["tier"] == "popular"
    take(deployment, worker, Rated(user_id=ANN, item_id=9, rating=2.0))
    afresh = newest_list(deployment, ANN)
    assert (afresh["state"]["num_ratings"], afresh["state"]["version"]) == (1, 9)
    assert worker.stop() == 0
    state = state_of(deployment, ANN)
    assert (state.user_id, state.history.items.tolist(), dict(state.attributes)) == (ANN, [9], {})
    assert_exactly_once(deployment)


def test_no_crash_and_no_replay_brings_them_back(deployment: Deployment) -> None:
    """A worker killed as the event arrives, and another that replays, end in the same: gone, and one tombstone."""
    worker = deployment.worker().start().await_ready()
    take(deployment, worker, *LIFE)
    assert deployment.command("forget", ANN).returncode == 0
    worker.kill()
    worker = deployment.worker().start().await_ready()
    deployment.await_lag(0, worker)
    worker.kill()
    worker = deployment.worker().start().await_ready()
    take(deployment, worker, RATING_OF_BOB)
    assert worker.stop() == 0
    assert state_of(deployment, ANN).user_id is None
    assert not shown(newest_list(deployment, BOB)) & set(ANNS_OWN)
    values = [record.value() for record in records_of(deployment, deployment.settings.recommendations_topic, ANN)]
    assert values.count(None) == 1
    assert values[-1] is None
    assert_exactly_once(deployment)


def test_without_a_worker_the_wish_stands_and_says_where(deployment: Deployment) -> None:
    """No answer in time is exit code 1, and nothing is lost: the next worker forgets."""
    deployment.produce(LIFE)
    done = deployment.command("forget", ANN, "--wait", "--timeout-s", "0.5")
    (event,) = records_of(deployment, deployment.topic, ANN)[-1:]
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"{deployment.topic} [{event.partition()}] @ {event.offset()}" in done.stderr
    worker = deployment.worker().start().await_ready()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert state_of(deployment, ANN).user_id is None


def answered(deployment: Deployment, answer: bytes, *arguments: str) -> tuple[int, str]:
    """The exit code and what is said where somebody types this at a terminal."""
    terminal, theirs = pty.openpty()
    try:
        os.write(terminal, answer)
        done = subprocess.run(
            [*PROGRAM, "forget", *arguments],
            env=deployment.environment(),
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    finally:
        os.close(theirs)
        os.close(terminal)
    return done.returncode, done.stderr


def test_a_terminal_is_asked_first(deployment: Deployment) -> None:
    """It is told what there is, and no is no; `--yes` and `--json` are not asked."""
    deployment.produce(LIFE)
    before = sum(deployment.ends().values())
    code, said = answered(deployment, b"n\n", ANN)
    assert (code, "6 ratings" in said, "Traceback" in said) == (1, True, False)
    assert sum(deployment.ends().values()) == before
    assert answered(deployment, b"y\n", ANN)[0] == 0
    assert answered(deployment, b"n\n", ANN, "--yes") == (0, "")
    assert answered(deployment, b"n\n", ANN, "--json") == (0, "")
    assert sum(deployment.ends().values()) == before + 3


def test_a_stranger_may_be_forgotten_too(deployment: Deployment) -> None:
    """Nothing was known, says the receipt; the tombstone comes all the same; an impossible id is not sent."""
    deployment.worker().start().await_ready()
    shown_to_people = deployment.command("forget", "eve", "--wait").stdout
    assert "removed       nothing" in shown_to_people
    assert "a tombstone" in shown_to_people
    before = sum(deployment.ends().values())
    assert deployment.command("forget", "_popular", "--wait").returncode == 2
    assert sum(deployment.ends().values()) == before


def test_dead_letters_that_hold_the_user_are_listed(deployment: Deployment) -> None:
    """By key, by `user_id` whatever the key and the spelling, and as a word of what is no JSON; nobody else's are."""
    held = [
        (b"ann", b"{"),
        (b"bob", json.dumps({"user_id": ANN, "item_id": 1, "rating": 4.0}).encode()),
        (None, b'{"user_id": "\\u0061nn", "item_id": 1, "rating": 4.0}'),
        (None, b"ann,1,4.0"),
    ]
    others = [(b"joann", b"{"), (b"bob", b"joann,1,4.0"), (None, b'{"user_id": "bob", "friend": "ann"}')]
    producer = Producer({"bootstrap.servers": deployment.servers})
    for key, value in [*held, *others]:
        producer.produce(deployment.topic, value, key, 0)
    assert producer.flush(WAIT_S) == 0
    worker = deployment.worker().start().await_ready()
    deployment.await_lag(0, worker)
    remains = receipt(deployment, ANN)["cannot_remove"]
    found = {(row["partition"], row["offset"]) for row in remains["dead_letters"]}
    records = committed_records(deployment, deployment.settings.dead_letter_topic)
    expected = {(r.partition(), r.offset()) for r in records if (r.key(), r.value()) in held}
    assert len(expected) == len(held)
    assert found == expected
    assert {row["reason"] for row in remains["dead_letters"]} == {"not_json", "key_mismatch", "null_key"}
    assert sum(row["records"] for row in remains["events"]) == len(held) + 1


def test_a_user_who_is_back_at_once_is_answered_by_a_list(deployment: Deployment) -> None:
    """Where a rating follows in the same batch there is no tombstone: the list that starts afresh answers."""
    taken_together: list[Event] = [Forgotten(type="forget", user_id=ANN), Rated(user_id=ANN, item_id=9, rating=3.0)]
    deployment.produce([*LIFE, *taken_together])
    worker = deployment.worker(limits__batch_max_records="1000").start()
    deployment.await_lag(0, worker)
    (only,) = records_of(deployment, deployment.settings.recommendations_topic, ANN)
    assert decode_list(only.value() or b"")["state"]["num_ratings"] == 1


def test_other_workers_forget_too(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """Two workers on one server: after the tombstone neither lets the user vote; popularity follows with the rescan."""
    with QdrantProcess(tmp_path / "qdrant") as qdrant:
        server = {"qdrant__store": "server", "qdrant__url": qdrant.url, "limits__rescan_interval_s": "1"}
        with Deployment(broker, topic_prefix, tmp_path, **server) as deployment:
            deployment.make_topics()
            workers = [deployment.worker(instance=name).start().await_ready() for name in "ab"]
            friends = [f"friend-{number}" for number in range(8)]
            ratings = [RATING_OF_BOB.model_copy(update={"user_id": friend, "item_id": 1}) for friend in friends]
            deployment.produce([*LIFE, *ratings])
            deployment.await_lag(0, *workers)
            again = [rating.model_copy(update={"item_id": 2}) for rating in ratings]
            deployment.produce(again)
            deployment.await_lag(0, *workers)
            lists = [newest_list(deployment, friend) for friend in friends]
            assert all(shown(value, voted=True) >= set(ANNS_OWN) for value in lists)
            receipt(deployment, ANN)
            deployment.produce(rating.model_copy(update={"item_id": 3}) for rating in ratings)
            deployment.await_lag(0, *workers)
            lists = [newest_list(deployment, friend) for friend in friends]
            assert not any(shown(value, voted=True) & set(ANNS_OWN) for value in lists)
            await_nobody_counts(deployment, friends, workers)
            assert [worker.stop() for worker in workers] == [0, 0]
            assert_exactly_once(deployment)


def test_a_late_write_does_not_bring_them_back(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """A worker sleeps while its write of the user is on the way; another forgets; the write lands: still forgotten."""
    with QdrantDouble(tmp_path / "qdrant") as double:
        server = {"qdrant__store": "server", "qdrant__url": f"http://127.0.0.1:{double.port}"}
        with Deployment(broker, topic_prefix, tmp_path, **server) as deployment:
            deployment.make_topics().produce(LIFE)
            sleeper = deployment.worker(instance="sleeper").start()
            deployment.await_lag(0, sleeper)
            double.before("UpdateBatch", lambda _: sleeper.pause())
            double.fail_next("UpdateBatch", "delayed")
            deployment.produce([Rated(user_id=ANN, item_id=LATER, rating=4.0, rated_at=YEAR_2020_MS + 2)])
            other = deployment.worker(instance="other").start()
            deployment.await_lag(0, other)
            receipt(deployment, ANN)
            assert len(double.release()) == 1
            assert state_of(deployment, ANN).user_id is None
            sleeper.resume()
            deployment.produce([RATING_OF_BOB])
            deployment.await_lag(0, sleeper, other)
            assert [sleeper.stop(), other.stop()] == [0, 0]
            assert state_of(deployment, ANN).user_id is None
            assert_exactly_once(deployment)


def await_nobody_counts(deployment: Deployment, users: list[str], workers: list[WorkerProcess]) -> None:
    """Return once no user's next list names what only the forgotten user rated, not even as popular."""
    item = 1_000

    def is_gone() -> bool:
        nonlocal item
        item += 1
        deployment.produce(Rated(user_id=user, item_id=item, rating=4.0) for user in users)
        deployment.await_lag(0, *workers)
        return not any(shown(newest_list(deployment, user)) & set(ANNS_OWN) for user in users)

    workers[0].await_until(is_gone, "popularity was counted anew")
