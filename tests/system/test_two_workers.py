"""Workers that share a Qdrant server, here the gRPC double: neither a pause, nor a crash, nor a namesake does harm."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from deployment import Deployment
from qdrant_process import QdrantProcess
from sample_ratings import ratings
from service_process import WAIT_S, WorkerProcess
from topic_truth import assert_exactly_once

from consumers.exit_codes import ExitCode

EVENTS = 3_000
PARTITIONS = 4


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    with QdrantProcess(tmp_path / "qdrant") as process:
        yield process


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path, qdrant: QdrantProcess) -> Iterator[Deployment]:
    """Topics, and a group whose session is three seconds long."""
    server = {"qdrant__store": "server", "qdrant__url": qdrant.url}
    with Deployment(broker, topic_prefix, tmp_path, limits__batch_max_records="20", **server) as made:
        yield made.make_topics()


def await_held(worker: WorkerProcess, partitions: int) -> None:
    """Return once a worker holds so many partitions."""
    worker.await_until(
        lambda: worker.metric("tastestream_assigned_partitions") == partitions, f"it holds {partitions} partitions"
    )


def pair(deployment: Deployment, *instances: str) -> list[WorkerProcess]:
    """Two workers that share the partitions evenly."""
    workers = [deployment.worker(instance=instance).start().await_ready() for instance in instances]
    for worker in workers:
        await_held(worker, PARTITIONS // 2)
    return workers


def test_a_worker_that_slept_past_its_session_changes_nothing_when_it_wakes(deployment: Deployment) -> None:
    """Each worker in turn is stopped in the middle, loses its partitions and wakes: every event counts once."""
    workers = pair(deployment, "a", "b")
    events = list(ratings(EVENTS))
    for sleeper, other, part in zip(workers, reversed(workers), (events[::2], events[1::2]), strict=True):
        deployment.produce(part)
        deployment.await_lag(len(part) - 100, *workers)
        sleeper.pause()
        await_held(other, PARTITIONS)
        assert deployment.lag() > 0
        sleeper.resume()
        deployment.await_lag(0, *workers)
    assert [worker.stop() for worker in workers] == [0, 0]
    assert_exactly_once(deployment)


def test_of_two_workers_of_one_name_the_first_ends(deployment: Deployment) -> None:
    """A second process with the same instance fences the first, which says so in one line; nothing counts twice."""
    first, second = pair(deployment, "same", "same")
    deployment.produce(ratings(200))
    assert first.await_exit() == ExitCode.FENCED
    assert "`instance`" in first.refusal()
    deployment.await_lag(0, second)
    assert second.stop() == 0
    assert_exactly_once(deployment)


def test_a_commit_that_another_worker_left_open_is_waited_for(deployment: Deployment) -> None:
    """Offsets of a transaction that a dead worker left pending hold a worker up, and do not end it."""
    dead = Producer({"bootstrap.servers": deployment.servers, "transactional.id": deployment.settings.group})
    dead.init_transactions(WAIT_S)
    dead.begin_transaction()
    member = Consumer({"bootstrap.servers": deployment.servers, "group.id": deployment.settings.group})
    dead.send_offsets_to_transaction([TopicPartition(deployment.topic, 0, 1)], member.consumer_group_metadata(), WAIT_S)
    deployment.produce(ratings(200))
    worker = deployment.worker(kafka__request_timeout_s="1").start()
    worker.await_until(lambda: "stamina.retry_scheduled" in worker.events(), "it waits")
    dead.abort_transaction(WAIT_S)
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert_exactly_once(deployment)
