"""A minute of `make chaos`: real processes die and stall at random moments, and nothing is lost or doubled.

The long runs are `make chaos ARGS=...`; what their judgement can see is tested here as well.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chaos_oracle import judge
from confluent_kafka.admin import ResourceType
from scenarios import Outcome, run_scenario
from service_process import WAIT_S
from topic_truth import committed_records
from trial import Ground, Terms, Trial

from recommender.profile import UserState
from recommender.store import StateWrite, UserWrite, point_id

SEED = 11
EVENTS = 100
FAULTS = 2


@pytest.fixture
def ground(broker: str, tmp_path: Path) -> Ground:
    return Ground(broker, tmp_path, lambda _: None)


def run(ground: Ground, name: str) -> Outcome:
    return run_scenario(ground, name, Terms(SEED, 0.0, faults=FAULTS, limit_s=WAIT_S))


@pytest.mark.parametrize("name", ["kills", "rebalances", "store-faults"])
def test_nothing_is_lost_and_nothing_is_doubled(ground: Ground, name: str) -> None:
    """States are the fold of the topic, lists answer to it once each, malformed records have one dead letter each."""
    outcome = run(ground, name)
    assert outcome.problems == []
    assert outcome.record.faults.total() >= FAULTS
    assert outcome.judgement.events > EVENTS
    assert outcome.lists > 0


def test_without_deduplication_it_would_go_wrong(ground: Ground) -> None:
    """The same kills leave wrong users once the fold takes events twice: that none is wrong is no luck."""
    outcome = run(ground, "no-deduplication")
    assert outcome.problems == []
    assert outcome.judgement.wrong_users > 0


@pytest.fixture(scope="module")
def calm(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """A trial in which nothing happened, up to its judgement."""
    ground = Ground(broker, tmp_path_factory.mktemp("calm"), lambda _: None)
    with Trial(ground, "calm", Terms(SEED, 1.0)) as trial:
        worker = trial.worker().start()
        assert trial.await_list(0, worker)
        while trial.stream.sent < EVENTS or not trial.stream.malformed:
            trial.wait(0.05, 0.05)
        assert trial.finish(worker).problems == []
        yield trial


def test_the_group_has_the_timings_that_the_settings_ask_for(calm: Trial) -> None:
    """How soon a dead worker's partitions go to another is the group's own setting, made with the topics."""
    deployment = calm.deployment
    found = deployment.cluster.config(ResourceType.GROUP, deployment.settings.group)
    topics = deployment.settings.topics
    assert found["consumer.session.timeout.ms"] == str(topics.session_timeout_ms)
    assert found["consumer.heartbeat.interval.ms"] == str(topics.heartbeat_interval_ms)


def test_the_judgement_sees_what_is_wrong(calm: Trial) -> None:
    """A changed state, a lost record, a list and a dead letter too many: each is counted, and said."""
    deployment, stream, watch = calm.deployment, calm.stream, calm.watch
    lists = committed_records(deployment, deployment.settings.recommendations_topic)
    watch.take(lists[-1])
    (dead, *_) = committed_records(deployment, deployment.settings.dead_letter_topic)
    watch.take(dead)
    stream.acknowledged[0][10**9] = 1
    change_one_state(calm)
    found = judge(deployment, stream, watch)
    assert (found.doubled_lists, found.wrong_dead_letters, found.lost, found.wrong_users) == (1, 1, 1, 1)
    assert len(found.problems) == 4


def change_one_state(trial: Trial) -> None:
    """Forget how many events one user had."""
    state = next(state for state in trial.deployment.states().values() if state.user_id is not None)
    assert state.user_id is not None
    changed: UserState = replace(state, count=state.count + 1, tag=state.tag + 1)
    store = trial.deployment.store()
    try:
        store.write(StateWrite({}, [UserWrite(state.user_id, changed, None, frozenset({state.tag}), missing=False)]))
    finally:
        store.close()
    assert trial.deployment.states()[point_id(state.user_id)].count == changed.count
