"""Topics and the group: what they should be, how they differ, and what is done about it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigResource, NewTopic, ResourceType

from consumers.cluster import Cluster, ClusterError, Topic, TopicsError, check_topics
from consumers.settings import Settings
from consumers.settings_mapping import topic_plan
from consumers.topics import (
    DEAD_LETTER_MAX_MESSAGE_BYTES,
    GroupSpec,
    TopicSpec,
    differences,
    group_differences,
    make,
    topic_specs,
)
from schemas.dead_letters import HEADROOM_BYTES

SPECS = topic_specs(["ratings", "more"], "lists", "dead", "items", 6)
GROUP = GroupSpec("workers", 10_000, 1_000)


def as_specified(spec: TopicSpec, **changed: Any) -> Topic:
    """A topic that is as it should be, and has settings of its own besides."""
    config = {**spec.config, "preallocate": "false"}
    return Topic(spec.name, "an-id", changed.get("partitions", spec.partitions), config)


def found(*specs: TopicSpec) -> dict[str, Topic]:
    return {spec.name: as_specified(spec) for spec in specs}


def done(error: KafkaException | None = None) -> Future[None]:
    future: Future[None] = Future()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
    return future


@dataclass
class FakeAdmin:
    """Takes what it is asked for, and refuses the names in `refused`."""

    refused: frozenset[str] = frozenset()
    created: list[NewTopic] = field(default_factory=list)
    altered: dict[str, dict[str, str]] = field(default_factory=dict)

    def create_topics(self, topics: list[NewTopic]) -> dict[str, Future[None]]:
        self.created += topics
        return {topic.topic: done(self._error(topic.topic)) for topic in topics}

    def incremental_alter_configs(self, resources: list[ConfigResource]) -> dict[ConfigResource, Future[None]]:
        for resource in resources:
            entries = resource.incremental_configs
            assert all(entry.incremental_operation is AlterConfigOpType.SET for entry in entries)
            self.altered[resource.name] = {entry.name: str(entry.value) for entry in entries}
        return {resource: done(self._error(resource.name)) for resource in resources}

    def _error(self, name: str) -> KafkaException | None:
        return KafkaException(KafkaError(KafkaError.POLICY_VIOLATION, "refused")) if name in self.refused else None


class FakeCluster(Cluster):
    """A cluster with these topics and these settings of the group."""

    def __init__(self, topics: Mapping[str, Topic], group: Mapping[str, str], admin: Any) -> None:
        self._topics = topics
        self._group = group
        self.admin = admin

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        return {name: self._topics[name] for name in names if name in self._topics}

    def config(self, kind: ResourceType, name: str) -> dict[str, str]:
        assert (kind, name) == (ResourceType.GROUP, GROUP.name)
        return dict(self._group)


def test_inputs_are_kept_for_ever() -> None:
    """Law: state can be rebuilt from the inputs at any time."""
    for spec in SPECS[:2]:
        assert spec.config["cleanup.policy"] == "delete"
        assert (spec.config["retention.ms"], spec.config["retention.bytes"]) == ("-1", "-1")


def test_of_the_lists_the_newest_is_kept() -> None:
    """Law: the output is compacted, and never deleted by age."""
    assert SPECS[2] == TopicSpec("lists", 6, {"cleanup.policy": "compact"})


def test_the_catalogue_is_compacted_and_never_forgets_a_removal() -> None:
    """Law: after years a null still says that an item was removed; where there is no catalogue there is no topic."""
    assert SPECS[4].config["cleanup.policy"] == "compact"
    assert int(SPECS[4].config["delete.retention.ms"]) > 10 * 365 * 86_400_000
    assert [spec.name for spec in topic_specs(["ratings"], "lists", "dead", None, 6)] == ["ratings", "lists", "dead"]


def test_of_the_figures_the_newest_per_worker_are_kept() -> None:
    """Law: a compacted topic of one partition is made beside the others, unless it is switched off."""
    specs, _ = topic_plan(Settings(namespace="blue"))
    assert specs[-1] == TopicSpec("blue.metrics", 1, {"cleanup.policy": "compact"})
    without, _ = topic_plan(Settings(namespace="blue", topics={"metrics": "off"}))
    assert without == specs[:-1]


def test_the_largest_input_fits_into_a_dead_letter() -> None:
    """Law: the topics that we make pass our own check."""
    topics = found(*SPECS)
    topics["lists"] = Topic("lists", "an-id", 6, {"max.message.bytes": "1048588"})
    check_topics(topics, ["ratings", "more"], "lists", "dead")


def test_a_dead_letter_topic_that_is_too_small_is_refused() -> None:
    """Law: a bad record that could not be put aside would stop the worker for ever."""
    topics = {name: Topic(name, "an-id", 1, {"max.message.bytes": "1000"}) for name in ("ratings", "lists", "dead")}
    with pytest.raises(TopicsError, match=rf"max.message.bytes of dead is 1000, .* {1000 + HEADROOM_BYTES}"):
        check_topics(topics, ["ratings"], "lists", "dead")


def test_topics_as_specified_differ_in_nothing() -> None:
    """Law: settings that nobody asked for are nobody's business."""
    assert differences(found(*SPECS), SPECS) == []


