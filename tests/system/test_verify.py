"""`tastestream verify` as an operator types it: it finds what is wrong in a store, says since when, and no more."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import qdrant_edge
from confluent_kafka import Producer, TopicPartition
from deployment import Deployment
from prometheus_client.parser import text_string_to_metric_families
from qdrant_process import QdrantProcess
from sample_ratings import ratings
from service_process import PROGRAM, WAIT_S, await_until
from topic_truth import updates

from consumers.settings_mapping import ranking_rules
from consumers.stores.edge import EdgeStore
from producers.broker_config import free_ports
from producers.ratings import RatingProducer
from recommender.profile import UserState
from recommender.store import StateWrite, UserWrite, point_id
from recommender.vector import user_vector
from schemas.events import Event, Forgotten, ProfileChanged, Rated, Retracted

EVENTS = 400
ANN, BOB, CID = "ann", "bob", "cid"
YEAR_2020_MS = 1_577_836_800_000
LIFE: list[Event] = [
    ProfileChanged(type="profile", user_id=ANN, attributes={"age": 31, "height": 1.7, "member": True}),
    *(Rated(user_id=ANN, item_id=n, rating=0.5 * n, rated_at=YEAR_2020_MS + n) for n in range(1, 6)),
    Rated(user_id=ANN, item_id=3, rating=5.0, rated_at=YEAR_2020_MS - 5),
    Retracted(type="retracted", user_id=ANN, item_id=4, rated_at=YEAR_2020_MS + 9),
    ProfileChanged(type="profile", user_id=ANN, attributes={"age": None, "height": 1.71}),
    Rated(user_id=BOB, item_id=7, rating=3.0, rated_at=YEAR_2020_MS),
    Forgotten(type="forget", user_id=BOB),
    *(Rated(user_id=CID, item_id=n, rating=4.0, rated_at=YEAR_2020_MS) for n in (9, 8)),
    Forgotten(type="forget", user_id=CID),
    Rated(user_id=CID, item_id=8, rating=2.0, rated_at=YEAR_2020_MS),
]
MALFORMED = (b'{"user_id": "ann"', b'{"user_id":"ann","item_id":1,"rating":99}', b"")


class Auditor:
    """Verifies a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.deployment.command("verify", *arguments)

    def found(self, *arguments: str) -> dict[str, Any]:
        """The report; its exit code says whether there is a mismatch."""
        done = self.run("--json", *arguments)
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (1 if report["mismatches"] else 0), done.stderr
        assert len(report["details"]) == report["mismatches"]
        return report


@pytest.fixture
def auditor(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Auditor]:
    with Deployment(broker, topic_prefix, tmp_path, limits__batch_max_records="50") as made:
        yield Auditor(made.make_topics())


def send_malformed(deployment: Deployment) -> None:
    """Records that become dead letters, in the partition of a user."""
    producer = Producer({"bootstrap.servers": deployment.servers, "partitioner": "murmur2_random", "log_level": 0})
    for value in MALFORMED:
        producer.produce(deployment.topic, value=value, key=ANN)
    assert producer.flush(WAIT_S) == 0


def take(deployment: Deployment, *arguments: str) -> None:
    """Let a worker take what is there, and stop it."""
    worker = deployment.worker(*arguments).start()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0


def patch(deployment: Deployment, user_id: str, **changed: Any) -> None:
    """Write a state into the store as a faulty worker would, with the vector that goes with it."""
    store = deployment.store()
    try:
        state = store.read([user_id], []).states[user_id]
        wrong = replace(state, tag=state.tag + 1, **changed)
        vector = user_vector(wrong.history, ranking_rules(deployment.settings).value)
        store.write(StateWrite({}, [UserWrite(user_id, wrong, vector, frozenset({state.tag}), missing=False)]))
    finally:
        store.close()


def state_of(deployment: Deployment, user_id: str) -> UserState:
    return deployment.states()[point_id(user_id)]


