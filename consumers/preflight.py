"""Whether a worker with these settings would start: Kafka, its group protocol, the topics, the store. Makes nothing."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from confluent_kafka.admin import ResourceType

from consumers.answering.opening import usable_topics
from consumers.app import check_cluster
from consumers.cluster import Cluster, ClusterError, TopicsError
from consumers.existing_store import current_name, store_exists, store_place
from consumers.exit_codes import ExitCode
from consumers.failures import exit_code_of
from consumers.permissions import check_permissions
from consumers.settings import Settings
from consumers.settings_mapping import server_options
from consumers.store_opening import open_store
from recommender.store import StoreBusyError, StoreFullError, StoreSettings

if TYPE_CHECKING:
    from consumers.stores.server_connection import Connection

_PROTOCOLS = "group.coordinator.rebalance.protocols"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `code` is what a worker would end with, `OK` if it would go on."""

    what: str
    code: ExitCode
    detail: str


def preflight(settings: Settings) -> list[Finding]:
    """All checks, in the order in which a worker would fail."""
    found = [_finding("kafka", lambda: _reachable(settings))]
    if found[0].code is ExitCode.OK:
        found += [
            _finding("group protocol", lambda: _group_protocol(settings)),
            _finding("permissions", lambda: _permissions(settings)),
            _finding("topics", lambda: _topics(settings)),
            _finding("requests", lambda: _requests(settings)),
        ]
    kind = "edge store" if settings.qdrant.store == "edge" else "server store"
    check = _edge if settings.qdrant.store == "edge" else _server
    return [*found, _finding(kind, lambda: check(settings))]


def _finding(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ExitCode.OK, check())
    except Exception as error:
        code = exit_code_of(error)
        if code is ExitCode.INTERNAL:
            raise
        return Finding(what, code, str(error))


def _cluster(settings: Settings) -> Cluster:
    return Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)


def _reachable(settings: Settings) -> str:
    _cluster(settings).check_reachable()
    return f"answers at {settings.kafka.bootstrap_servers}"


def _group_protocol(settings: Settings) -> str:
    """Asks one broker for its own settings; where those may not be read, nothing is known, and nothing is wrong."""
    cluster = _cluster(settings)
    brokers = cluster.admin.list_topics(timeout=settings.kafka.request_timeout_s).brokers
    try:
        protocols = cluster.config(ResourceType.BROKER, str(min(brokers))).get(_PROTOCOLS)
    except ClusterError as error:
        return f"not known, a worker finds out when it joins ({error})"
    if protocols is None or "consumer" not in protocols.split(","):
        raise ClusterError(
            "the brokers do not speak the consumer group protocol of KIP-848: Kafka 4.0 or later is needed "
            f"({_PROTOCOLS} is {protocols})"
        )
    return "the brokers speak the consumer protocol of KIP-848"


def _permissions(settings: Settings) -> str:
    check_permissions(settings)
    return "what a worker does with its topics and its group is allowed"


def _topics(settings: Settings) -> str:
    counts = {name: topic.partitions for name, topic in check_cluster(settings).items()}
    return ", ".join(f"{name} ({count} partitions)" for name, count in counts.items())


def _requests(settings: Settings) -> str:
    """Never a failure: where requests cannot be answered, a worker does everything else."""
    if not settings.request_topics:
        return "off (topics.requests)"
    try:
        found = usable_topics(settings)
    except (ClusterError, TopicsError) as error:
        return f"a worker would start, and answer none: {error}"
    if missing := sorted(set(settings.requests.reply_topics) - found.keys()):
        return f"no reply could go to topics that do not exist: {', '.join(missing)} (requests.reply_topics)"
    return f"a worker may read {settings.request_topics[0]} and write to {', '.join(list(found)[1:])}"


def _edge(settings: Settings) -> str:
    place = store_place(settings)
    _check_space(settings)
    if not store_exists(settings):
        return f"none yet at {place}: the first worker makes it"
    try:
        return _opened(settings)
    except StoreBusyError:
        return f"held by another process (a running worker, most likely) at {place}"


def _check_space(settings: Settings) -> None:
    folder = settings.edge_folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free, reserve = shutil.disk_usage(existing).free, settings.qdrant.edge_disk_reserve_bytes
    if free < reserve:
        raise StoreFullError(
            f"only {free // 2**20} MiB are free at {existing}, under the reserve of {reserve // 2**20} MiB "
            "(qdrant.edge_disk_reserve_bytes): make room"
        )


def _server(settings: Settings) -> str:
    from consumers.stores.server_connection import Connection  # noqa: PLC0415  # qdrant-client takes over a second to load, and Edge needs none of it
    from consumers.stores.server_settings import refuse_unsafe_collection  # noqa: PLC0415  # as above

    options = replace(server_options(settings), collection=current_name(settings))
    is_there = store_exists(settings)
    if not is_there:
        options.refuse_unsafe(options.replication)
    connection = Connection(options)
    try:
        connection.refuse_old_server()
        version = _version(connection)
        if is_there:
            refuse_unsafe_collection(connection, options)
        points = _points(connection, options.collection) if is_there else 0
    finally:
        connection.close()
    place = f"Qdrant {version} at {store_place(settings)}"
    # Opening an empty collection would write the store's settings into it.
    return f"{place}: {_opened(settings)}" if points else f"{place}: empty, the first worker makes it"


def _version(connection: "Connection") -> str:
    with connection.errors("ask for its version"):
        version: str = connection.models.info().version
        return version


def _points(connection: "Connection", collection: str) -> int:
    with connection.errors("count points"):
        return connection.models.count(collection, exact=True).count


def _opened(settings: Settings) -> str:
    store = open_store(settings)
    try:
        return _described(store.settings)
    finally:
        store.close()


def _described(made_for: StoreSettings) -> str:
    return (
        f"made for {made_for.catalogue} item ids on the scale {made_for.scale_min:g}..{made_for.scale_max:g}, "
        f"vector {made_for.value_rule}, epoch {made_for.epoch}, format {made_for.format_version}"
    )
