"""Workers that share a Qdrant server, here the gRPC double: neither a pause, nor a crash, nor a namesake does harm."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition, murmur2
from deployment import Deployment
from qdrant_double import QdrantDouble
from qdrant_process import QdrantProcess
from sample_ratings import ratings
from service_process import WAIT_S, WorkerProcess, await_until
from topic_truth import assert_equal_states, assert_exactly_once, committed_records, folded, updates

from consumers.app import check_cluster, transactional_sink
from consumers.exit_codes import ExitCode
from producers.sink import FencedError, TransactionalSink
from schemas.events import Rated
from schemas.messages import Message
from schemas.recommendations import decode_list

EVENTS = 3_000
PARTITIONS = 4
TURNS_EACH = 4
YEAR_2020_MS = 1_577_836_800_000
TASTE = {item: float(5 - item % 3) for item in range(8)}
"""What all users of a circle have rated alike."""
FIRST_NEW_ITEM = 100


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[QdrantProcess]:
    with QdrantProcess(tmp_path / "qdrant") as process:
        yield process


def server_deployment(broker: str, prefix: str, folder: Path, port: int) -> Deployment:
    server = {"qdrant__store": "server", "qdrant__url": f"http://127.0.0.1:{port}"}
    return Deployment(broker, prefix, folder, limits__batch_max_records="20", **server)


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path, qdrant: QdrantProcess) -> Iterator[Deployment]:
    """Topics, and a group whose session is three seconds long."""
    with server_deployment(broker, topic_prefix, tmp_path, qdrant.port) as made:
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


def test_a_write_that_arrives_after_another_worker_took_over_changes_nothing(
    broker: str, topic_prefix: str, tmp_path: Path
) -> None:
    """A worker sleeps while its write is on the way; another goes on; the write lands, the sleeper wakes: no harm."""
    with (
        QdrantDouble(tmp_path / "qdrant") as double,
        server_deployment(broker, topic_prefix, tmp_path, double.port) as made,
    ):
        made.make_topics()
        events = list(ratings(EVENTS // 2))
        parts = [events[start::4] for start in range(4)]
        made.produce(parts[0])
        sleeper = made.worker(instance="sleeper").start()
        made.await_lag(0, sleeper)
        double.before("UpdateBatch", lambda _: sleeper.pause())
        double.fail_next("UpdateBatch", "delayed")
        made.produce(parts[1])
        other = made.worker(instance="other").start()
        made.await_lag(0, other)
        assert len(double.release()) == 1
        assert_equal_states(folded(made, updates(made)), made.states())
        made.produce(parts[2])
        made.await_lag(0, other)
        sleeper.resume()
        made.produce(parts[3])
        made.await_lag(0, sleeper, other)
        assert [sleeper.stop(), other.stop()] == [0, 0]
        assert_exactly_once(made)


def test_a_list_knows_what_neighbours_of_the_other_worker_have_just_rated(deployment: Deployment) -> None:
    """Users in turn rate an item nobody had; the next one's list has all of them, whichever worker wrote them."""
    workers = pair(deployment, "a", "b")
    circle = [next(n for n in range(1_000) if murmur2(str(n).encode(), PARTITIONS) == p) for p in range(PARTITIONS)]
    deployment.produce(rated(user, item, rating) for item, rating in TASTE.items() for user in circle)
    deployment.await_lag(0, *workers)
    for turn in range(TURNS_EACH * PARTITIONS):
        deployment.produce([rated(circle[turn % PARTITIONS], FIRST_NEW_ITEM + turn, 5.0)])
        deployment.await_lag(0, *workers)
    shown = items_by_version(deployment)
    for turn in range(TURNS_EACH * PARTITIONS):
        user, version = circle[turn % PARTITIONS], len(TASTE) + 1 + turn // PARTITIONS
        of_others = {FIRST_NEW_ITEM + one for one in range(turn) if (turn - one) % PARTITIONS}
        assert of_others <= shown[str(user), version], f"turn {turn}"
    assert [worker.stop() for worker in workers] == [0, 0]
    assert_exactly_once(deployment)


def rated(user: int, item: int, rating: float) -> Rated:
    return Rated(user_id=str(user), item_id=item, rating=rating, rated_at=YEAR_2020_MS + item)


def items_by_version(deployment: Deployment) -> dict[tuple[str, int], set[int | str]]:
    """The items of every list, by user and by the version of the state that it answers to."""
    records = committed_records(deployment, deployment.settings.recommendations_topic)
    lists = [decode_list(record.value() or b"") for record in records]
    return {
        (found["user_id"], found["state"]["version"]): {item["item_id"] for item in found["items"]} for found in lists
    }


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


def test_a_producer_fenced_in_many_partitions_at_once_is_fenced_and_not_broken(deployment: Deployment) -> None:
    """The client says so once for each partition, and logs while its first word is still on its way to us."""
    settings = deployment.settings
    topics = check_cluster(settings)
    sleeper = transactional_sink(settings, topics, settings.transactional_id)
    sleeper.begin()
    send_to_all(sleeper, settings.recommendations_topic)
    await_until(lambda: all(written(deployment, settings.recommendations_topic)), "all partitions to be in it")
    rival = transactional_sink(settings, topics, settings.transactional_id)
    with closing(rival), pytest.raises(FencedError, match="give every worker its own `instance`"):
        commit_to_all(sleeper, settings.recommendations_topic)
    sleeper.close()


def written(deployment: Deployment, topic: str) -> list[int]:
    """Where each partition ends, with what no transaction has committed yet."""
    own = {"bootstrap.servers": deployment.servers, "group.id": "eyes", "isolation.level": "read_uncommitted"}
    with closing(Consumer(own)) as consumer:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        return [consumer.get_watermark_offsets(place, WAIT_S)[1] for place in places]


def send_to_all(sink: TransactionalSink, topic: str) -> None:
    """Send to every partition at once, several requests each."""
    sink.send([Message(topic, b"key", b"value", partition=number % PARTITIONS) for number in range(200 * PARTITIONS)])


def commit_to_all(sink: TransactionalSink, topic: str) -> None:
    send_to_all(sink, topic)
    sink.commit({})
