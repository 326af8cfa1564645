"""The catalogue from outside a worker: its topic read once, and a producer for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consumers.catalogue_records import take
from consumers.cluster import Cluster, TopicsError, missing_topics
from consumers.item_ids import ItemId, ItemIds, private_ids
from consumers.settings import Settings
from consumers.settings_mapping import wire_rules
from consumers.settings_sources import SettingsError
from consumers.topic_reader import TopicReader
from producers.items import ItemProducer
from recommender.catalogue import Catalogue, CatalogueItem


@dataclass(frozen=True, slots=True)
class NamedCatalogue:
    """A catalogue, and the ids of its items; their dimensions are its own, unless a store's were asked for."""

    known: Catalogue
    items: ItemIds

    def get(self, item_id: ItemId) -> CatalogueItem | None:
        """What is known of an item, None where nothing is."""
        dimension = self.items.known(item_id)
        return None if dimension is None else self.known.get(dimension)

    def described(self, item_ids: Iterable[ItemId]) -> list[tuple[ItemId, CatalogueItem]]:
        """These items with what is known of them, those of which nothing is left out."""
        return [(one, known) for one in item_ids if (known := self.get(one)) is not None]

    def sorted_ids(self, dimensions: Sequence[int]) -> list[ItemId]:
        """The ids at these dimensions, ascending."""
        return sorted(self.items.named(dimensions), key=lambda one: (isinstance(one, str), one))

    def removed(self) -> list[ItemId]:
        """The ids of items that were removed, ascending."""
        return self.sorted_ids(self.known.removed.tolist())

    def id_of(self, text: str) -> ItemId:
        """The id that a text stands for, on a command line."""
        return int(text) if self.items.registry is None and text.isdecimal() else text


def read_catalogue(settings: Settings, items: ItemIds | None = None) -> NamedCatalogue:
    """The catalogue as its topic has it now; an empty one where there is no such topic.

    `items` are a store's ids, for dimensions as they are there.

    Raises:
        ClusterError: the brokers do not answer in time, or refuse.
    """
    topic, rules = settings.items_topic, wire_rules(settings)
    ids = private_ids(settings.catalogue.item_ids) if items is None else items
    read = NamedCatalogue(Catalogue(settings.limits.catalogue_max_items), ids)
    if topic is not None and topic in _cluster(settings).topics([topic]):
        timeout_s = settings.kafka.request_timeout_s
        with TopicReader(settings.kafka.consumer_config(), [topic], timeout_s) as reader:
            for message in reader.to_the_end():
                take(read.known, [message], rules, read.items)
    return read


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
