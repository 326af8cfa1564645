"""What comes back by itself is waited for, and what is gone from a topic is said: nothing is lost in silence."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from deployment import Deployment
from qdrant_process import QdrantProcess
from sample_ratings import ratings
from service_process import WAIT_S, WorkerProcess
from topic_truth import assert_exactly_once, updates

from consumers.exit_codes import ExitCode
from consumers.offsets import Offsets, Patience, asking_properties
from producers.broker import FAST_RECOVERY, BrokerOptions, LocalBroker
from recommender.profile import Update

EVENTS = 800
OUTAGES = 3
SMALL_BATCHES = {"limits__batch_max_records": "20"}
WAITS = "the store is away, the worker waits"


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(broker, topic_prefix, tmp_path, **SMALL_BATCHES) as made:
        yield made.make_topics()


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    with QdrantProcess(tmp_path / "qdrant") as process:
        yield process


@pytest.fixture
def on_server(broker: str, topic_prefix: str, tmp_path: Path, qdrant: QdrantProcess) -> Iterator[Deployment]:
    """A deployment on a Qdrant that can be killed, with ratings to take."""
    server = {"qdrant__store": "server", "qdrant__url": qdrant.url}
    with Deployment(broker, topic_prefix, tmp_path, **SMALL_BATCHES, **server) as made:
        made.make_topics().produce(ratings(EVENTS))
        yield made


def finish(deployment: Deployment, worker: WorkerProcess) -> None:
    """Let a worker take the rest, and stop it."""
    deployment.await_lag(0, worker)
    assert worker.stop() == 0


def test_a_broker_that_restarts_is_waited_for(topic_prefix: str, tmp_path: Path) -> None:
    """The brokers fall in the middle of the work and come back: the same process finishes it, exactly once."""
    options = BrokerOptions(properties=FAST_RECOVERY)
    with LocalBroker(options) as broker, Deployment(broker.bootstrap_servers, topic_prefix, tmp_path) as deployment:
        deployment.make_topics().produce(ratings(EVENTS))
        worker = deployment.worker(**SMALL_BATCHES).start()
        deployment.await_lag(EVENTS // 2, worker)
        broker.kill()
        broker.start()
        finish(deployment, worker)
        assert_exactly_once(deployment)


def test_committed_offsets_are_told_again_after_an_outage(topic_prefix: str, tmp_path: Path) -> None:
    """Law: who has asked before no broker answered has the same answer once they are back."""
    options = BrokerOptions(properties=FAST_RECOVERY)
    with LocalBroker(options) as broker, Deployment(broker.bootstrap_servers, topic_prefix, tmp_path) as deployment:
        deployment.make_topics()
        properties = asking_properties({**deployment.settings.kafka.client_config(), "group.id": "readers"})
        key = (deployment.topic, 0)
        with closing(Consumer(properties)) as consumer:
            consumer.commit(offsets=[TopicPartition(*key, 7)], asynchronous=False)
            offsets = Offsets(consumer, deployment.cluster.admin, Patience(recovery_limit_s=WAIT_S))
            for _ in range(OUTAGES):
                assert offsets.committed([key]) == {key: 7}
                broker.kill()
                broker.start()
            assert offsets.committed([key]) == {key: 7}


def waiting_worker(on_server: Deployment, qdrant: QdrantProcess) -> WorkerProcess:
    """A worker in the middle of the work, whose Qdrant has just fallen."""
    worker = on_server.worker().start()
    on_server.await_lag(EVENTS // 2, worker)
    qdrant.kill()
    worker.await_until(lambda: WAITS in worker.events(), "it waits")
    return worker


def test_a_qdrant_that_restarts_is_waited_for(on_server: Deployment, qdrant: QdrantProcess) -> None:
    """Qdrant falls in the middle of the work and comes back: the same process finishes it, exactly once."""
    worker = waiting_worker(on_server, qdrant)
    left = on_server.lag()
    assert left > 0
    qdrant.start()
    finish(on_server, worker)
    assert_exactly_once(on_server)


def test_a_worker_that_waits_for_qdrant_can_be_stopped(on_server: Deployment, qdrant: QdrantProcess) -> None:
    """SIGTERM ends a wait with exit code 0; the batch in hand is left to the next worker."""
    worker = waiting_worker(on_server, qdrant)
    assert worker.stop() == 0
    qdrant.start()
    finish(on_server, worker.start())
    assert_exactly_once(on_server)


def test_events_that_are_gone_are_said_and_skipped_only_when_accepted(deployment: Deployment) -> None:
    """Retention took events before they were applied: the worker names the partitions, and goes on when told so."""
    deployment.produce(ratings(EVENTS // 2))
    finish(deployment, deployment.worker().start())
    taken = deployment.committed()
    deployment.produce(ratings(EVENTS))
    events = updates(deployment)
    lows = {partition: (taken[partition] + end) // 2 for partition, end in deployment.ends().items()}
    gone = [TopicPartition(deployment.topic, *low) for low in lows.items()]
    for future in deployment.cluster.admin.delete_records(gone).values():
        future.result(WAIT_S)
    worker = deployment.worker().start()
    assert worker.await_exit() == ExitCode.GAP
    assert f"--accept-gap {deployment.topic}:" in worker.refusal()
    accepted = [part for partition in lows for part in ("--accept-gap", f"{deployment.topic}:{partition}")]
    finish(deployment, deployment.worker(*accepted).start())
    assert_exactly_once(deployment, without(events, taken, lows))


def without(
    events: Mapping[str, list[Update]], first: Mapping[int, int], next_: Mapping[int, int]
) -> dict[str, list[Update]]:
    """The events of each user, but for the offsets from `first` to before `next_` of each partition."""

    def is_left(row: Update) -> bool:
        partition = int(row.source.rpartition(":")[2])
        return not first[partition] <= row.offset < next_[partition]

    left = {user: [row for row in rows if is_left(row)] for user, rows in events.items()}
    return {user: rows for user, rows in left.items() if rows}


def test_a_topic_that_is_made_anew_is_read_from_its_beginning(deployment: Deployment) -> None:
    """Offsets belong to a topic's id: what lies in its namesake is new, and comes on top of what was there."""
    events = list(ratings(EVENTS))
    deployment.produce(events[::2])
    finish(deployment, deployment.worker().start())
    before = updates(deployment)
    deployment.cluster.admin.delete_topics([deployment.topic])[deployment.topic].result(WAIT_S)
    deployment.make_topics().produce(events[1::2])
    finish(deployment, deployment.worker().start())
    after = updates(deployment)
    both = {user: [*before.get(user, []), *after.get(user, [])] for user in before.keys() | after.keys()}
    assert_exactly_once(deployment, both)
