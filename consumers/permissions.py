"""What a worker must be allowed to do in a Kafka cluster that checks it: the whole list, and a look before it starts.

Read and Write on a topic or group imply Describe. A worker needs nothing of the cluster as such: its producer is
transactional, which takes Write on its transactional id instead of IdempotentWrite.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka.admin import AclOperation, ResourcePatternType, ResourceType

from consumers.cluster import Cluster, ClusterError
from consumers.settings import Settings

_RESOURCES: Mapping[ResourceType, str] = {
    ResourceType.TOPIC: "topic",
    ResourceType.GROUP: "group",
    ResourceType.TRANSACTIONAL_ID: "transactional id",
}
_OPERATIONS: Mapping[AclOperation, str] = {
    AclOperation.READ: "Read",
    AclOperation.WRITE: "Write",
    AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs",
}


class PermissionRow(NamedTuple):
    """A permission as `tastestream config permissions` lists it."""

    resource: str
    pattern: str
    name: str
    operation: str


@dataclass(frozen=True, slots=True)
class Permission:
    """An operation on a resource of the cluster; `is_prefix`: on every resource whose name begins so."""

    kind: ResourceType
    name: str
    operation: AclOperation
    is_prefix: bool = False

    @property
    def pattern(self) -> ResourcePatternType:
        """How an ACL for it names its resource."""
        return ResourcePatternType.PREFIXED if self.is_prefix else ResourcePatternType.LITERAL

    def row(self) -> PermissionRow:
        """As an operator reads it."""
        return PermissionRow(_RESOURCES[self.kind], self.pattern.name.lower(), self.name, _OPERATIONS[self.operation])

    def __str__(self) -> str:
        """As errors name it."""
        return f"{_OPERATIONS[self.operation]} on {_RESOURCES[self.kind]} {self.name!r}"


def worker_permissions(settings: Settings) -> list[Permission]:
    """All that the Kafka user of these settings' workers needs, and nothing more."""
    catalogue = settings.items_topic
    readable = [] if catalogue is None else [Permission(ResourceType.TOPIC, catalogue, AclOperation.READ)]
    return [*required_permissions(settings), *readable, *request_permissions(settings), *metrics_permissions(settings)]


def request_permissions(settings: Settings) -> list[Permission]:
    """What it takes to answer requests; without it a worker does everything else."""
    if not settings.request_topics:
        return []
    requests, replies = settings.request_topics
    topic, places = ResourceType.TOPIC, (replies, *settings.requests.reply_topics)
    return [
        Permission(topic, requests, AclOperation.READ),
        *(Permission(topic, name, AclOperation.WRITE) for name in places),
        *(Permission(topic, name, AclOperation.DESCRIBE_CONFIGS) for name in (requests, *places)),
        Permission(ResourceType.GROUP, settings.request_group, AclOperation.READ),
    ]


def required_permissions(settings: Settings) -> list[Permission]:
    """What a worker cannot start without: all but catalogue, requests and figures, which it does without."""
    outputs = (settings.recommendations_topic, settings.dead_letter_topic)
    topic = ResourceType.TOPIC
    return [
        *(Permission(topic, name, AclOperation.READ) for name in settings.input_topics),
        *(Permission(topic, name, AclOperation.WRITE) for name in outputs),
        *(Permission(topic, name, AclOperation.DESCRIBE_CONFIGS) for name in (*settings.input_topics, *outputs)),
        Permission(ResourceType.GROUP, settings.group, AclOperation.READ),
        # Every worker of the group has an id of its own, which begins so.
        Permission(ResourceType.TRANSACTIONAL_ID, f"{settings.group}.", AclOperation.WRITE, is_prefix=True),
    ]


def metrics_permissions(settings: Settings) -> list[Permission]:
    """What it takes to publish the figures of live evaluation."""
    name, operations = settings.metrics_topic, (AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS)
    return [] if name is None else [Permission(ResourceType.TOPIC, name, operation) for operation in operations]


def check_permissions(settings: Settings) -> None:
    """See that Kafka answers and lets these settings' user do what a worker cannot do without.

    Raises:
        ClusterError: Kafka does not answer, or it refuses; names all that it refuses.
    """
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    cluster.check_reachable()
    check_permitted(cluster, required_permissions(settings))


def check_permitted(cluster: Cluster, needed: Sequence[Permission]) -> None:
    """See that the cluster allows what is needed of topics and groups; of transactional ids it does not tell.

    A topic that does not exist is passed over where it may be described: others say that it is missing.

    Raises:
        ClusterError: it does not; names all that is refused.
    """
    topics = [permission.name for permission in needed if permission.kind is ResourceType.TOPIC]
    groups = [permission.name for permission in needed if permission.kind is ResourceType.GROUP]
    allowed = {
        ResourceType.TOPIC: cluster.allowed_on_topics(list(dict.fromkeys(topics))),
        ResourceType.GROUP: cluster.allowed_on_groups(list(dict.fromkeys(groups))),
    }
    refused = [
        permission
        for permission in needed
        if (operations := allowed.get(permission.kind, {}).get(permission.name)) is not None
        and permission.operation not in operations
    ]
    if refused:
        raise ClusterError(f"Kafka refuses this user what a worker needs: {must_allow(refused)}")


def must_allow(permissions: Iterable[Permission]) -> str:
    """What to do where these permissions are missing."""
    return f"allow {', '.join(map(str, permissions))} (`tastestream config permissions` lists all it takes)"
