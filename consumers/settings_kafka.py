"""The settings of Kafka: how to reach it, what librdkafka is told, and what nobody may tell it.

- What has a setting of its own is refused among the further librdkafka properties: there is one way to set it.
- What the delivery guarantee rests on is refused with the reason.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from consumers.settings_section import SEPARATED_BY_COMMAS, Section

TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")

_OFFSETS = "offsets are committed by the worker, in the transaction that carries the lists"
_EXACTLY_ONCE = "exactly once needs it as the worker sets it"
_GROUP_SIDE = "KIP-848 groups have it on the broker: "
GUARDED_PROPERTIES: Mapping[str, str] = {
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "metadata.broker.list": "set kafka.bootstrap_servers",
    "group.id": "set kafka.group",
    "security.protocol": "set kafka.security_protocol",
    "sasl.mechanism": "set kafka.sasl_mechanism",
    "sasl.mechanisms": "set kafka.sasl_mechanism",
    "sasl.username": "set kafka.sasl_username",
    "sasl.password": "set kafka.sasl_password",
    "ssl.ca.location": "set kafka.ssl_ca_location",
    "ssl.certificate.location": "set kafka.ssl_certificate_location",
    "ssl.key.location": "set kafka.ssl_key_location",
    "ssl.key.password": "set kafka.ssl_key_password",
    "reconnect.backoff.max.ms": "set kafka.reconnect_backoff_max_ms",
    "transactional.id": "set kafka.group, instance or namespace: it is made of them",
    "transaction.timeout.ms": "set limits.transaction_timeout_s",
    "session.timeout.ms": _GROUP_SIDE + "set topics.session_timeout_ms",
    "heartbeat.interval.ms": _GROUP_SIDE + "set topics.heartbeat_interval_ms",
    "partition.assignment.strategy": _GROUP_SIDE + "set group.remote.assignor if you must",
    "group.protocol": "the worker needs KIP-848 groups (consumer)",
    "group.protocol.type": "the worker needs KIP-848 groups (consumer)",
    "group.instance.id": "static membership keeps a restarted worker out until its old session expires",
    "enable.auto.commit": _OFFSETS,
    "auto.commit.enable": _OFFSETS,
    "auto.commit.interval.ms": _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "offset.store.method": _OFFSETS,
    "auto.offset.reset": "a partition begins where store and group say, never where a reset policy would",
    "isolation.level": "events of aborted transactions must not count (read_committed)",
    "enable.partition.eof": "the worker takes the end of a partition for an error",
    "allow.auto.create.topics": "topics are made by `tastestream topics create`, with their settings",
    "enable.idempotence": _EXACTLY_ONCE,
    "enable.gapless.guarantee": _EXACTLY_ONCE,
    "acks": _EXACTLY_ONCE,
    "request.required.acks": _EXACTLY_ONCE,
    "retries": _EXACTLY_ONCE,
    "message.send.max.retries": _EXACTLY_ONCE,
    "max.in.flight": _EXACTLY_ONCE,
    "max.in.flight.requests.per.connection": _EXACTLY_ONCE,
    "queuing.strategy": _EXACTLY_ONCE,
    "partitioner": "a user's lists must stay in one partition, the one that Java clients choose (murmur2_random)",
}


def _unguarded(name: str) -> str:
    if reason := GUARDED_PROPERTIES.get(name):
        raise ValueError(f"cannot be set here: {reason}")
    return name


def _property_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


# The values are secrets to pydantic, since some are (`ssl.key.pem`): what may be shown is decided when it is.
Properties = dict[Annotated[str, AfterValidator(_unguarded)], Annotated[SecretStr, BeforeValidator(_property_text)]]


def check_topic_name(name: str) -> str:
    """The name, if Kafka takes it.

    Raises:
        ValueError: it does not.
    """
    if not TOPIC_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no topic name: 1 to 249 letters, digits, '.', '_' or '-'")
    return name


def _unless_off(value: Any) -> Any:
    return None if value in ("", "off") else value


TopicName = Annotated[str, AfterValidator(check_topic_name)]
OptionalTopicName = Annotated[TopicName | None, BeforeValidator(_unless_off)]


class KafkaSettings(Section):
    """How to reach Kafka, and as whom."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "localhost:9092"
    """Brokers to ask first, host:port, separated by commas."""
    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] = "tastestream"
    """The consumer group of all workers that share the work."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How connections are secured."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None = None
    """How to log in, with SASL_PLAINTEXT and SASL_SSL."""
    sasl_username: str | None = None
    """User name for PLAIN and SCRAM."""
    sasl_password: SecretStr | None = None
    """Password for PLAIN and SCRAM."""
    ssl_ca_location: str | None = None
    """File with the certificates to trust (PEM)."""
    ssl_certificate_location: str | None = None
    """File with our own certificate (PEM), where the brokers ask for one."""
    ssl_key_location: str | None = None
    """File with the key of our own certificate (PEM)."""
    ssl_key_password: SecretStr | None = None
    """Password of that key."""
    properties: Properties = Field(default_factory=dict)
    """Further librdkafka properties for every client."""
    consumer_properties: Properties = Field(default_factory=dict)
    """Further librdkafka properties for the consumer."""
    producer_properties: Properties = Field(default_factory=dict)
    """Further librdkafka properties for the producer."""
    request_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10
    """How long a question to the cluster may take."""
    reconnect_backoff_max_ms: Annotated[int, Field(ge=100, le=600_000)] = 1_000
    """How long a broker that could not be reached is left alone at most, which it may be back for already."""

    @model_validator(mode="after")
    def _refuse_half_a_login(self) -> Self:
        protocol = self.security_protocol
        uses_sasl, uses_tls = protocol.startswith("SASL"), protocol.endswith("SSL")
        for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
            if getattr(self, name) is not None and not uses_sasl:
                raise ValueError(f"{name} has no use with security_protocol {protocol}: set SASL_SSL, or leave it out")
        for name in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location", "ssl_key_password"):
            if getattr(self, name) is not None and not uses_tls:
                raise ValueError(f"{name} has no use with security_protocol {protocol}: set SSL or SASL_SSL")
        if uses_sasl and self.sasl_mechanism is None:
            raise ValueError(f"security_protocol {protocol} needs sasl_mechanism")
        needs_password = uses_sasl and (self.sasl_mechanism or "").startswith(("PLAIN", "SCRAM"))
        if needs_password and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(f"sasl_mechanism {self.sasl_mechanism} needs sasl_username and sasl_password")
        return self

    def client_config(self) -> dict[str, str]:
        """What every librdkafka client is told, secrets in the clear: hand it to a client, never to a log."""
        return self._connection() | _revealed(self.properties)

    def consumer_config(self) -> dict[str, str]:
        """`client_config` with the consumer's own properties; group and guarantee are the source's to add."""
        return self.client_config() | _revealed(self.consumer_properties)

    def producer_config(self) -> dict[str, str]:
        """`client_config` with the producer's own properties; transaction and guarantee are the sink's to add."""
        return self.client_config() | _revealed(self.producer_properties)

    def _connection(self) -> dict[str, str]:
        known = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": _plain(self.sasl_password),
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": _plain(self.ssl_key_password),
            "reconnect.backoff.max.ms": str(self.reconnect_backoff_max_ms),
        }
        return {name: value for name, value in known.items() if value is not None}


class TopicSettings(Section):
    """The topics, and how `tastestream topics create` makes them."""

    ratings: Annotated[tuple[TopicName, ...], SEPARATED_BY_COMMAS, Field(min_length=1, max_length=100)] = ("ratings",)
    """Input topics; in a variable separated by commas."""
    recommendations: TopicName = "recommendations"
    """Where lists go."""
    dead_letters: TopicName = "ratings.dlq"
    """Where records go that cannot be used."""
    items: OptionalTopicName = "items"
    """The catalogue: titles, genres, tags and links of items; "off": there is none."""
    requests: OptionalTopicName = "requests"
    """Where questions come in; "off": none are answered."""
    replies: OptionalTopicName = "replies"
    """Where answers go that ask for no other topic; "off" together with requests."""
    metrics: OptionalTopicName = "metrics"
    """Where the figures of live evaluation go; "off": nowhere but to /metrics."""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 6
    """Partitions of a topic that is made."""
    replication_factor: Annotated[int, Field(ge=1, le=15)] = 1
    """Copies of a topic that is made."""
    session_timeout_ms: Annotated[int, Field(ge=1_000, le=3_600_000)] = 45_000
    """After how long a silent worker loses its partitions; the brokers' own limits apply too."""
    heartbeat_interval_ms: Annotated[int, Field(ge=100, le=300_000)] = 5_000
    """How often a worker tells the group that it lives."""

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        if (self.requests is None) != (self.replies is None):
            raise ValueError("requests and replies are both off, or neither: a question needs a place for its answer")
        optional = [name for name in (self.items, self.requests, self.replies, self.metrics) if name is not None]
        names = [*self.ratings, self.recommendations, self.dead_letters, *optional]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"topic {twice[0]!r} is named twice: every topic has one purpose")
        if self.heartbeat_interval_ms >= self.session_timeout_ms:
            raise ValueError("heartbeat_interval_ms must lie below session_timeout_ms")
        return self


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _revealed(properties: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in properties.items()}
