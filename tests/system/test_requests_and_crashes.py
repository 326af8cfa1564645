"""Requests and ratings together, workers killed, stopped and replaced: every request is answered, states untouched."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from qdrant_process import QdrantProcess
from request_client import RequestClient
from sample_ratings import ratings
from service_process import WorkerProcess, await_until
from topic_truth import assert_exactly_once

EVENTS = 2_000
REQUESTS = 400
KILLS = 4
SEED = 11
STEP_S = 0.05
SOON_GONE = {"topics__session_timeout_ms": "1500", "topics__heartbeat_interval_ms": "300"}
STEP_MAX = 8
"""Requests that are answered together at most."""
AGAIN_MAX = 3 * STEP_MAX
"""Requests that a worker that is killed leaves to be answered again: its step in hand, and those not yet told of."""
SMALL = {
    "limits__batch_max_records": "40",
    "requests__batch_max_records": f"{STEP_MAX}",
    "requests__step_budget_ms": "1",
}


def qdrant_at(port: int) -> dict[str, str]:
    return {"qdrant__store": "server", "qdrant__url": f"http://127.0.0.1:{port}"}


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Topics, and workers that take little at a time."""
    with Deployment(broker, topic_prefix, tmp_path, **SOON_GONE, **SMALL) as made:
        yield made.make_topics()


def replied(client: RequestClient) -> int:
    return sum(map(len, client.answers().values()))


def await_replies(client: RequestClient, worker: WorkerProcess, at_least: int) -> None:
    worker.await_until(lambda: replied(client) >= at_least, f"there are {at_least} replies")


def assert_answered(client: RequestClient, sent: list[str], again_max: int = 0) -> None:
    """A reader sees a reply to every request; so many of them may have been answered a second time."""
    answers = client.answers()
    assert sorted(answers) == sorted(sent)
    assert sum(map(len, answers.values())) - len(sent) <= again_max


def test_requests_between_ratings_are_each_answered_and_change_nothing(deployment: Deployment) -> None:
    """Ratings and requests interleaved, with a new worker in the middle: states, lists and replies are all exact."""
    client, events = RequestClient(deployment), list(ratings(EVENTS))
    sent: list[str] = []
    worker = deployment.worker().start()
    for at in range(0, EVENTS, 100):
        deployment.produce(events[at : at + 100])
        sent += [client.send({"user_id": str(user)}) for user in range(at, at + 20)]
        client.flush()
        if at == EVENTS // 2:
            assert worker.stop() == 0
            worker.start()
    deployment.await_lag(0, worker)
    await_replies(client, worker, len(sent))
    assert worker.stop() == 0
    assert_answered(client, sent)
    assert_exactly_once(deployment)


def test_a_worker_killed_while_it_answers_leaves_no_request_without_a_reply(deployment: Deployment) -> None:
    """After kill -9 at random moments at most the last steps are answered twice, and no list was lost."""
    moments = random.Random(SEED)  # noqa: S311 - no secret
    client = RequestClient(deployment)
    deployment.produce(ratings(EVENTS // 4))
    sent: list[str] = []
    worker, in_the_middle = deployment.worker(), 0
    for _ in range(KILLS):
        worker.start().await_ready()
        sent += client.send_until_answered([{"user_id": str(number), "n": 20} for number in range(REQUESTS // KILLS)])
        worker.kill_after(moments.uniform(0, STEP_S))
        in_the_middle += replied(client) < len(sent)
    assert in_the_middle
    finish(deployment, client, worker.start(), sent, KILLS)


def finish(deployment: Deployment, client: RequestClient, worker: WorkerProcess, sent: list[str], kills: int) -> None:
    """Let a worker answer the rest, stop it, and check everything."""
    worker.await_until(lambda: client.answers().keys() >= set(sent), "every request has a reply")
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert_answered(client, sent, kills * AGAIN_MAX)
    assert_exactly_once(deployment)


def test_two_workers_share_the_requests(broker: str, topic_prefix: str, tmp_path: Path) -> None:
    """Each answers its part; when one is killed the other answers the rest, and at most its last steps twice."""
    with (
        QdrantProcess(tmp_path / "qdrant") as qdrant,
        Deployment(broker, topic_prefix, tmp_path, **SOON_GONE, **SMALL, **qdrant_at(qdrant.port)) as made,
    ):
        client = RequestClient(made.make_topics())
        workers = [made.worker(instance=name).start().await_ready() for name in ("a", "b")]
        sent: list[str] = []

        def both_answered() -> bool:
            sent.append(client.send({"user_id": str(len(sent))}))
            client.flush()
            return all(worker.metric("tastestream_requests_total", outcome="answered") for worker in workers)

        await_until(both_answered, "both have answered")
        sent += [client.send({"user_id": str(number)}) for number in range(REQUESTS)]
        client.flush()
        workers[0].kill()
        finish(made, client, workers[1], sent, 1)


def test_a_deployment_without_the_topics_goes_on_without_requests(deployment: Deployment) -> None:
    """Where the topics of requests are missing, the worker says so once and does everything else."""
    for future in deployment.cluster.admin.delete_topics(list(deployment.settings.request_topics)).values():
        future.result()
    deployment.produce(ratings(100))
    worker = deployment.worker().start()
    deployment.await_lag(0, worker)
    assert worker.events().count("requests are not answered") == 1
    assert worker.stop() == 0
    assert_exactly_once(deployment)
