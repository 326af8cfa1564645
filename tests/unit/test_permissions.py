"""What a worker must be allowed to do: the list, and what is refused without it."""

from collections.abc import Sequence
from typing import cast

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from consumers.cluster import Cluster, ClusterError
from consumers.permissions import (
    Permission,
    check_permitted,
    request_permissions,
    required_permissions,
    worker_permissions,
)
from consumers.settings import Settings

READ, WRITE, DESCRIBE_CONFIGS = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS
EVERYTHING = frozenset({READ, WRITE, DESCRIBE_CONFIGS})
Allowed = dict[str, frozenset[AclOperation] | None]


class FakeCluster:
    """A cluster that allows everything but on the resources named."""

    def __init__(self, **but: frozenset[AclOperation] | None) -> None:
        self._but = but

    def allowed_on_topics(self, names: Sequence[str]) -> Allowed:
        return {name: self._but.get(name, EVERYTHING) for name in names}

    allowed_on_groups = allowed_on_topics


def check(cluster: FakeCluster, needed: Sequence[Permission] | None = None) -> None:
    check_permitted(cast("Cluster", cluster), worker_permissions(Settings()) if needed is None else needed)


def test_the_list_is_short_and_in_the_namespace() -> None:
    """Two permissions on each topic but that of items, one on each group, one on ids; all under their real names."""
    rows = [permission.row() for permission in worker_permissions(Settings(namespace="blue"))]
    assert [" ".join(row) for row in rows] == [
        "topic literal blue.ratings Read",
        "topic literal blue.recommendations Write",
        "topic literal blue.ratings.dlq Write",
        "topic literal blue.ratings DescribeConfigs",
        "topic literal blue.recommendations DescribeConfigs",
        "topic literal blue.ratings.dlq DescribeConfigs",
        "group literal blue.tastestream Read",
        "transactional id prefixed blue.tastestream. Write",
        "topic literal blue.items Read",
        "topic literal blue.requests Read",
        "topic literal blue.replies Write",
        "topic literal blue.requests DescribeConfigs",
        "topic literal blue.replies DescribeConfigs",
        "group literal blue.tastestream.requests Read",
        "topic literal blue.metrics Write",
        "topic literal blue.metrics DescribeConfigs",
    ]


def test_requests_that_are_off_need_nothing() -> None:
    """Without their topics the list is the one without them; with an app's topic it has that, too."""
    off = Settings.model_validate({"topics": {"requests": "off", "replies": "off"}})
    assert request_permissions(off) == []
    app = Settings.model_validate({"requests": {"reply_topics": "app"}})
    assert Permission(ResourceType.TOPIC, "app", WRITE) in request_permissions(app)


def test_what_is_switched_off_is_not_listed() -> None:
    """Without catalogue, requests and figures a worker needs what it cannot start without and nothing more."""
    settings = Settings(topics=dict.fromkeys(("metrics", "items", "requests", "replies"), "off"))
    assert worker_permissions(settings) == required_permissions(settings)


def test_a_worker_s_transactional_id_is_among_those_allowed() -> None:
    """Every instance's own id begins as the permission says."""
    (prefix,) = (p for p in worker_permissions(Settings(instance="w-1")) if p.is_prefix)
    assert Settings(instance="w-1").transactional_id.startswith(prefix.name)


def test_all_that_is_refused_is_said_at_once() -> None:
    """Each missing operation with its resource, and the command that lists them all; nothing that is allowed."""
    refusing = FakeCluster(ratings=frozenset({DESCRIBE_CONFIGS}), recommendations=frozenset(), tastestream=frozenset())
    with pytest.raises(ClusterError) as refused:
        check(refusing)
    sentence = str(refused.value)
    for missing in (
        "Read on topic 'ratings'",
        "Write on topic 'recommendations'",
        "DescribeConfigs on topic 'recommendations'",
        "Read on group 'tastestream'",
        "`tastestream config permissions`",
    ):
        assert missing in sentence
    assert "ratings.dlq" not in sentence
    assert "DescribeConfigs on topic 'ratings'" not in sentence


def test_where_a_cluster_does_not_say_nothing_is_refused() -> None:
    """A cluster without ACLs, and a topic that is missing, are no refusal."""
    check(FakeCluster())
    check(FakeCluster(ratings=None, tastestream=None))
    check(FakeCluster(), [Permission(ResourceType.TRANSACTIONAL_ID, "any", WRITE)])
