"""History brought in by `tastestream replay --load`: one list for each user, also through kills."""

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from service_process import PROGRAM, WAIT_S, clean_environment
from topic_truth import assert_exactly_once, published

from consumers.named_datasets import BUNDLED

EVENTS = 6_000
SEED = 5
KILLS = 3
STEP_S = 0.4
"""About how long a batch takes: a kill comes at a random moment of it."""


@pytest.fixture
def deployment(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment whose workers take few records at a time."""
    settings = {"instance": "w-1", "limits__batch_max_records": "200"}
    with Deployment(broker, topic_prefix, tmp_path, **settings) as made:
        yield made.make_topics()


def load(deployment: Deployment) -> int:
    """Run the command; returns how many ratings it sent."""
    done = subprocess.run(
        [*PROGRAM, "replay", BUNDLED, "--events", str(EVENTS), "--load", "--json"],
        env=clean_environment(deployment._variables),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["events"])


def test_a_load_yields_one_list_for_each_user_whatever_is_killed(deployment: Deployment) -> None:
    """Law: kill -9 at random moments of a load; each user has one list all the same, of all their events."""
    moments = random.Random(SEED)  # noqa: S311 - no secret
    worker = deployment.worker()
    assert load(deployment) == EVENTS
    for round_ in range(1, KILLS + 1):
        worker.start()
        deployment.await_lag(EVENTS - round_ * EVENTS // (KILLS + 2), worker)
        worker.kill_after(moments.uniform(0, STEP_S))
    worker.start().await_ready()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert_exactly_once(deployment)
    lists = published(deployment)
    assert sum(rows[-1].version[1] for rows in lists.values()) == EVENTS
    assert {len(rows) for rows in lists.values()} == {1}


def test_a_load_that_is_done_again_closes_what_it_left_open(deployment: Deployment) -> None:
    """Law: sent twice, every user has a second list, and no rating counts for more than it is."""
    for _ in range(2):
        load(deployment)
    worker = deployment.worker().start()
    deployment.await_lag(0, worker)
    assert worker.stop() == 0
    assert_exactly_once(deployment)
    states = deployment.states().values()
    assert sum(len(state.history.rated()) for state in states) == EVENTS
