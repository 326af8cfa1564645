"""An app that asks: sends requests as any Kafka client would, and reads their replies as committed."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Message, Producer
from deployment import Deployment
from service_process import WAIT_S
from topic_truth import committed_records

from consumers.topic_reader import TopicReader

Headers = Sequence[tuple[str, bytes]]


class RequestClient:
    """Asks the workers of one deployment; use as a context manager."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.requests, self.replies = deployment.settings.request_topics
        self._producer = Producer({"bootstrap.servers": deployment.servers, "linger.ms": 0, "log_level": 0})
        self._sent = 0

    def send(self, document: Any, key: str | None = None, headers: Headers = ()) -> str:
        """Send a request, bytes as they are and anything else as JSON; returns its id."""
        self._sent += 1
        request_id = f"r{self._sent}" if key is None else key
        value = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._producer.produce(self.requests, key=request_id.encode(), value=value, headers=list(headers))
        self._producer.poll(0)
        return request_id

    def flush(self) -> None:
        """Return when the brokers have every request."""
        assert self._producer.flush(WAIT_S) == 0

    def ask(self, document: Any, headers: Headers = ()) -> dict[str, Any]:
        """The reply to one request."""
        return json.loads(self.reply(document, headers).value() or b"")  # type: ignore[no-any-return]

    def reply(self, document: Any, headers: Headers = (), topic: str | None = None) -> Message:
        """The record that answers one request."""
        with self._reader(topic or self.replies) as reader:
            messages = reader.from_now_on()
            return _first(messages, [self.send(document, headers=headers)])

    def send_until_answered(self, documents: Sequence[Any]) -> list[str]:
        """Send all of them at once; returns their ids as soon as any of them has its reply."""
        with self._reader(self.replies) as reader:
            messages = reader.from_now_on(0.001)
            sent = [self.send(document) for document in documents]
            _first(messages, sent)
        return sent

    def _reader(self, topic: str) -> TopicReader:
        return TopicReader({"bootstrap.servers": self.deployment.servers}, [topic], WAIT_S)

    def answers(self) -> dict[str, list[Message]]:
        """Every committed reply by request id."""
        found: defaultdict[str, list[Message]] = defaultdict(list)
        for message in committed_records(self.deployment, self.replies):
            found[(message.key() or b"").decode()].append(message)
        return found


def _first(messages: Iterator[Message | None], requests: Sequence[str]) -> Message:
    keys, deadline = {request.encode() for request in requests}, time.monotonic() + WAIT_S
    for message in messages:
        if message is not None and message.key() in keys:
            return message
        assert time.monotonic() < deadline, f"no reply to any of {requests[:5]}"
    raise AssertionError("the reader ended")
