"""What the producers put on a real topic: where it lies, under which key, in which order, and how it decodes."""

from collections import defaultdict
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Message, TopicPartition, murmur2
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import TIMESTAMP_CREATE_TIME, NewTopic

from producers.datasets import bundled_dataset
from producers.ratings import RatingProducer
from producers.record_producer import DeliveryError
from producers.replay import ReplayPlan, replay
from producers.synthetic import SyntheticPlan, synthetic_dataset
from producers.tables import time_order
from schemas.decode import RawRecord, WireRules, decode_json
from schemas.events import Event, Forgotten, ProfileChanged, Rated, Retracted

PARTITIONS = 4
WAIT_S = 60.0
EVENTS = 500

ReadTopic = Callable[[int], list[Message]]


@pytest.fixture
def topic(broker: str, topic_prefix: str) -> str:
    name = f"{topic_prefix}ratings"
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)])[name].result(WAIT_S)
    return name


@pytest.fixture
def read(broker: str, topic: str) -> ReadTopic:
    """All records of the topic, once it is sure that there are as many as expected and no more."""

    def records(count: int) -> list[Message]:
        consumer = Consumer({"bootstrap.servers": broker, "group.id": topic, "enable.auto.commit": False})
        try:
            partitions = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
            ends = [consumer.get_watermark_offsets(partition, WAIT_S) for partition in partitions]
            assert sum(high - low for low, high in ends) == count
            consumer.assign(partitions)
            return consumer.consume(count, WAIT_S)
        finally:
            consumer.close()

    return records


def decoded(message: Message) -> Event:
    record = RawRecord(message.key(), message.value(), message.timestamp()[1])
    return decode_json(record, WireRules()).event


def test_every_record_lies_where_java_clients_look(broker: str, topic: str, read: ReadTopic) -> None:
    """Keys are user ids in UTF-8, partitions those of murmur2, as every Java client places them."""
    users = [*(str(number) for number in range(40)), "ann", "Zoë", "用户"]
    with RatingProducer(broker, topic) as producer:
        for user in users:
            producer.rate(user, 1, 3.5)
    keys = {message.key(): message.partition() for message in read(len(users))}
    assert keys == {user.encode(): murmur2(user.encode(), PARTITIONS) for user in users}
    assert len(set(keys.values())) == PARTITIONS


def test_one_users_life_is_read_as_it_was_sent(broker: str, topic: str, read: ReadTopic) -> None:
    """All four kinds of events arrive, in order, and mean to the worker's decoder what was said."""
    with RatingProducer(broker, topic) as producer:
        producer.rate(42, 318, 4.5, "2020-01-01T00:00:00Z", event_id="a")
        producer.retract("42", 318, 1_577_836_800_001)
        producer.profile("42", {"age": 31, "gender": None})
        producer.forget("42")
    assert [decoded(message) for message in read(4)] == [
        Rated(user_id="42", item_id=318, rating=4.5, rated_at=1_577_836_800_000, event_id="a"),
        Retracted(type="retracted", user_id="42", item_id=318, rated_at=1_577_836_800_001),
        ProfileChanged(type="profile", user_id="42", attributes={"age": 31, "gender": None}),
        Forgotten(type="forget", user_id="42"),
    ]


def test_a_replay_arrives_whole_in_order_and_now(broker: str, topic: str, read: ReadTopic) -> None:
    """The first 500 ratings of the shipped data set, each user's in time order, each at its own time but sent today."""
    data = bundled_dataset()
    seen: list[int] = []
    with RatingProducer(broker, topic) as producer:
        result = replay(ReplayPlan(data, events=EVENTS), producer, lambda sent, _total: seen.append(sent))
    messages = read(EVENTS)
    expected: defaultdict[str, list[tuple[object, ...]]] = defaultdict(list)
    for user, *rating in time_order(data.ratings).take(slice(EVENTS)).rows():
        expected[str(user)].append(tuple(rating))
    arrived: defaultdict[str, list[tuple[object, ...]]] = defaultdict(list)
    for event in map(decoded, messages):
        assert isinstance(event, Rated)
        arrived[event.user_id].append((event.item_id, event.rating, event.rated_at))
    assert arrived == expected
    assert (result.events, seen[-1]) == (EVENTS, EVENTS)
    last_ms = int(data.ratings.rated_at_ms.max())
    assert all(message.timestamp()[0] == TIMESTAMP_CREATE_TIME for message in messages)
    assert all(message.timestamp()[1] > last_ms for message in messages)


def test_attributes_come_before_ratings(broker: str, topic: str, read: ReadTopic) -> None:
    """Of each user the first record is the profile, where the data set knows one."""
    data = synthetic_dataset(SyntheticPlan(users=10, items=20, mean_ratings_per_user=5))
    with RatingProducer(broker, topic) as producer:
        result = replay(ReplayPlan(data), producer)
    first: dict[str, Event] = {}
    for message in read(result.events + result.profiles):
        event = decoded(message)
        first.setdefault(event.user_id, event)
    assert len(first) == result.profiles == 10
    for user_id, event in first.items():
        assert isinstance(event, ProfileChanged)
        assert event.attributes == data.users[int(user_id)].attributes()


def test_a_missing_topic_is_an_error_that_names_it(broker: str, topic_prefix: str) -> None:
    """What cannot be delivered surfaces when the producer is closed, with topic, key and cause."""
    missing = f"{topic_prefix}none"
    producer = RatingProducer(broker, missing, settings={"topic.metadata.propagation.max.ms": 100})
    producer.rate("42", 1, 3)
    with pytest.raises(DeliveryError, match=f"{missing}.*b'42'.*Unknown topic"):
        producer.close()
