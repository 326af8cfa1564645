"""The catalogue from outside a worker: its topic read once, and a producer for it."""

from consumers.catalogue_records import take
from consumers.cluster import Cluster, TopicsError, missing_topics
from consumers.settings import Settings
from consumers.settings_mapping import wire_rules
from consumers.settings_sources import SettingsError
from consumers.topic_reader import TopicReader
from producers.items import ItemProducer
from recommender.catalogue import Catalogue


def read_catalogue(settings: Settings) -> Catalogue:
    """The catalogue as its topic has it now; an empty one where there is no such topic.

    Raises:
        ClusterError: the brokers do not answer in time, or refuse.
    """
    catalogue, topic, rules = Catalogue(settings.limits.catalogue_max_items), settings.items_topic, wire_rules(settings)
    if topic is not None and topic in _cluster(settings).topics([topic]):
        timeout_s = settings.kafka.request_timeout_s
        with TopicReader(settings.kafka.consumer_config(), [topic], timeout_s) as reader:
            for message in reader.to_the_end():
                take(catalogue, message, rules)
    return catalogue


def item_producer(settings: Settings) -> ItemProducer:
    """A producer for the topic of items that sends only what this deployment accepts.

    Raises:
        ClusterError: the brokers do not answer.
        SettingsError: there is to be no catalogue, or librdkafka does not take one of the properties.
        TopicsError: the topic is missing.
    """
    topic = settings.items_topic
    if topic is None:
        raise SettingsError(["topics.items: is off, so there is no catalogue; name its topic"])
    if topic not in _cluster(settings).topics([topic]):
        raise TopicsError(missing_topics([topic]))
    properties = {k: v for k, v in settings.kafka.producer_config().items() if k != "bootstrap.servers"}
    try:
        return ItemProducer(settings.kafka.bootstrap_servers, topic, wire_rules(settings), properties)
    except ValueError as error:
        raise SettingsError([f"kafka: {error}"]) from error


def _cluster(settings: Settings) -> Cluster:
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    cluster.check_reachable()
    return cluster