def test_a_store_at_rest_is_right_and_what_is_patched_is_found(auditor: Auditor) -> None:
    """Clean: 0 mismatches. One rating changed, a user deleted: both found, with what, since where, and exit code 1."""
    deployment = auditor.deployment
    assert "there is no store yet" in auditor.run().stderr
    deployment.produce([*ratings(EVENTS), *LIFE])
    send_malformed(deployment)
    deployment.produce([Rated(user_id=ANN, item_id=77, rating=1.0)])
    take(deployment)
    report = auditor.found()
    assert (report["mismatches"], report["not_provable"], report["waiting"]) == (0, 0, 0)
    assert report["users"] == len(deployment.states())
    assert report["records"] == EVENTS + len(LIFE) + len(MALFORMED) + 1
    assert sum(report["checked_to"].values()) == report["records"]
    rows = updates(deployment)[ANN]
    history = state_of(deployment, ANN).history
    wrong = history.ratings.copy()
    wrong[history.items == 2] = 3.5
    patch(deployment, ANN, history=replace(history, ratings=wrong))
    (found,) = auditor.found()["details"]
    assert (found["user_id"], found["kind"]) == (ANN, "wrong")
    assert found["since"]["offset"] == rows[2].offset
    assert {one["what"] for one in found["differences"]} == {"item 2", "mean"}
    delete(deployment, CID)
    by_user = {one["user_id"]: one for one in auditor.found()["details"]}
    assert {user: one["kind"] for user, one in by_user.items()} == {ANN: "wrong", CID: "missing"}
    assert by_user[CID]["since"]["offset"] == updates(deployment)[CID][0].offset
    assert auditor.found("--user", BOB)["mismatches"] == 0
    shown = auditor.run("--user", ANN, "--user", CID)
    assert shown.returncode == 1
    assert all(text in shown.stdout for text in ("user ann is not", "item 2: 1.0 at", "user cid is not in the store"))


def delete(deployment: Deployment, user_id: str) -> None:
    store = deployment.store()
    assert isinstance(store, EdgeStore)
    try:
        store._shard.update(qdrant_edge.UpdateOperation.delete_points([point_id(user_id)]))
    finally:
        store.close()


def test_what_is_not_committed_is_awaited_and_what_was_lost_is_found(auditor: Auditor) -> None:
    """Events beyond the committed offsets are no mismatch; an old store put back is behind, since its first gap."""
    deployment = auditor.deployment
    deployment.produce(LIFE)
    take(deployment)
    folder = deployment.settings.edge_folder
    shutil.copytree(folder, folder.with_name("old"))
    later = [Rated(user_id=ANN, item_id=50, rating=4.0), Rated(user_id="new", item_id=51, rating=4.0)]
    deployment.produce(later)
    report = auditor.found()
    assert (report["mismatches"], report["waiting"]) == (0, 2)
    take(deployment)
    assert (auditor.found()["mismatches"], auditor.found()["waiting"]) == (0, 0)
    shutil.rmtree(folder)
    folder.with_name("old").rename(folder)
    found = {one["user_id"]: one for one in auditor.found()["details"]}
    assert {user: one["kind"] for user, one in found.items()} == {ANN: "behind", "new": "missing"}
    assert found[ANN]["since"]["offset"] == updates(deployment)[ANN][-1].offset


def test_events_that_are_gone_from_the_topic_prove_nothing(auditor: Auditor) -> None:
    """Below the low watermark users are not provable, and no mismatch; whoever came later is checked as ever."""
    deployment = auditor.deployment
    deployment.produce(LIFE)
    take(deployment)
    users = len(deployment.states())
    cut = [TopicPartition(deployment.topic, number, end) for number, end in deployment.ends().items()]
    for future in deployment.cluster.admin.delete_records(cut).values():
        future.result(WAIT_S)
    deployment.produce([Rated(user_id="new", item_id=51, rating=4.0), Rated(user_id=ANN, item_id=50, rating=4.0)])
    take(deployment, *(word for tp in cut for word in ("--accept-gap", f"{tp.topic}:{tp.partition}")))
    report = auditor.found()
    assert (report["users"], report["mismatches"], report["not_provable"]) == (users + 1, 0, users)
    patch(deployment, "new", attributes={"age": 1})
    # As many events as the topic still has, but a history of more.
    patch(deployment, ANN, count=1)
    kinds = {one["user_id"]: one["kind"] for one in auditor.found()["details"]}
    assert kinds == {"new": "wrong", ANN: "wrong"}


