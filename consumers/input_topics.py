"""The input topics from outside the worker: a producer for them, and one user's state folded from what stands there."""

from collections.abc import Iterator, Mapping

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from consumers.cluster import Cluster, TopicsError, missing_topics
from consumers.handler import update_of
from consumers.item_ids import ItemIds, item_of
from consumers.records import Record
from consumers.settings import Settings
from consumers.settings_mapping import history_limits, wire_rules
from consumers.settings_sources import SettingsError
from consumers.topic_reader import TopicReader
from producers.ratings import RatingProducer
from recommender.profile import NEW_USER, Update, UserState, fold
from schemas.decode import RawRecord, WireRules, decoder_for
from schemas.reasons import MalformedRecordError


def rating_producer(settings: Settings) -> RatingProducer:
    """A producer for the first input topic that sends only what this deployment accepts.

    Raises:
        SettingsError: librdkafka does not take one of the properties.
    """
    properties = {k: v for k, v in settings.kafka.producer_config().items() if k != "bootstrap.servers"}
    servers, topic = settings.kafka.bootstrap_servers, settings.input_topics[0]
    try:
        return RatingProducer(servers, topic, wire_rules(settings), properties)
    except ValueError as error:
        raise SettingsError([f"kafka: {error}"]) from error


def folded_user(settings: Settings, user_id: str, items: ItemIds) -> UserState:
    """The state of one user as the events that stand in the input topics make it, by the worker's own fold.

    Items that are new to `items` get dimensions there.

    Raises:
        ClusterError: the brokers do not answer in time.
        TopicsError: an input topic is missing.
    """
    return fold(NEW_USER, _updates(settings, user_id, items), history_limits(settings))


def _updates(settings: Settings, user_id: str, items: ItemIds) -> Iterator[Update]:
    topic_ids = _topic_ids(settings)
    rules, key = wire_rules(settings), user_id.encode()
    timeout_s = settings.kafka.request_timeout_s
    with TopicReader(settings.kafka.consumer_config(), settings.input_topics, timeout_s) as reader:
        for message in reader.to_the_end():
            if message.key() == key and (update := _update(message, topic_ids, rules, items)) is not None:
                yield update


def _topic_ids(settings: Settings) -> dict[str, str]:
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    cluster.check_reachable()
    found = cluster.topics(settings.input_topics)
    if missing := [name for name in settings.input_topics if name not in found]:
        raise TopicsError(missing_topics(missing))
    return {name: topic.topic_id for name, topic in found.items()}


def _update(message: Message, topic_ids: dict[str, str], rules: WireRules, items: ItemIds) -> Update | None:
    """What a record changes; None where the worker makes a dead letter of it."""
    record = record_of(message, topic_ids)
    try:
        decoded = decoder_for("json")(RawRecord(record.key, record.value, record.timestamp_ms), rules)
    except MalformedRecordError:
        return None
    return update_of(record, decoded, items.assigned(item_of(decoded.event)))


def record_of(message: Message, topic_ids: Mapping[str, str]) -> Record:
    """A record of the input topics as the worker sees it; `topic_ids` by topic."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None  # noqa: S101  # only messages without a place have none, and those are errors
    assert partition is not None  # noqa: S101  # as above
    assert offset is not None  # noqa: S101  # as above
    kind, at_ms = message.timestamp()
    return Record(
        topic,
        partition,
        offset,
        f"{topic_ids[topic]}:{partition}",
        message.key(),
        message.value(),
        timestamp_ms=None if kind == TIMESTAMP_NOT_AVAILABLE else at_ms,
    )
