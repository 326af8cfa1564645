"""What forgetting cannot remove: records of a user that still stand in Kafka, found by reading the topics to their end.

A record holds a user when its key is the user's id, or its value's `user_id` is, or, where the value is no JSON object,
when the id stands in it as a word of its own: too many rather than too few.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson
from confluent_kafka import Message

from consumers.cluster import Topic
from consumers.forgetting import Place, header_texts
from consumers.published_lists import list_reader
from consumers.settings import Settings
from schemas.dead_letters import REASON_HEADER

RETENTION_SETTINGS = (
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "delete.retention.ms",
    "max.compaction.lag.ms",
)
_UNLIMITED = "-1"
_DAY_MS = 86_400_000

Records = dict[tuple[str, int], "RecordRange"]


@dataclass(slots=True)
class RecordRange:
    """Records of the user in one partition: how many, and the first and the last offset."""

    records: int
    first_offset: int
    last_offset: int


@dataclass(slots=True)
class Remains:
    """What stands in Kafka of a user, by (topic, partition): events, lists and tombstones; dead letters one by one."""

    events: Records = field(default_factory=dict)
    lists: Records = field(default_factory=dict)
    dead_letters: list[tuple[Place, str]] = field(default_factory=list)


def remains_of(settings: Settings, user_id: str) -> Remains:
    """Read all topics to their end, and keep where the user stands.

    Raises:
        ClusterError: the brokers do not answer in time.
    """
    found, holds = Remains(), _holding(user_id)
    with list_reader(settings, *settings.input_topics, settings.dead_letter_topic) as reader:
        for message in reader.to_the_end():
            if not holds(message):
                continue
            place = Place.of(message)
            if place.topic == settings.dead_letter_topic:
                found.dead_letters.append((place, header_texts(message).get(REASON_HEADER, "")))
            else:
                _count(found.lists if place.topic == settings.recommendations_topic else found.events, place)
    return found


def retention(topic: Topic) -> dict[str, str]:
    """The settings that decide how long a topic keeps its records."""
    return {name: topic.config[name] for name in RETENTION_SETTINGS if name in topic.config}


def kept_for(kept: Mapping[str, str]) -> str:
    """How long records stay under these settings, for people."""
    if "delete" not in kept.get("cleanup.policy", "delete"):
        longer = _days(kept.get("delete.retention.ms", "0"))
        return f"until the topic is compacted, a tombstone {longer} longer (delete.retention.ms)"
    if kept.get("retention.ms") == _UNLIMITED and kept.get("retention.bytes") == _UNLIMITED:
        return "for ever (retention.ms and retention.bytes are -1)"
    if kept.get("retention.ms") == _UNLIMITED:
        return f"until the partition exceeds {kept.get('retention.bytes')} bytes (retention.bytes)"
    return f"for {_days(kept.get('retention.ms', '0'))} (retention.ms)"


def _days(length_ms: str) -> str:
    days = int(length_ms) / _DAY_MS
    return f"{days:g} day" if days == 1 else f"{days:g} days"


def _count(records: Records, place: Place) -> None:
    known = records.setdefault(place[:2], RecordRange(0, place.offset, place.offset))
    known.records += 1
    known.last_offset = place.offset


def _holding(user_id: str) -> Callable[[Message], bool]:
    key = user_id.encode()
    word = re.compile(rb"(?<![\w-])" + re.escape(key) + rb"(?![\w-])")

    def holds(message: Message) -> bool:
        value = message.value() or b""
        # An escaped letter is the only way in which JSON holds an id without its bytes.
        if message.key() == key or not (key in value or b"\\u" in value):
            return message.key() == key
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            return word.search(value) is not None
        return isinstance(document, dict) and str(document.get("user_id")) == user_id

    return holds
