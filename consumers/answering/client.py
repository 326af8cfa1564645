"""One request as whoever asks sees it: sent, and the reply that answers to it awaited."""

import time
from typing import Any

import orjson

from consumers.settings import Settings
from consumers.settings_sources import SettingsError
from consumers.topic_reader import TopicReader
from producers.record_producer import RecordProducer
from schemas.messages import Message
from schemas.replies import decode_reply

POLL_S = 0.05


def ask(settings: Settings, document: dict[str, Any], request_id: str, timeout_s: float) -> dict[str, Any] | None:
    """The reply to a request, None when none came in time.

    Raises:
        ClusterError: the brokers do not answer in time.
        DeliveryError: they do not take the request.
        SettingsError: librdkafka does not take one of the properties.
    """
    requests, replies = settings.request_topics
    key = request_id.encode()
    with TopicReader(settings.kafka.consumer_config(), [replies], settings.kafka.request_timeout_s) as reader:
        messages = reader.from_now_on(POLL_S)
        _send(settings, Message(requests, key, orjson.dumps(document)))
        deadline = time.monotonic() + timeout_s
        for message in messages:
            if message is not None and message.key() == key:
                return decode_reply(message.value() or b"")
            if time.monotonic() > deadline:
                break
    return None


def _send(settings: Settings, message: Message) -> None:
    properties = {k: v for k, v in settings.kafka.producer_config().items() if k != "bootstrap.servers"}
    try:
        producer = RecordProducer(settings.kafka.bootstrap_servers, message.topic, properties)
    except ValueError as error:
        raise SettingsError([f"kafka: {error}"]) from error
    with producer:
        producer.queue(message)
