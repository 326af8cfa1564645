"""A loss of power takes what an Edge store had not flushed: it is replayed, and nothing is published twice.

No machine is switched off: a worker that never flushes is killed, and its store is put back to a copy that was made
after the last flush.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from sample_ratings import ratings
from service_process import WorkerProcess
from topic_truth import assert_exactly_once, published

from producers.ratings import RatingProducer
from schemas.events import Event

FLUSHED, LOST, NEW = 300, 900, 200
NEVER = {"limits__flush_interval_s": "3600"}
SMALL_BATCHES = {"limits__batch_max_records": "40"}
SOON_GONE = {"topics__session_timeout_ms": "1500", "topics__heartbeat_interval_ms": "300"}
USERS = 12


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """One topic of ratings."""
    with Deployment(broker, topic_prefix, tmp_path, **SMALL_BATCHES, **SOON_GONE) as made:
        yield made.make_topics()


@pytest.fixture
def of_two_topics(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Two topics of ratings."""
    inputs = {"topics__ratings": "ratings,imported", "topics__partitions": "2"}
    with Deployment(broker, topic_prefix, tmp_path, **inputs, **SMALL_BATCHES, **SOON_GONE) as made:
        yield made.make_topics()


def keep(deployment: Deployment) -> Path:
    """Copy the store, which nobody holds."""
    folder = deployment.settings.edge_folder
    return Path(shutil.copytree(folder, folder.with_name("kept")))


def put_back(deployment: Deployment, kept: Path) -> None:
    folder = deployment.settings.edge_folder
    shutil.rmtree(folder)
    kept.rename(folder)


def outcome(worker: WorkerProcess, name: str) -> float:
    return worker.metric("tastestream_outcomes_total", outcome=name)


def test_what_was_not_flushed_is_replayed_and_published_once(deployment: Deployment) -> None:
    """Law: states are the fold of the topic, every list was published exactly once, though most commits were lost."""
    events = list(ratings(FLUSHED + LOST + NEW))
    deployment.produce(events[:FLUSHED])
    worker = deployment.worker().start()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    kept = keep(deployment)
    deployment.produce(events[FLUSHED:])
    unflushing = deployment.worker(**NEVER).start()
    deployment.await_lag(NEW, unflushing)
    unflushing.kill()
    put_back(deployment, kept)
    committed = sum(deployment.committed().values()) - FLUSHED
    assert committed >= LOST
    worker.start()
    deployment.await_lag(0, worker)
    worker.await_until(lambda: outcome(worker, "replayed") >= committed, "what was lost was replayed")
    assert worker.stop() == 0
    assert_exactly_once(deployment)


def test_a_kill_alone_loses_nothing(deployment: Deployment) -> None:
    """Law: without a loss of power a restart replays each partition's last batch, however long nothing was flushed."""
    deployment.produce(ratings(LOST))
    unflushing = deployment.worker(**NEVER).start()
    deployment.await_lag(0, unflushing)
    unflushing.kill()
    worker = deployment.worker().start().await_ready()
    last_batches = deployment.settings.topics.partitions * int(SMALL_BATCHES["limits__batch_max_records"])
    assert outcome(worker, "replayed") <= last_batches < LOST
    assert worker.stop() == 0
    assert_exactly_once(deployment)


def of_few_users(count: int) -> list[Event]:
    return [event.model_copy(update={"user_id": str(int(event.user_id) % USERS)}) for event in ratings(count)]


def send(deployment: Deployment, events: list[Event]) -> None:
    """Send events to both topics by turns."""
    for turn, topic in enumerate(deployment.settings.input_topics):
        with RatingProducer(deployment.servers, topic) as producer:
            for event in events[turn::2]:
                producer.send(event)


def test_nothing_new_of_one_topic_goes_out_before_the_other_is_replayed(of_two_topics: Deployment) -> None:
    """Law: no version comes twice, and the last list knows all events, of both topics."""
    deployment = of_two_topics
    events = of_few_users(FLUSHED + LOST + NEW)
    send(deployment, events[:FLUSHED])
    worker = deployment.worker().start()
    worker.await_until(lambda: outcome(worker, "applied") == FLUSHED, "all are taken")
    assert worker.stop() == 0
    kept = keep(deployment)
    send(deployment, events[FLUSHED:-NEW])
    unflushing = deployment.worker(**NEVER).start()
    unflushing.await_until(lambda: outcome(unflushing, "applied") == LOST, "all are taken")
    unflushing.kill()
    put_back(deployment, kept)
    send(deployment, events[-NEW:])
    worker.start()
    worker.await_until(lambda: outcome(worker, "applied") >= NEW, "all that is new is taken")
    assert outcome(worker, "replayed") >= LOST - 2 * int(SMALL_BATCHES["limits__batch_max_records"])
    assert worker.stop() == 0
    counts = Counter(event.user_id for event in events)
    for user, rows in published(deployment).items():
        versions = [version for _, version in (row.version for row in rows)]
        assert versions == sorted(set(versions)), f"the versions of user {user} do not rise strictly: {versions}"
        assert versions[-1] == counts[user]
    assert deployment.command("verify").returncode == 0
