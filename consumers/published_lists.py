"""The lists as a reader of the recommendations topic sees them: a user's current one, new ones, and the awaited one."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from confluent_kafka import Message

from consumers.settings import Settings
from consumers.topic_reader import TopicReader
from schemas.recommendations import ListSource, RecommendationList
from schemas.times import parse_time


@dataclass(frozen=True, slots=True)
class PublishedList:
    """A record of the recommendations topic; a `value` of None: the user was forgotten."""

    user_id: str
    value: RecommendationList | None


def published_list(message: Message) -> PublishedList | None:
    """What a record says; None where it is none of ours."""
    key, raw = message.key(), message.value()
    if key is None:
        return None
    if raw is None:
        return PublishedList(key.decode(errors="replace"), None)
    document = _document(raw)
    value = cast("RecommendationList", document)
    return PublishedList(value["user_id"], value) if "list_id" in document else None


def current_list(settings: Settings, user_id: str) -> RecommendationList | None:
    """The newest list of a user, None where there is none or the user was forgotten.

    Raises:
        ClusterError: the brokers do not answer in time.
    """
    key, newest = user_id.encode(), None
    with list_reader(settings) as reader:
        for message in reader.to_the_end():
            if message.key() == key and (found := published_list(message)) is not None:
                newest = found.value
    return newest


def new_lists(messages: Iterator[Message | None]) -> Iterator[PublishedList | None]:
    """The lists among records as they come; None when there was none for a moment."""
    for message in messages:
        yield published_list(message) if message is not None else None


def list_reader(settings: Settings, *more_topics: str) -> TopicReader:
    """A reader of the recommendations topic, and of further topics."""
    topics = (settings.recommendations_topic, *more_topics)
    return TopicReader(settings.kafka.consumer_config(), topics, settings.kafka.request_timeout_s)


def age_ms(value: RecommendationList, now_ms: int) -> int:
    """How long ago a list was made, in ms."""
    return max(0, now_ms - parse_time(value["generated_at"]))


def freshness_ms(value: RecommendationList) -> int:
    """From the time of the rating to the list that answers to it, in ms; years where old ratings are replayed."""
    return max(0, parse_time(value["generated_at"]) - parse_time(value["source"]["rated_at"]))


@dataclass(slots=True)
class AwaitedList:
    """The list that answers to one event, recognised by its `event_id` on its way past.

    A list answers to it when its source is the event's partition at the event's offset, or beyond: the worker takes
    several events of a user together.
    """

    user_id: str
    event_id: str
    _place: tuple[str, int, int] | None = field(default=None, init=False)
    _newest: RecommendationList | None = field(default=None, init=False)

    def within(self, messages: Iterator[Message | None], timeout_s: float) -> RecommendationList | None:
        """Look for it among records of input and recommendations; None when it does not come in time."""
        deadline = time.monotonic() + timeout_s
        for message in messages:
            if message is not None and message.key() == self.user_id.encode():
                self._take(message)
            if self._newest is not None and self._answers(self._newest["source"]):
                return self._newest
            if time.monotonic() > deadline:
                break
        return None

    def _take(self, message: Message) -> None:
        document = _document(message.value())
        if document.get("event_id") == self.event_id:
            self._place = (str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
        elif "list_id" in document and (found := published_list(message)) is not None:
            self._newest = found.value

    def _answers(self, source: ListSource) -> bool:
        if self._place is None:
            return False
        topic, partition, offset = self._place
        return (source["topic"], source["partition"]) == (topic, partition) and source["offset"] >= offset


def _document(raw: bytes | None) -> dict[str, Any]:
    try:
        document = orjson.loads(raw or b"")
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
