"""The composition root: with `store_opening`, which it opens stores by, it alone knows concrete classes."""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import structlog

from consumers.answering.opening import Workplace, open_desk, served_topics
from consumers.batch_size import BatchLimits
from consumers.catalogue_reading import read_catalogue
from consumers.catalogue_table import CatalogueTable, TableOptions
from consumers.cluster import BATCH_MAX_BYTES, Cluster, Topic, check_topics, message_sizes
from consumers.dead_letter_limits import DeadLetterLimits
from consumers.filter_notice import FilterNotice
from consumers.handler import Beside, Door, Handler
from consumers.health import Health, HealthServer
from consumers.item_ids import ItemIds
from consumers.lists import ListWriter
from consumers.live_report import LiveReport, live_report
from consumers.membership import Membership
from consumers.metrics import Metrics
from consumers.metrics_topic import usable_metrics_topic
from consumers.offsets import Patience
from consumers.permissions import check_permissions
from consumers.pool_upkeep import PoolUpkeep
from consumers.popular_list import PopularList
from consumers.process import leave_on_stop_signal, on_stop_signal, spare_the_collector
from consumers.ranking_kernels import RankingKernels
from consumers.settings import Settings
from consumers.settings_mapping import (
    consumer_properties,
    dead_letter_tolerance,
    history_limits,
    ranking_rules,
    shadow_vectors,
    wanted_factors,
    wire_rules,
)
from consumers.shadow import open_shadow
from consumers.source import KafkaSource, SourceOptions
from consumers.store_opening import generations, open_generation, open_item_ids
from consumers.surroundings import Surroundings
from consumers.tenure import Tenure
from consumers.user_states import StateRules, UserStates
from consumers.watchdog import Watchdog
from consumers.worker import Parts, Worker, WorkerLimits
from producers.client_log import KAFKA_LOG
from producers.sink import SinkOptions, TransactionalSink
from recommender.catalogue import Catalogue
from recommender.explaining import explaining
from recommender.neighbour_pool import NeighbourPool
from recommender.recommender import Recommender
from recommender.store import Store
from schemas.decode import decoder_for

AcceptedGaps = dict[str, list[int]]

log = structlog.get_logger()


