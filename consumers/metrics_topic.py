"""Whether the figures of live evaluation can be published: a worker does its work without their topic, and says so."""

import structlog
from confluent_kafka.admin import AclOperation

from consumers.cluster import Cluster, ClusterError
from consumers.permissions import metrics_permissions, must_allow
from consumers.settings import Settings

log = structlog.get_logger()


def usable_metrics_topic(settings: Settings) -> str | None:
    """The topic of figures; None where there is to be none, it is missing, or this user may not write to it."""
    name = settings.metrics_topic
    if name is None or not settings.evaluation.window_events:
        return None
    cluster = Cluster(settings.kafka.client_config(), settings.kafka.request_timeout_s)
    why = _why_not(cluster, name, settings)
    if why is not None:
        log.warning("the figures of live evaluation go to /metrics alone", topic=name, why=why)
        return None
    return name


def _why_not(cluster: Cluster, name: str, settings: Settings) -> str | None:
    try:
        found = cluster.topics([name])
    except ClusterError as error:
        return f"{error}; {must_allow(metrics_permissions(settings))}"
    if name not in found:
        return "it is missing: `tastestream topics create` makes it, topics.metrics = off does without"
    operations = cluster.allowed_on_topics([name])[name]
    if operations is not None and AclOperation.WRITE not in operations:
        return must_allow(metrics_permissions(settings))
    return None