def test_events_of_several_topics_are_right_in_any_order(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """A worker reads two topics, its own way; nothing is wrong, and what neither topic says is found."""
    with Deployment(broker, topic_prefix, tmp_path, topics__ratings="ratings,imported") as deployment:
        auditor = Auditor(deployment.make_topics())
        imported = deployment.settings.input_topics[1]
        with RatingProducer(deployment.servers, imported) as producer:
            for event in ratings(EVENTS):
                producer.send(event)
            producer.rate(ANN, 5, 1.0, YEAR_2020_MS + 5)
            producer.profile(ANN, {"age": 40})
        deployment.produce(LIFE)
        worker = deployment.worker().start().await_ready()
        worker.await_until(
            lambda: worker.metric("tastestream_outcomes_total", outcome="applied") == EVENTS + 2 + len(LIFE), "all"
        )
        assert worker.stop() == 0
        report = auditor.found()
        assert (report["users"], report["mismatches"], report["not_provable"]) == (len(deployment.states()), 0, 0)
        patch(deployment, ANN, attributes={"age": 99})
        assert [one["kind"] for one in auditor.found()["details"]] == ["wrong"]


def test_a_sample_is_the_same_users_everywhere(auditor: Auditor) -> None:
    """So many users with the smallest hashes: a wrong one is found when it is among them, and only then."""
    deployment = auditor.deployment
    deployment.produce(ratings(EVENTS))
    take(deployment)
    first, *_, last = sorted(deployment.states().values(), key=lambda state: point_id(state.user_id or ""))
    assert first.user_id is not None
    assert last.user_id is not None
    patch(deployment, last.user_id, attributes={"age": 1})
    assert (auditor.found("--sample", "5")["users"], auditor.found("--sample", "5")["mismatches"]) == (5, 0)
    patch(deployment, first.user_id, attributes={"age": 1})
    assert [one["user_id"] for one in auditor.found("--sample", "5")["details"]] == [first.user_id]
    assert auditor.found()["mismatches"] == 2


def test_a_replayed_data_set_is_its_own_truth(auditor: Auditor) -> None:
    """Without the topics: clean after a replay, and one event more in the store than in the file is one too many."""
    name = "synthetic:users=20,items=30,ratings=8,seed=3"
    sent = auditor.deployment.command("replay", name)
    assert sent.returncode == 0, sent.stderr
    take(auditor.deployment)
    report = auditor.found("--file", name)
    assert (report["users"], report["mismatches"]) == (20, 0)
    auditor.deployment.produce([Rated(user_id="1", item_id=1, rating=4.0)])
    take(auditor.deployment)
    assert [one["user_id"] for one in auditor.found("--file", name)["details"]] == ["1"]
    assert auditor.found()["mismatches"] == 0


def test_an_edge_store_is_verified_at_rest_alone(auditor: Auditor) -> None:
    """While a worker holds it verify says so and ends with 5; a check every so often is refused outright."""
    auditor.deployment.worker().start().await_ready()
    refused = auditor.run()
    assert (refused.returncode, "stop the worker" in refused.stderr) == (5, True)
    scheduled = auditor.run("--every", "5")
    assert (scheduled.returncode, "room for one process" in scheduled.stderr) == (2, True)


def metrics_at(port: int) -> dict[str, float]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return {}
    return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}


def test_a_server_store_is_verified_beside_its_worker(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """While ratings come in nothing looks wrong; a patched user is found at once, and by the scheduled check, too."""
    port = free_ports(["metrics"])["metrics"]
    with (
        QdrantProcess(tmp_path / "qdrant") as qdrant,
        Deployment(broker, topic_prefix, tmp_path, qdrant__store="server", qdrant__url=qdrant.url) as deployment,
    ):
        auditor = Auditor(deployment.make_topics())
        deployment.produce(LIFE)
        worker = deployment.worker().start()
        deployment.await_lag(0, worker)
        every = [*PROGRAM, "verify", "--every", "1", "--metrics-port", str(port), "--json"]
        with subprocess.Popen(
            every, cwd=tmp_path, env=auditor.deployment.environment(), stdout=subprocess.PIPE
        ) as scheduled:
            try:
                events = list(ratings(600))
                for start in range(0, len(events), 200):
                    deployment.produce(events[start : start + 200])
                    assert auditor.found()["mismatches"] == 0
                await_until(lambda: metrics_at(port).get("tastestream_verify_users", 0) > 3, "a scheduled check")
                assert metrics_at(port)["tastestream_verify_mismatches"] == 0
                patch(deployment, ANN, attributes={"age": 99})
                (found,) = auditor.found()["details"]
                assert (found["user_id"], found["kind"]) == (ANN, "wrong")
                await_until(lambda: metrics_at(port)["tastestream_verify_mismatches"] == 1, "the mismatch")
                assert metrics_at(port)["tastestream_verify_last_run_timestamp_seconds"] > 1.7e9
                scheduled.terminate()
                assert scheduled.wait(WAIT_S) == 0
            finally:
                scheduled.kill()
        assert worker.stop() == 0
