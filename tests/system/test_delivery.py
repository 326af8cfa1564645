"""Exactly once in effect: whatever ends a worker, and whenever, states and lists are those of one undisturbed run."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec
from deployment import Deployment
from sample_ratings import ratings
from service_process import WAIT_S, WorkerProcess, await_until
from topic_truth import assert_exactly_once, committed_records

EVENTS = 3_000
KILLS = 4
SEED = 7
STEP_S = 0.06
"""About how long one batch takes: a kill comes at a random moment of it."""
LOOKS = 10


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics with ratings in them, and workers that take them in small batches."""
    soon_gone = {"topics__session_timeout_ms": "1500", "topics__heartbeat_interval_ms": "300"}
    with Deployment(broker, topic_prefix, tmp_path, limits__batch_max_records="40", **soon_gone) as made:
        made.make_topics().produce(ratings(EVENTS))
        yield made


def finish(deployment: Deployment, worker: WorkerProcess) -> None:
    """Let a worker take the rest, stop it, and check everything."""
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert_exactly_once(deployment)


def test_a_worker_stopped_in_the_middle_goes_on_where_it_was(deployment: Deployment) -> None:
    """SIGTERM ends a worker with exit code 0; the next one leaves nothing out and publishes nothing twice."""
    worker = deployment.worker().start()
    deployment.await_lag(EVENTS * 2 // 3, worker)
    assert worker.stop() == 0
    assert 0 < deployment.lag() < EVENTS
    finish(deployment, worker.start())


def test_a_worker_may_be_stopped_while_it_starts(deployment: Deployment) -> None:
    """SIGTERM while a worker connects ends it with exit code 0, too."""
    worker = deployment.worker().start()
    worker.await_until(lambda: bool(worker.events()), "its first word")
    assert worker.stop() == 0


def test_a_worker_killed_again_and_again_leaves_no_trace(deployment: Deployment) -> None:
    """After kill -9 at random moments states, versions and receipts are those of a worker that lived."""
    moments = random.Random(SEED)  # noqa: S311 - no secret
    worker = deployment.worker()
    for round_ in range(1, KILLS + 1):
        left = EVENTS - round_ * EVENTS // (KILLS + 2) + moments.randrange(-100, 100)
        worker.start()
        deployment.await_lag(left, worker)
        worker.kill_after(moments.uniform(0, STEP_S))
        assert deployment.lag() > 0
    finish(deployment, worker.start())


def last_stable(deployment: Deployment, topic: str, level: IsolationLevel) -> dict[int, int]:
    """Where readers of an isolation level come to an end, by partition."""
    latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = {TopicPartition(topic, number): latest for number in deployment.ends(topic)}
    futures = deployment.cluster.admin.list_offsets(wanted, isolation_level=level)
    return {tp.partition: future.result(WAIT_S).offset for tp, future in futures.items()}


def open_transaction(deployment: Deployment) -> dict[int, range]:
    """By partition the offsets of lists that are written and not committed."""
    topic = deployment.settings.recommendations_topic
    stable = last_stable(deployment, topic, IsolationLevel.READ_COMMITTED)
    written = last_stable(deployment, topic, IsolationLevel.READ_UNCOMMITTED)
    return {p: range(stable[p], written[p]) for p in stable if stable[p] < written[p]}


def pause_in_a_transaction(deployment: Deployment, worker: WorkerProcess) -> dict[int, range]:
    """Pause a worker until one of the pauses falls between a batch's lists and its commit; returns their offsets."""
    found: dict[int, range] = {}

    def is_caught() -> bool:
        worker.pause()
        # A commit that was on its way when the pause came ends within a few looks.
        looks = [open_transaction(deployment) for _ in range(LOOKS)]
        found.update(looks[-1])
        if not found:
            worker.resume()
        return bool(found)

    await_until(is_caught, "a pause within a transaction")
    return found


def test_an_aborted_transaction_is_invisible(deployment: Deployment) -> None:
    """Lists of a worker that dies between send and commit are never read; the next worker publishes them anew, once."""
    worker = deployment.worker().start()
    deployment.await_lag(EVENTS - 1, worker)
    pending = pause_in_a_transaction(deployment, worker)
    worker.kill()
    assert open_transaction(deployment) == pending
    finish(deployment, worker.start())
    topic = deployment.settings.recommendations_topic
    seen = {(message.partition(), message.offset()) for message in committed_records(deployment, topic)}
    assert not seen & {(partition, offset) for partition, offsets in pending.items() for offset in offsets}
