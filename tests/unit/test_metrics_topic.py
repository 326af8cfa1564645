"""Whether the figures of live evaluation can be published, and what is said where they cannot."""

from typing import Any

import pytest
from confluent_kafka.admin import AclOperation
from structlog.testing import capture_logs

from consumers import metrics_topic
from consumers.cluster import ClusterError, Topic
from consumers.metrics_topic import usable_metrics_topic
from consumers.settings import Settings

THERE = Topic("metrics", "an-id", 1, {})


class FakeCluster:
    """A cluster with or without the topic, on which this is allowed (None: it does not say)."""

    def __init__(self, found: Topic | ClusterError | None, allowed: frozenset[AclOperation] | None = None) -> None:
        self._found = found
        self._allowed = allowed

    def topics(self, names: list[str]) -> dict[str, Topic]:
        if isinstance(self._found, ClusterError):
            raise self._found
        return {} if self._found is None else {names[0]: self._found}

    def allowed_on_topics(self, names: list[str]) -> dict[str, frozenset[AclOperation] | None]:
        return {names[0]: self._allowed}


def usable(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster | None, **settings: Any) -> tuple[str | None, str]:
    """The topic, and why there is none."""

    def made(*_: object) -> FakeCluster:
        assert cluster is not None
        return cluster

    monkeypatch.setattr(metrics_topic, "Cluster", made)
    with capture_logs() as logs:
        found = usable_metrics_topic(Settings(**settings))
    assert len(logs) <= 1
    return found, logs[0]["why"] if logs else ""


@pytest.mark.parametrize("allowed", [None, frozenset({AclOperation.WRITE, AclOperation.DESCRIBE})])
def test_a_topic_that_may_be_written_is_used(
    allowed: frozenset[AclOperation] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: nothing is said of what is in order."""
    assert usable(monkeypatch, FakeCluster(THERE, allowed), namespace="blue") == ("blue.metrics", "")


@pytest.mark.parametrize(
    ("cluster", "remedy"),
    [
        (FakeCluster(None), "`tastestream topics create`"),
        (FakeCluster(THERE, frozenset({AclOperation.DESCRIBE})), "Write on topic 'metrics'"),
        (FakeCluster(ClusterError("the topic metrics cannot be described")), "cannot be described"),
    ],
)
def test_what_cannot_be_used_is_said_once(cluster: FakeCluster, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: a worker goes on without, and the warning names what to do."""
    found, why = usable(monkeypatch, cluster)
    assert found is None
    assert remedy in why


@pytest.mark.parametrize("off", [{"topics": {"metrics": "off"}}, {"evaluation": {"window_events": 0}}])
def test_what_is_switched_off_is_not_asked_for(off: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: no question to the cluster, and nothing said."""
    assert usable(monkeypatch, None, **off) == (None, "")
