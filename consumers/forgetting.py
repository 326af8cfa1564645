"""Forgetting one user, as whoever asks for it sees it: the event sent, and the record that answers to that very event.

A tombstone answers by its header `tastestream-source`. Where a later event of the user was taken together with ours
there is no tombstone but a list that starts afresh; where the worker refused ours there is a dead letter.
"""

import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Self, cast

import orjson
from confluent_kafka import Message

from consumers.input_topics import rating_producer
from consumers.published_lists import list_reader, published_list
from consumers.settings import Settings
from schemas.dead_letters import OFFSET_HEADER, PARTITION_HEADER, REASON_HEADER, TOPIC_HEADER
from schemas.recommendations import SOURCE_HEADER

_SOURCE = re.compile("(.+):([0-9]+):([0-9]+)")

Kind = Literal["tombstone", "list", "dead letter"]


class Place(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, message: Message) -> Self:
        """The place of a record that was read."""
        return cls(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))

    def __str__(self) -> str:
        return f"{self.topic} [{self.partition}] @ {self.offset}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The record that answers to an event: what it is, where it stands, which event it names, why one was refused."""

    kind: Kind
    place: Place
    source: Place
    reason: str = ""

    def is_to(self, event: Place) -> bool:
        """Whether it answers to this event: names it, or, unless it refuses one event alone, one taken with it."""
        if self.kind == "dead letter":
            return self.source == event
        return self.source[:2] == event[:2] and self.source.offset >= event.offset


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What came of it: where the event stands (None: not seen in time), what answered, and after how many seconds."""

    event: Place | None
    answer: Answer | None
    seconds: float


def send_forget(settings: Settings, user_id: str, event_id: str | None = None) -> None:
    """Append the event to the first input topic, as any app would; returns when the brokers have it.

    Raises:
        ValueError: no such user id can be.
        DeliveryError: the brokers did not take it.
    """
    with rating_producer(settings) as producer:
        producer.forget(user_id, event_id)


def forget_and_wait(settings: Settings, user_id: str, timeout_s: float) -> Forgetting:
    """Send the event, and wait until a read_committed reader sees its answer.

    Raises:
        ValueError: no such user id can be.
        ClusterError, DeliveryError: the brokers do not answer, or did not take it.
    """
    event_id = uuid.uuid4().hex
    with list_reader(settings, settings.input_topics[0], settings.dead_letter_topic) as reader:
        messages = reader.from_now_on()
        begun_s = time.monotonic()
        send_forget(settings, user_id, event_id)
        awaited = AwaitedAnswer(settings.input_topics[0], user_id, event_id)
        answer = awaited.within(messages, timeout_s)
        return Forgetting(awaited.event, answer, time.monotonic() - begun_s)


@dataclass(slots=True)
class AwaitedAnswer:
    """Recognises the event by its `event_id` on its way past, and its answer by the event's place."""

    topic: str
    user_id: str
    event_id: str
    event: Place | None = field(default=None, init=False)
    _answers: list[Answer] = field(default_factory=list, init=False)

    def within(self, messages: Iterator[Message | None], timeout_s: float) -> Answer | None:
        """Look for it among records of input, lists and dead letters; None when it does not come in time."""
        deadline = time.monotonic() + timeout_s
        for message in messages:
            if message is not None and message.key() == self.user_id.encode():
                self._take(message)
            for answer in self._answers:
                if self.event is not None and answer.is_to(self.event):
                    return answer
            if time.monotonic() > deadline:
                break
        return None

    def _take(self, message: Message) -> None:
        if message.topic() == self.topic:
            if _event_id(message.value()) == self.event_id:
                self.event = Place.of(message)
        elif (answer := answer_of(message)) is not None:
            self._answers.append(answer)


def answer_of(message: Message) -> Answer | None:
    """What a record of an output topic answers to; None where it does not say."""
    headers = header_texts(message)
    if REASON_HEADER in headers:
        source = Place(
            headers.get(TOPIC_HEADER, ""), _number(headers, PARTITION_HEADER), _number(headers, OFFSET_HEADER)
        )
        return Answer("dead letter", Place.of(message), source, headers[REASON_HEADER])
    if message.value() is None:
        named = _SOURCE.fullmatch(headers.get(SOURCE_HEADER, ""))
        return named and Answer("tombstone", Place.of(message), Place(named[1], int(named[2]), int(named[3])))
    found = published_list(message)
    if found is None or found.value is None:
        return None
    event = found.value["source"]
    return Answer("list", Place.of(message), Place(event["topic"], event["partition"], event["offset"]))


def header_texts(message: Message) -> dict[str, str]:
    """The headers of a record as text, by name; of a name that comes twice the last counts."""
    rows = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return {name: value.decode(errors="replace") for name, value in rows if value is not None}


def _number(headers: dict[str, str], name: str) -> int:
    text = headers.get(name, "")
    return int(text) if text.isdecimal() else -1


def _event_id(value: bytes | None) -> object:
    try:
        document = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    return document.get("event_id") if isinstance(document, dict) else None
