"""What must be true of the Kafka cluster before a worker starts: it answers, and its topics are as they must be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from schemas.dead_letters import HEADROOM_BYTES


class ClusterError(Exception):
    """The cluster cannot be reached, or refuses."""


class TopicsError(Exception):
    """Topics are missing, or not as they must be."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the cluster has it."""

    name: str
    topic_id: str
    partitions: int
    config: Mapping[str, str]

    @property
    def max_message_bytes(self) -> int:
        """The size limit of one record batch."""
        return int(self.config["max.message.bytes"])


class Cluster:
    """Asks a cluster about itself; every answer comes within `timeout_s` or as a `ClusterError`.

    Raises:
        ClusterError: the client cannot be made of these properties.
    """

    def __init__(self, properties: Mapping[str, Any], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._servers = properties.get("bootstrap.servers", "")
        self._last_error: KafkaError | None = None
        watched: dict[str, Any] = {**properties, "error_cb": self._remember, "log_level": 0}
        try:
            self.admin = AdminClient(watched)
        except KafkaException as error:
            raise ClusterError(f"the settings of Kafka cannot be used (kafka.*): {error.args[0].str()}") from error

    def check_reachable(self) -> None:
        """See that the cluster answers.

        Raises:
            ClusterError: it does not; says what was tried, and what the broker or the network said.
        """
        try:
            self.admin.list_topics(timeout=self._timeout_s)
        except KafkaException as error:
            self.admin.poll(0)
            cause = self._last_error or error.args[0]
            if cause.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001  # librdkafka's name
                raise ClusterError(
                    f"Kafka at {self._servers} refuses the login (kafka.sasl_mechanism, kafka.sasl_username, "
                    f"kafka.sasl_password): {cause.str()}"
                ) from error
            raise ClusterError(
                f"no Kafka at {self._servers} (kafka.bootstrap_servers) within {self._timeout_s:g} s: {cause.str()}"
            ) from error

    def topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """The topics that exist, by name, with their configuration.

        Raises:
            ClusterError: the cluster does not answer or refuses.
        """
        ids = self._described(names)
        return {name: Topic(name, *ids[name], self.config(ResourceType.TOPIC, name)) for name in ids}

    def config(self, kind: ResourceType, name: str) -> dict[str, str]:
        """The settings of one topic or group.

        Raises:
            ClusterError: the cluster does not answer or refuses.
        """
        resource = ConfigResource(kind, name)
        try:
            future = self.admin.describe_configs([resource], request_timeout=self._timeout_s)[resource]
            return {key: entry.value for key, entry in future.result().items()}
        except KafkaException as error:
            raise ClusterError(f"the settings of {name} cannot be read: {error.args[0].str()}") from error

    def _described(self, names: Sequence[str]) -> dict[str, tuple[str, int]]:
        found: dict[str, tuple[str, int]] = {}
        futures = self.admin.describe_topics(TopicCollection(list(names)), request_timeout=self._timeout_s)
        for name, future in futures.items():
            try:
                topic = future.result()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise ClusterError(f"the topic {name} cannot be described: {error.args[0].str()}") from error
            found[name] = (str(topic.topic_id), len(topic.partitions))
        return found

    def _remember(self, error: KafkaError) -> None:
        # "All brokers are down" says less than what came before it.
        if self._last_error is None or error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # librdkafka's name
            self._last_error = error


def missing_topics(names: Sequence[str]) -> str:
    """The sentence that says which topics are missing, and what to do."""
    return f"missing topics: {', '.join(names)}; make them with `tastestream topics create`"


def check_topics(found: Mapping[str, Topic], inputs: Sequence[str], output: str, dead_letters: str) -> None:
    """See that every topic is there and that the largest input still fits into a dead letter.

    Raises:
        TopicsError: one is missing or too small.
    """
    missing = [name for name in (*inputs, output, dead_letters) if name not in found]
    if missing:
        raise TopicsError(missing_topics(missing))
    if set(inputs) & {output, dead_letters} or output == dead_letters:
        raise TopicsError("input, output and dead letters need topics of their own (topics.*)")
    counts = {name: found[name].partitions for name in inputs}
    if len(set(counts.values())) > 1:
        raise TopicsError(
            f"the input topics have different numbers of partitions ({counts}): a user's events would go to different "
            "workers; give all the same number"
        )
    room = found[dead_letters].max_message_bytes
    for name in inputs:
        needed = found[name].max_message_bytes + HEADROOM_BYTES
        if room < needed:
            raise TopicsError(
                f"max.message.bytes of {dead_letters} is {room}, but a dead letter of {name} may need {needed}: "
                "raise it with `tastestream topics create`"
            )