def clock_ms() -> int:
    """Now, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def check_cluster(settings: Settings) -> dict[str, Topic]:
    """See that Kafka answers and the topics are as they must be; returns them.

    Raises:
        ClusterError: Kafka does not answer or refuses.
        TopicsError: a topic is missing or too small.
    """
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    cluster.check_reachable()
    inputs, output, dead_letters = settings.input_topics, settings.recommendations_topic, settings.dead_letter_topic
    found = cluster.topics([*inputs, output, dead_letters])
    check_topics(found, inputs, output, dead_letters)
    return found


@contextmanager
def service(settings: Settings, accepted_gaps: AcceptedGaps) -> Iterator[Worker]:
    """A worker with everything it needs, let go in the reverse order at the end."""
    check_permissions(settings)
    topics = check_cluster(settings)
    with ExitStack() as stack:
        around = _surroundings(settings, stack)
        place = generations(settings)
        stack.callback(place.close)
        opened = place.lineage().current
        store = open_generation(place, opened, settings)
        stack.callback(store.close)
        items = stack.enter_context(closing(open_item_ids(settings)))
        tenure = Tenure(opened, lambda: place.lineage().current)
        request_topics = served_topics(settings)
        sink = transactional_sink(settings, topics, settings.transactional_id)
        stack.callback(sink.close)
        recommender = _recommender(settings, store, around)
        lists = _list_writer(settings, store, recommender.catalogue, items)
        dead_letter_max_bytes = topics[settings.dead_letter_topic].max_message_bytes
        live, shadow = _judging(settings, store, recommender, around.metrics)
        states = _states(settings, store, recommender)
        handler = _handler(settings, states, recommender, around, lists, dead_letter_max_bytes, live)
        patience_s = settings.limits.store_retry_limit_s
        membership = Membership(store, patience_s, handler.drop_caches, tenure.check, around.wait_unless_stopping)
        membership.partitions_seen({settings.recommendations_topic: topics[settings.recommendations_topic].partitions})
        properties = consumer_properties(settings)
        options = _source_options(settings, store, accepted_gaps, around)
        source = KafkaSource({**properties, "group.id": settings.group}, options, membership)
        stack.callback(source.close)
        shared = Workplace(store, recommender, recommender.catalogue, lists, around.metrics, clock_ms)
        desk = open_desk(settings, request_topics, shared, properties)
        if desk is not None:
            stack.callback(desk.close)
        table = _catalogue_table(settings, recommender.catalogue, items, around.metrics)
        if table is not None:
            stack.callback(table.close)
        around.watchdog.start()
        stack.callback(around.watchdog.stop)
        check_tenure = tenure.check_now_and_then
        pool = PoolUpkeep(store, states, recommender.known_users)
        notice = FilterNotice(ranking_rules(settings).filters, recommender).look
        parts = Parts(source, sink, store, handler, recommender, check_tenure, table, desk, live, pool, shadow, notice)
        yield Worker(parts, _worker_limits(settings), around)


def _recommender(settings: Settings, store: Store, around: Surroundings) -> Recommender:
    catalogue = Catalogue(settings.limits.catalogue_max_items)
    cache_max_bytes = settings.limits.neighbour_cache_max_bytes
    searching = partial(around.metrics.timed, "search")
    rules = ranking_rules(settings)
    factors = wanted_factors(settings, rules)
    return Recommender(store, rules, cache_max_bytes, RankingKernels(), catalogue, searching, factors)


def _worker_limits(settings: Settings) -> WorkerLimits:
    limits = settings.limits
    return WorkerLimits(
        limits.store_retry_limit_s,
        limits.scan_slice_users,
        limits.rescan_interval_s,
        poll_timeout_s=limits.poll_timeout_s,
        flush_interval_s=limits.flush_interval_s,
    )


def _judging(
    settings: Settings, store: Store, recommender: Recommender, metrics: Metrics
) -> tuple[LiveReport | None, Recommender | None]:
    """Live evaluation, and the second ranking that is judged beside the first."""
    topic = usable_metrics_topic(settings)
    shadow = open_shadow(settings, store, recommender.catalogue, metrics, topic)
    live = live_report(settings, recommender, metrics, topic, shadow)
    return live, None if shadow is None else shadow.recommender


def _catalogue_table(
    settings: Settings, catalogue: Catalogue, items: ItemIds, metrics: Metrics
) -> CatalogueTable | None:
    topic = settings.items_topic
    if topic is None:
        return None
    # A consumer needs the name of a group, also where it is no member of it; this one may be used.
    properties = {**settings.kafka.consumer_config(), "group.id": settings.group}
    limits = settings.limits
    options = TableOptions(
        topic, wire_rules(settings), limits.catalogue_load_timeout_s, settings.kafka.request_timeout_s, items
    )
    return CatalogueTable(properties, options, catalogue, metrics)


def transactional_sink(settings: Settings, topics: Mapping[str, Topic], transactional_id: str) -> TransactionalSink:
    """A sink for these topics; it fences whoever had the transactional id.

    Raises:
        FencedError: another one fenced this one meanwhile.
        SinkError: the brokers did not answer in time or refused.
    """
    limits = settings.limits
    return TransactionalSink(
        {**settings.kafka.producer_config(), "logger": KAFKA_LOG, **message_sizes(topics)},
        SinkOptions(
            transactional_id,
            limits.transaction_timeout_s,
            commit_timeout_s=limits.commit_timeout_s,
            group=settings.group,
        ),
    )


def run(settings: Settings, accepted_gaps: AcceptedGaps) -> None:
    """Run a worker until SIGTERM or SIGINT; while it starts, either lets go of what is open and ends the process."""
    asked = leave_on_stop_signal()
    with service(settings, accepted_gaps) as worker:

        def stop() -> None:
            worker.stop()
            Watchdog(settings.limits.shutdown_timeout_s, "limits.shutdown_timeout_s").start()

        on_stop_signal(stop)
        if asked.is_set():
            stop()
        spare_the_collector()
        worker.run()


def _surroundings(settings: Settings, stack: ExitStack) -> Surroundings:
    metrics, health = Metrics(), Health(settings.limits.step_timeout_s)
    if settings.http.port is not None:
        server = stack.enter_context(HealthServer(settings.http.host, settings.http.port, health, metrics))
        log.info("health and metrics are served", host=settings.http.host, port=server.port)
    return Surroundings(metrics, health, Watchdog(settings.limits.step_timeout_s, "limits.step_timeout_s"), clock_ms)


def _list_writer(settings: Settings, store: Store, catalogue: Catalogue, items: ItemIds) -> ListWriter:
    return ListWriter(
        settings.recommendations_topic,
        f"tastestream/{settings.group}",
        ranking_rules(settings).label(settings.ranking.preset),
        store.settings.epoch,
        catalogue,
        settings.catalogue.fallback_title,
        items,
    )


def _handler(
    settings: Settings,
    states: UserStates,
    recommender: Recommender,
    around: Surroundings,
    lists: ListWriter,
    dead_letter_max_bytes: int,
    live: LiveReport | None = None,
) -> Handler:
    door = Door(
        decoder_for("json"),
        wire_rules(settings),
        settings.dead_letter_topic,
        lists.origin,
        dead_letter_max_bytes,
        DeadLetterLimits(dead_letter_tolerance(settings)),
        lists.item_ids,
    )
    popular = PopularList(recommender, lists, settings.input_topics[0], settings.ranking.popular_interval_s)
    ranking = explaining(recommender, settings.ranking.explain_items)
    return Handler(door, states, ranking, lists, around.metrics, clock_ms, Beside(popular, live))


def _states(settings: Settings, store: Store, recommender: Recommender) -> UserStates:
    rules = StateRules(
        ranking_rules(settings).value,
        history_limits(settings),
        settings.limits.own_cache_max_bytes,
        recommender.embeddings,
        shadow_vectors(settings),
        NeighbourPool(settings.ranking.neighbour_pool_users),
    )
    return UserStates(store, rules, writer=secrets.token_hex(8))


def replaying_handler(settings: Settings, store: Store, items: ItemIds) -> Handler:
    """A handler for a store that no worker uses: what it is given has been committed before."""
    around = Surroundings(Metrics(), Health(0), Watchdog(0, ""), clock_ms)
    rules = ranking_rules(settings)
    catalogue = read_catalogue(settings, items).known if rules.content_weight else Catalogue()
    factors = wanted_factors(settings, rules)
    recommender = Recommender(store, rules, cache_max_bytes=0, catalogue=catalogue, factors=factors)
    lists = _list_writer(settings, store, recommender.catalogue, items)
    return _handler(settings, _states(settings, store, recommender), recommender, around, lists, BATCH_MAX_BYTES)


def _source_options(
    settings: Settings, store: Store, accepted_gaps: AcceptedGaps, around: Surroundings
) -> SourceOptions:
    timeout_s, limits = settings.kafka.request_timeout_s, settings.limits
    return SourceOptions(
        settings.input_topics,
        BatchLimits(limits.batch_first_records, limits.batch_max_records, limits.batch_target_s),
        limits.poll_timeout_s,
        Patience(timeout_s, limits.transaction_timeout_s + timeout_s, around.alive, around.go_on_unless_stopping),
        must_hold_all_partitions=store.exclusive,
        all_partitions_timeout_s=limits.all_partitions_timeout_s,
        accepted_gaps=accepted_gaps,
    )