def test_every_difference_is_a_sentence() -> None:
    """Law: what is missing, another partition count and another or no value of a setting are each named."""
    topics = found(*SPECS[1:3], SPECS[4])
    topics["more"] = as_specified(SPECS[1], partitions=4)
    topics["lists"] = Topic("lists", "an-id", 6, {"cleanup.policy": "delete"})
    topics["dead"] = Topic("dead", "an-id", 6, {**SPECS[3].config, "retention.ms": "1"})
    del topics["dead"].config["max.message.bytes"]  # type: ignore[attr-defined]  # a Mapping to readers, a dict here
    assert differences(topics, SPECS) == [
        "ratings: missing",
        "more: 4 partitions, not 6",
        "lists: cleanup.policy is delete, not compact",
        "dead: retention.ms is 1, not 2592000000",
        f"dead: max.message.bytes is None, not {DEAD_LETTER_MAX_MESSAGE_BYTES}",
    ]


def test_the_timings_of_the_group_are_compared_alone() -> None:
    """Law: a timing that differs or was never set is named; others are left alone."""
    assert group_differences(FakeCluster({}, {**GROUP.config, "streams.x": "1"}, None), GROUP) == []
    assert group_differences(FakeCluster({}, {"consumer.session.timeout.ms": "45000"}, None), GROUP) == [
        "group workers: consumer.session.timeout.ms is 45000, not 10000",
        "group workers: consumer.heartbeat.interval.ms is None, not 1000",
    ]


def test_making_creates_what_is_missing_and_corrects_the_rest() -> None:
    """Law: partition counts of topics that exist are left alone, and so is every setting that is right."""
    topics = found(*SPECS[1:])
    topics["more"] = as_specified(SPECS[1], partitions=4)
    topics["lists"] = Topic("lists", "an-id", 6, {"cleanup.policy": "delete"})
    admin = FakeAdmin()
    report = make(FakeCluster(topics, {}, admin), SPECS, [GROUP], replication_factor=3)
    (created,) = admin.created
    assert (created.topic, created.num_partitions, created.replication_factor) == ("ratings", 6, 3)
    assert created.config == SPECS[0].config
    assert admin.altered == {"lists": {"cleanup.policy": "compact"}, "workers": GROUP.config}
    assert report == [
        "ratings: created with 6 partitions",
        "lists: cleanup.policy = compact",
        "group workers: consumer.session.timeout.ms = 10000, consumer.heartbeat.interval.ms = 1000",
    ]


def test_making_what_is_made_creates_nothing() -> None:
    """Law: a second run changes nothing; the group's timings are set anew, for they cannot do harm."""
    admin = FakeAdmin()
    make(FakeCluster(found(*SPECS), GROUP.config, admin), SPECS, [GROUP], replication_factor=1)
    assert (admin.created, list(admin.altered)) == ([], ["workers"])


@pytest.mark.parametrize(("refused", "doing"), [("ratings", "created"), ("lists", "changed"), ("workers", "changed")])
def test_a_refusal_names_what_was_refused(refused: str, doing: str) -> None:
    """Law: the cluster's own words come with the name of the topic or group."""
    topics = {"lists": Topic("lists", "an-id", 6, {})}
    cluster = FakeCluster(topics, {}, FakeAdmin(frozenset({refused})))
    with pytest.raises(ClusterError, match=f"{refused} cannot be {doing}: refused"):
        make(cluster, SPECS, [GROUP], replication_factor=1)


def test_input_topics_of_different_size_are_refused() -> None:
    """Partition n of every input topic goes to one worker, so all must have as many partitions."""
    topics = {name: Topic(name, name, 3, {"max.message.bytes": "1000000"}) for name in ("ratings", "lists")}
    topics["more"] = Topic("more", "more", 4, {"max.message.bytes": "1000000"})
    topics["dead"] = Topic("dead", "dead", 3, {"max.message.bytes": "2000000"})
    with pytest.raises(TopicsError, match="different numbers of partitions"):
        check_topics(topics, ["ratings", "more"], "lists", "dead")
