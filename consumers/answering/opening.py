"""Whether requests can be answered here, and the desk where they are: its part of the composition root.

A deployment that never heard of requests goes on as it was: where their topics are missing, or may not be used, the
worker says so once and answers none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from consumers.answering.answers import AnswerRules, Answers
from consumers.answering.asking import Asking
from consumers.answering.desk import Desk, DeskParts
from consumers.answering.findings import Findings
from consumers.answering.item_names import ItemNames
from consumers.answering.likes import LikeReader
from consumers.answering.reply_address import Addresses, Destination
from consumers.answering.request_source import RequestSource, RequestSourceOptions
from consumers.answering.similar_users import UserWriter
from consumers.answering.writing import AnswerWriter
from consumers.cluster import Cluster, ClusterError, Topic, TopicsError, message_sizes, missing_topics
from consumers.lists import ListWriter
from consumers.metrics import Metrics
from consumers.permissions import check_permitted, request_permissions
from consumers.settings import Settings
from consumers.settings_mapping import ranking_rules, rating_scale, request_limits
from producers.acknowledged_sink import AcknowledgedSink
from producers.client_log import KAFKA_LOG
from recommender.catalogue import Catalogue
from recommender.recommender import Recommender
from recommender.store import Store

REPLY_HEADROOM_BYTES = 8_192
"""What a reply's key, headers and frame may take beside its value."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Workplace:
    """What the desk shares with the worker."""

    store: Store
    recommender: Recommender
    catalogue: Catalogue
    lists: ListWriter
    metrics: Metrics
    clock_ms: Callable[[], int]


def find_topics(settings: Settings) -> dict[str, Topic]:
    """The topics of requests and of replies as they are; none where requests are off.

    Raises:
        ClusterError: the cluster does not answer or refuses.
        TopicsError: one of the two that it takes is missing.
    """
    if not settings.request_topics:
        return {}
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    found = cluster.topics([*settings.request_topics, *settings.requests.reply_topics])
    if missing := [name for name in settings.request_topics if name not in found]:
        raise TopicsError(missing_topics(missing))
    return found


def usable_topics(settings: Settings) -> dict[str, Topic]:
    """The same, where a worker may use them too.

    Raises:
        ClusterError: it may not, or the cluster does not answer.
        TopicsError: one of the two that it takes is missing.
    """
    if not settings.request_topics:
        return {}
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    check_permitted(cluster, request_permissions(settings))
    return find_topics(settings)


def served_topics(settings: Settings) -> dict[str, Topic]:
    """The same for a worker; none, and a line in the log, where it cannot answer requests."""
    try:
        found = usable_topics(settings)
    except (ClusterError, TopicsError) as error:
        log.warning("requests are not answered", why=str(error), setting='topics.requests, topics.replies ("off")')
        return {}
    if found and (missing := sorted(set(settings.requests.reply_topics) - found.keys())):
        log.warning("no reply can go to topics that do not exist", topics=missing, setting="requests.reply_topics")
    return found


def open_desk(
    settings: Settings,
    topics: Mapping[str, Topic],
    shared: Workplace,
    properties: Mapping[str, object],
) -> Desk | None:
    """The desk that answers the requests of these topics (`served_topics`); None where there are none.

    `properties` are those of the worker's consumers.
    """
    if not topics:
        return None
    requests, _ = settings.request_topics
    source = RequestSource(
        {**properties, "group.id": settings.request_group},
        RequestSourceOptions(requests, settings.requests.batch_max_records),
    )
    rules = _answer_rules(settings, topics, shared)
    answers = Answers(rules, shared.store, shared.metrics, shared.clock_ms)
    log.info("requests are answered", topic=requests)
    sink = AcknowledgedSink({**settings.kafka.producer_config(), "logger": KAFKA_LOG, **message_sizes(topics)})
    parts = DeskParts(source, sink, answers, shared.metrics, shared.clock_ms)
    return Desk(parts, settings.requests.step_budget_ms / 1000)


def _answer_rules(settings: Settings, topics: Mapping[str, Topic], shared: Workplace) -> AnswerRules:
    _, replies = settings.request_topics
    options = settings.requests
    names = ItemNames(shared.catalogue, shared.lists.item_ids)
    likes = LikeReader(names, rating_scale(settings), shared.recommender.are_rated)
    near = UserWriter(shared.store, options.allow_user_ids, frozenset(options.shown_attributes))
    destinations = {name: _destination(topics[name], options.reply_max_bytes) for name in topics}
    return AnswerRules(
        request_limits(settings),
        Asking(ranking_rules(settings), likes, shared.recommender.has_attribute, shared.recommender.newest_ms),
        Findings(shared.recommender, AnswerWriter(shared.lists, near, settings.ranking.preset)),
        Addresses(replies, destinations, frozenset(options.reply_topics)),
        origin=f"tastestream/{settings.group}",
    )


def _destination(topic: Topic, reply_max_bytes: int) -> Destination:
    return Destination(topic.partitions, min(reply_max_bytes, topic.max_message_bytes - REPLY_HEADROOM_BYTES))
