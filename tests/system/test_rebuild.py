"""`tastestream rebuild`: a new store while the old one serves, and nothing lost, doubled or out of order by it."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from deployment import Deployment
from qdrant_process import QdrantProcess
from sample_ratings import ratings
from service_process import DEFAULTS, PROGRAM, WAIT_S, WorkerProcess, await_until, clean_environment
from topic_truth import assert_equal_states, folded, published, updates

from consumers.exit_codes import ExitCode
from consumers.settings_mapping import store_settings
from consumers.store_opening import generations
from consumers.stores.generations import visitor
from recommender.store import point_id
from schemas.events import Rated

EVENTS = 2_400
PARTITIONS = 4


class Command:
    """`tastestream rebuild` as a process of its own, with the settings of a deployment."""

    def __init__(self, deployment: Deployment, *arguments: str, **variables: str) -> None:
        own = {f"TASTESTREAM_{name.upper()}": value for name, value in variables.items()}
        self._said = deployment._folder / f"rebuild-{time.monotonic_ns()}.log"
        with self._said.open("wb") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, "rebuild", "--json", *arguments],
                cwd=deployment._folder,
                env=clean_environment(DEFAULTS | deployment._variables | own),
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def finish(self) -> tuple[int, dict[str, Any], str]:
        """The exit code, the JSON, and what it said."""
        out, _ = self._process.communicate(timeout=WAIT_S)
        return self._process.returncode, json.loads(out or b"{}"), self._said.read_text()

    def result(self) -> dict[str, Any]:
        """The JSON of a call that succeeded."""
        code, document, said = self.finish()
        assert code == ExitCode.OK, said
        return document

    def refusal(self, code: ExitCode) -> str:
        """The line with which it ended, with this exit code."""
        found, _, said = self.finish()
        assert found == code, said
        (line,) = [line for line in said.splitlines() if not line.startswith("{")]
        return line

    def kill_while_it_fills(self, seconds: float) -> None:
        """Kill it (SIGKILL) when it has filled the new store for a while."""
        await_until(lambda: "is being filled" in self._said.read_text(), "the new store is being filled")
        with pytest.raises(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """An Edge deployment that takes small batches."""
    with Deployment(broker, topic_prefix, tmp_path, limits__batch_max_records="20") as made:
        yield made.make_topics()


@pytest.fixture
def events() -> list[Rated]:
    return list(ratings(EVENTS))


def served(deployment: Deployment, events: list[Rated]) -> WorkerProcess:
    """A worker that has taken these events."""
    deployment.produce(events)
    worker = deployment.worker().start()
    deployment.await_lag(0, worker)
    return worker


def assert_one_life(deployment: Deployment, epoch: int, *, copied: bool = False) -> None:
    """States are the fold of the topic, under this epoch; (epoch, version) rises strictly; the last list is current.

    Where the topic was `copied` from another one, older lists name places in that.
    """
    assert deployment.lag() == 0
    events = updates(deployment)
    truth = folded(deployment, events)
    assert_equal_states(truth, deployment.states())
    store = deployment.store()
    assert store.settings.epoch == epoch
    store.close()
    for user, rows in published(deployment).items():
        versions = [row.version for row in rows]
        assert versions == sorted(set(versions)), f"user {user}: {versions}"
        assert versions[-1][1] == truth[point_id(user)].count
        last = events[user][-1]
        if copied and rows[-1].version[0] < epoch:
            continue
        assert rows[-1].source == (int(last.source.rpartition(":")[2]), last.offset)


def test_a_worker_serves_while_its_store_is_rebuilt(deployment: Deployment, events: list[Rated]) -> None:
    """Ratings go on before, during and after; the worker ends at the switch, and its next life has the new store."""
    worker = served(deployment, events[:800])
    command = Command(deployment)
    deployment.produce(events[800:1600])
    document = command.result()
    assert worker.await_exit() == ExitCode.SUPERSEDED
    assert "tastestream rebuild" in worker.refusal()
    assert (document["switched"], document["epoch"], document["mismatches"]) == (True, 2, 0)
    assert document["compared"]["against"] == "topics"
    assert document["compared"]["compared"] > 0
    deployment.produce(events[1600:])
    worker.start()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert_one_life(deployment, 2)
    assert {row.version[0] for rows in published(deployment).values() for row in rows} == {1, 2}


def markers(deployment: Deployment, name: str) -> dict[str, int]:
    """The markers of a generation that nobody holds."""
    place = generations(deployment.settings)
    store = place.open(name, visitor(store_settings(deployment.settings)))
    topic_id = deployment.cluster.topics([deployment.topic])[deployment.topic].topic_id
    try:
        return dict(store.read([], [f"{topic_id}:{number}" for number in range(PARTITIONS)]).markers)
    finally:
        store.close()
        place.close()


def unfinished(deployment: Deployment) -> list[str]:
    place = generations(deployment.settings)
    try:
        return list(place.others())
    finally:
        place.close()


def test_a_rebuild_killed_again_and_again_goes_on(deployment: Deployment, events: list[Rated]) -> None:
    """SIGKILL in the middle leaves the serving store and its worker alone, and the next call reads only the rest."""
    worker = served(deployment, events)
    reached = [-1]
    for _ in range(2):
        command = Command(deployment, limits__batch_max_records="1")
        command.kill_while_it_fills(0.3)
        (name,) = unfinished(deployment)
        reached.append(sum(markers(deployment, name).values()))
        assert worker.running
    assert reached == sorted(set(reached))
    assert reached[-1] < EVENTS - PARTITIONS
    document = Command(deployment).result()
    assert document["switched"]
    assert document["events"] < EVENTS - reached[-1]
    assert worker.await_exit() == ExitCode.SUPERSEDED
    worker.start().await_ready()
    assert worker.stop() == 0
    assert_one_life(deployment, 2)


def test_an_unfinished_store_of_other_settings_is_deleted(deployment: Deployment, events: list[Rated]) -> None:
    """Whoever asks for another store gets one made from the beginning, and nothing of the first one stays."""
    served(deployment, events[:200]).stop()
    first = Command(deployment, "--no-switch").result()
    assert not first["switched"]
    other = Command(deployment, "--no-switch", limits__history_max_entries="7").result()
    assert other["store"] != first["store"]
    assert [Path(other["store"]).name] == unfinished(deployment)
    assert other["events"] == first["events"] == 200
    again = Command(deployment, limits__history_max_entries="7").result()
    assert (again["switched"], again["events"], again["store"]) == (True, 0, other["store"])
    assert not Path(first["store"]).exists()


def test_rolled_back_the_old_store_catches_up_and_goes_on(deployment: Deployment, events: list[Rated]) -> None:
    """The kept store gets what it has missed, and an epoch above the one it follows; then it can be deleted."""
    worker = served(deployment, events[:400])
    Command(deployment).result()
    assert worker.await_exit() == ExitCode.SUPERSEDED
    worker.start()
    deployment.produce(events[400:800])
    deployment.await_lag(0, worker)
    status = Command(deployment, "--rollback").result()
    assert status["current"] == {"name": ".", "epoch": 3}
    assert worker.await_exit() == ExitCode.SUPERSEDED
    worker.start()
    deployment.produce(events[800:1200])
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert_one_life(deployment, 3)
    assert Command(deployment, "--drop-old").result() == {
        "current": {"name": ".", "epoch": 3},
        "kept": None,
        "unfinished": [],
    }
    assert "no earlier store is kept" in Command(deployment, "--rollback").refusal(ExitCode.STORE)
    assert_one_life(deployment, 3)


def test_other_settings_come_with_a_rebuild(deployment: Deployment, events: list[Rated]) -> None:
    """A worker with another scale refuses the store and names the way out; afterwards it runs, and the old one not."""
    served(deployment, events[:200]).stop()
    wider = {"catalogue__scale_max": "10"}
    worker = deployment.worker(**wider).start()
    assert worker.await_exit() == ExitCode.STORE_MISMATCH
    assert "tastestream rebuild" in worker.refusal()
    document = Command(deployment, **wider).result()
    assert (document["switched"], document["mismatches"]) == (True, 0)
    assert document["compared"]["against"] == "topics"
    worker.start()
    deployment.produce(events[200:400])
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert deployment.worker().start().await_exit() == ExitCode.STORE_MISMATCH
    assert "scale_max" in Command(deployment, "--rollback", **wider).refusal(ExitCode.STORE_MISMATCH)


def test_a_topic_that_has_lost_its_beginning_is_refused(deployment: Deployment, events: list[Rated]) -> None:
    """The partitions, the events and the users who would vanish are named; accepted, the rest makes a store."""
    served(deployment, events[:400]).stop()
    before = deployment.ends()
    deployment.cluster.admin.delete_records([TopicPartition(deployment.topic, 2, before[2] - 5)])[
        TopicPartition(deployment.topic, 2, before[2] - 5)
    ].result(WAIT_S)
    said = Command(deployment).refusal(ExitCode.GAP)
    assert f"{before[2] - 5} of {deployment.topic} [2]" in said
    assert "users would vanish" in said
    document = Command(deployment, "--accept-gap", f"{deployment.topic}:2").result()
    assert document["switched"]
    assert document["compared"]["shortened"] > 0
    worker = deployment.worker().start().await_ready()
    assert worker.stop() == 0
    assert_equal_states(folded(deployment, updates(deployment)), deployment.states())


def test_more_partitions_come_with_a_new_topic(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """A copy with more partitions makes a new store; the group, which must be empty, begins where it ends."""
    with Deployment(broker, topic_prefix, tmp_path) as few:
        few.make_topics()
        events = list(ratings(300))
        worker = served(few, events[:200])
        many = Deployment(broker, topic_prefix, tmp_path, topics__ratings="more", topics__partitions="7")
        with many:
            many.make_topics()
            many.produce(events[:200])
            assert "stop its workers" in Command(many).refusal(ExitCode.KAFKA)
            assert worker.stop() == 0
            document = Command(many).result()
            assert (document["switched"], document["compared"]["against"]) == (True, "topics")
            assert many.lag() == 0
            many.produce(events[200:])
            later = many.worker().start()
            many.await_lag(0, later)
            assert later.stop() == 0
            assert_one_life(many, 2, copied=True)
            assert "other topics" in Command(many, "--rollback").refusal(ExitCode.STORE_MISMATCH)


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    with QdrantProcess(tmp_path / "qdrant") as process:
        yield process


def test_workers_that_share_a_server_follow_the_alias(
    broker: str, topic_prefix: str, tmp_path: Path, qdrant: QdrantProcess, events: list[Rated]
) -> None:
    """Two workers end at the switch, also one that slept through it; whatever they still committed counts, once."""
    server = {"qdrant__store": "server", "qdrant__url": qdrant.url, "limits__batch_max_records": "20"}
    with Deployment(broker, topic_prefix, tmp_path, **server) as made:
        made.make_topics().produce(events[:800])
        workers = [made.worker(instance=name).start().await_ready() for name in ("a", "b")]
        made.await_lag(0, *workers)
        made.produce(events[800:1000])
        workers[0].pause()
        document = Command(made).result()
        assert document["switched"]
        assert document["compared"]["mismatched"] == 0
        assert document["compared"]["against"] == "serving store"
        assert document["compared"]["compared"] > 0
        assert workers[1].await_exit() == ExitCode.SUPERSEDED
        workers[1].start()
        made.produce(events[1000:1400])
        made.await_lag(0, workers[1])
        workers[0].resume()
        assert workers[0].await_exit() == ExitCode.SUPERSEDED
        workers[0].start().await_ready()
        made.produce(events[1400:1800])
        made.await_lag(0, *workers)
        assert [worker.stop() for worker in workers] == [0, 0]
        assert_one_life(made, 2)
        assert Command(made, "--rollback").result()["current"]["epoch"] == 3
        worker = made.worker().start().await_ready()
        assert worker.stop() == 0
        assert_one_life(made, 3)
