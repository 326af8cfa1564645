"""The figures of live evaluation as a reader of their topic sees them: the newest of every worker and preset."""

import orjson

from consumers.settings import Settings
from consumers.topic_reader import TopicReader
from schemas.metrics import LiveMetrics, decode_metrics


def newest_metrics(settings: Settings, topic: str) -> list[LiveMetrics]:
    """The newest record of each key, in the order of the keys; records that are none of ours are passed over.

    Raises:
        ClusterError: the topic is missing, or the brokers do not answer in time.
    """
    newest: dict[bytes, LiveMetrics | None] = {}
    with TopicReader(settings.kafka.consumer_config(), [topic], settings.kafka.request_timeout_s) as reader:
        for message in reader.to_the_end():
            newest[message.key() or b""] = _figures(message.value())
    return [found for _, found in sorted(newest.items()) if found is not None]


def _figures(raw: bytes | None) -> LiveMetrics | None:
    try:
        document = decode_metrics(raw or b"")
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and document.get("schema") == 1 else None
