"""What must be true of the Kafka cluster before a worker starts: it answers, and its topics are as they must be."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, ResourceType

from schemas.dead_letters import HEADROOM_BYTES

MESSAGE_MAX_BYTES, BATCH_MAX_BYTES = 1_000_000_000, 1_000_000
"""The largest record that librdkafka can be told to take, and its own limit of a batch."""

_NOT_EVEN_DESCRIBED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})

# What a broker says to a certificate of ours, or to none, comes as a broken connection with the alert in its text.
_CERTIFICATE_ALERT = re.compile(
    r"alert (certificate|bad certificate|unknown ca|unsupported certificate)", re.IGNORECASE
)


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
        self._protocol = properties.get("security.protocol", "PLAINTEXT")
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
            raise ClusterError(self._unreachable(self._last_error or error.args[0])) from error

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

    def allowed_on_topics(self, names: Sequence[str]) -> dict[str, frozenset[AclOperation] | None]:
        """What this user may do to topics, by name; None where the cluster does not say, or has no such topic."""
        return _allowed(
            self.admin.describe_topics(
                TopicCollection(list(names)), include_authorized_operations=True, request_timeout=self._timeout_s
            )
        )

    def allowed_on_groups(self, names: Sequence[str]) -> dict[str, frozenset[AclOperation] | None]:
        """What this user may do to groups, by name; None where the cluster does not say."""
        return _allowed(
            self.admin.describe_consumer_groups(
                list(names), include_authorized_operations=True, request_timeout=self._timeout_s
            )
        )

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

    def _unreachable(self, cause: KafkaError) -> str:
        at = f"Kafka at {self._servers}"
        match cause.code():
            case KafkaError._AUTHENTICATION:  # noqa: SLF001  # librdkafka's name
                login = "kafka.sasl_mechanism, kafka.sasl_username, kafka.sasl_password"
                return f"{at} refuses the login ({login}): {cause.str()}"
            case KafkaError._SSL:  # noqa: SLF001  # librdkafka's name
                return f"{at} shows no certificate that we trust (kafka.ssl_ca_location): {cause.str()}"
        if _CERTIFICATE_ALERT.search(cause.str()):
            own = "kafka.ssl_certificate_location, kafka.ssl_key_location"
            return f"{at} wants a certificate of ours that it trusts ({own}): {cause.str()}"
        return (
            f"no {at} (kafka.bootstrap_servers) that speaks {self._protocol} (kafka.security_protocol) within "
            f"{self._timeout_s:g} s: {cause.str()}"
        )

    def _remember(self, error: KafkaError) -> None:
        # "All brokers are down" says less than what came before it.
        if self._last_error is None or error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # librdkafka's name
            self._last_error = error


def _allowed(answers: Mapping[str, Future[Any]]) -> dict[str, frozenset[AclOperation] | None]:
    return {name: _allowed_on(answer) for name, answer in answers.items()}


def _allowed_on(answer: Future[Any]) -> frozenset[AclOperation] | None:
    try:
        operations = answer.result().authorized_operations
    except KafkaException as error:
        # In a new cluster, say, the first question about a group fails until its coordinator is there: whoever works
        # with it waits for that, and is told by the brokers themselves when it is refused.
        return frozenset() if error.args[0].code() in _NOT_EVEN_DESCRIBED else None
    return None if operations is None else frozenset(operations)


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


def message_sizes(topics: Mapping[str, Topic]) -> dict[str, int]:
    """Properties of a producer that may write whatever these topics take."""
    # The brokers' limits are those of packed batches. A record that came in packed may be far larger, and has to go out
    # again as a dead letter: how large one may be is theirs to say, not the client's.
    batch_bytes = min(topic.max_message_bytes for topic in topics.values())
    return {"message.max.bytes": MESSAGE_MAX_BYTES, "batch.size": min(BATCH_MAX_BYTES, batch_bytes)}
