"""The topics and the groups as tastestream needs them: what they should be, how they differ, and making them so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from consumers.cluster import Cluster, ClusterError, Topic

INPUT_MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's own default limit of a topic."""
DEAD_LETTER_MAX_MESSAGE_BYTES = 67_108_864
"""Far above the input's, because that one is of packed records; brokers and readers take up to 100 MB by default."""
_UNLIMITED = "-1"
_DEAD_LETTER_RETENTION_MS = 30 * 86_400_000
_REMOVAL_RETENTION_MS = 36_500 * 86_400_000
"""A hundred years: a null of the catalogue must not be forgotten, or a removed item is back after a restart."""
_REQUEST_RETENTION_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """A group's timings: how soon the partitions of a crashed worker go to another."""

    name: str
    session_timeout_ms: int
    heartbeat_interval_ms: int

    @property
    def config(self) -> dict[str, str]:
        """As the broker names them."""
        return {
            "consumer.session.timeout.ms": str(self.session_timeout_ms),
            "consumer.heartbeat.interval.ms": str(self.heartbeat_interval_ms),
        }


def topic_specs(
    inputs: Sequence[str], output: str, dead_letters: str, items: str | None, partitions: int
) -> list[TopicSpec]:
    """All topics: inputs kept for ever, so that state can be rebuilt; lists compacted; dead letters for 30 days.

    The catalogue (None: there is none) is compacted and never forgets that an item was removed.
    """
    kept = {
        "cleanup.policy": "delete",
        "retention.ms": _UNLIMITED,
        "retention.bytes": _UNLIMITED,
        "max.message.bytes": str(INPUT_MAX_MESSAGE_BYTES),
    }
    refused = {
        "cleanup.policy": "delete",
        "retention.ms": str(_DEAD_LETTER_RETENTION_MS),
        "max.message.bytes": str(DEAD_LETTER_MAX_MESSAGE_BYTES),
    }
    catalogue = {"cleanup.policy": "compact", "delete.retention.ms": str(_REMOVAL_RETENTION_MS)}
    return [
        *(TopicSpec(name, partitions, kept) for name in inputs),
        TopicSpec(output, partitions, {"cleanup.policy": "compact"}),
        TopicSpec(dead_letters, partitions, refused),
        *([] if items is None else [TopicSpec(items, partitions, catalogue)]),
    ]


def request_topic_specs(names: Sequence[str], partitions: int) -> list[TopicSpec]:
    """The topics of requests and replies: kept for a day, after which nobody waits any more."""
    config = {"cleanup.policy": "delete", "retention.ms": str(_REQUEST_RETENTION_MS)}
    return [TopicSpec(name, partitions, config) for name in names]


def metrics_spec(name: str) -> TopicSpec:
    """The topic of live evaluation's figures: few records, of which the newest per worker is kept."""
    return TopicSpec(name, 1, {"cleanup.policy": "compact"})


def differences(found: Mapping[str, Topic], specs: Sequence[TopicSpec]) -> list[str]:
    """How the cluster's topics differ from what they should be, a sentence each."""
    problems: list[str] = []
    for spec in specs:
        topic = found.get(spec.name)
        if topic is None:
            problems.append(f"{spec.name}: missing")
            continue
        if topic.partitions != spec.partitions:
            problems.append(f"{spec.name}: {topic.partitions} partitions, not {spec.partitions}")
        problems += [
            f"{spec.name}: {key} is {topic.config.get(key)}, not {value}"
            for key, value in spec.config.items()
            if topic.config.get(key) != value
        ]
    return problems


def group_differences(cluster: Cluster, group: GroupSpec) -> list[str]:
    """How the group's timings differ from what they should be, a sentence each.

    Raises:
        ClusterError: the cluster does not answer or refuses.
    """
    found = cluster.config(ResourceType.GROUP, group.name)
    return [
        f"group {group.name}: {key} is {found.get(key)}, not {value}"
        for key, value in group.config.items()
        if found.get(key) != value
    ]


def make(
    cluster: Cluster, specs: Sequence[TopicSpec], groups: Sequence[GroupSpec], replication_factor: int
) -> list[str]:
    """Create what is missing, correct settings that differ, set the groups' timings; returns what was done.

    Partition counts of topics that exist are left alone: another count would send users elsewhere.

    Raises:
        ClusterError: the cluster refuses.
    """
    found = cluster.topics([spec.name for spec in specs])
    missing = [spec for spec in specs if spec.name not in found]
    done = _create(cluster.admin, missing, replication_factor)
    wrong = {
        spec.name: {key: value for key, value in spec.config.items() if found[spec.name].config.get(key) != value}
        for spec in specs
        if spec.name in found
    }
    resources = {ConfigResource(ResourceType.TOPIC, name): config for name, config in wrong.items() if config}
    resources |= {ConfigResource(ResourceType.GROUP, group.name): group.config for group in groups}
    _alter(cluster.admin, resources)
    done += [f"{name}: {key} = {value}" for name, config in wrong.items() for key, value in config.items()]
    return done + [
        f"group {group.name}: {', '.join(f'{key} = {value}' for key, value in group.config.items())}"
        for group in groups
    ]


def _create(admin: AdminClient, specs: Sequence[TopicSpec], replication_factor: int) -> list[str]:
    if not specs:
        return []
    topics = [
        NewTopic(
            spec.name, num_partitions=spec.partitions, replication_factor=replication_factor, config=dict(spec.config)
        )
        for spec in specs
    ]
    for name, future in admin.create_topics(topics).items():
        try:
            future.result()
        except KafkaException as error:
            raise ClusterError(f"the topic {name} cannot be created: {error.args[0].str()}") from error
    return [f"{spec.name}: created with {spec.partitions} partitions" for spec in specs]


def _alter(admin: AdminClient, resources: Mapping[ConfigResource, Mapping[str, str]]) -> None:
    for resource, config in resources.items():
        for key, value in config.items():
            resource.add_incremental_config(ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET))
    for resource, future in admin.incremental_alter_configs(list(resources)).items():
        try:
            future.result()
        except KafkaException as error:
            raise ClusterError(f"the settings of {resource.name} cannot be changed: {error.args[0].str()}") from error
