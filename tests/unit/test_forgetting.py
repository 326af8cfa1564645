"""Which record answers to a wish to be forgotten, and what in Kafka is said to hold the user afterwards."""

from collections.abc import Iterator

import orjson
import pytest
from confluent_kafka import Message

from consumers.forgetting import AwaitedAnswer, Place
from consumers.remains import _holding, kept_for
from schemas.dead_letters import OFFSET_HEADER, PARTITION_HEADER, REASON_HEADER, TOPIC_HEADER
from schemas.recommendations import SOURCE_HEADER

USER, EVENT_ID, PARTITION, OFFSET = "ann", "e1", 1, 10
Headers = list[tuple[str, str | bytes | None]]


def record(
    topic: str, value: bytes | None, headers: Headers | None = None, offset: int = 5, user: str = USER
) -> Message:
    return Message(
        topic=topic, partition=PARTITION, offset=offset, key=user.encode(), value=value, headers=headers or []
    )


def event(offset: int = OFFSET, event_id: str = EVENT_ID) -> Message:
    value = orjson.dumps({"type": "forget", "user_id": USER, "event_id": event_id})
    return record("ratings", value, offset=offset)


def tombstone(offset: int = OFFSET, partition: int = PARTITION, user: str = USER) -> Message:
    return record("lists", None, [(SOURCE_HEADER, f"ratings:{partition}:{offset}".encode())], user=user)


def fresh_list(offset: int) -> Message:
    source = {"topic": "ratings", "partition": PARTITION, "offset": offset}
    return record("lists", orjson.dumps({"list_id": "ann:1.1", "user_id": USER, "source": source}))


def dead_letter(offset: int = OFFSET) -> Message:
    place = {TOPIC_HEADER: "ratings", PARTITION_HEADER: str(PARTITION), OFFSET_HEADER: str(offset)}
    headers: Headers = [(name, text.encode()) for name, text in place.items()]
    return record("dead", b"{}", [*headers, (REASON_HEADER, b"user_id_collision")])


def endless(*messages: Message) -> Iterator[Message | None]:
    yield from messages
    while True:
        yield None


@pytest.mark.parametrize(
    ("messages", "kind", "source"),
    [
        ((event(), tombstone()), "tombstone", OFFSET),
        ((tombstone(), event()), "tombstone", OFFSET),
        ((event(), tombstone(OFFSET + 2)), "tombstone", OFFSET + 2),
        ((event(), tombstone(OFFSET - 1), tombstone()), "tombstone", OFFSET),
        ((event(), tombstone(user="bob"), tombstone()), "tombstone", OFFSET),
        ((event(), record("lists", None), tombstone()), "tombstone", OFFSET),
        ((event(), record("lists", None, [(SOURCE_HEADER, b"ratings")]), tombstone()), "tombstone", OFFSET),
        ((event(3, "another's"), tombstone(3), event(), tombstone()), "tombstone", OFFSET),
        ((event(), fresh_list(OFFSET - 1), fresh_list(OFFSET + 1)), "list", OFFSET + 1),
        ((event(), dead_letter(OFFSET + 1), dead_letter()), "dead letter", OFFSET),
    ],
)
def test_the_answer_is_the_one_to_that_very_event(messages: tuple[Message, ...], kind: str, source: int) -> None:
    """In whichever order the topics are read: by the event's place or behind it, a refusal by the place alone."""
    awaited = AwaitedAnswer("ratings", USER, EVENT_ID)
    answer = awaited.within(endless(*messages), timeout_s=60)
    assert answer is not None
    assert (answer.kind, answer.source) == (kind, Place("ratings", PARTITION, source))
    assert awaited.event == Place("ratings", PARTITION, OFFSET)


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (tombstone(),),
        (event(), tombstone(OFFSET - 1)),
        (event(), tombstone(partition=PARTITION + 1)),
        (event(), tombstone(user="bob")),
        (event(), dead_letter(OFFSET + 1)),
        (event(), record("lists", b"no JSON")),
    ],
)
def test_nothing_else_is_taken_for_an_answer(messages: tuple[Message, ...]) -> None:
    """An older answer, another's, another partition's: the wait ends without one."""
    assert AwaitedAnswer("ratings", USER, EVENT_ID).within(endless(*messages), timeout_s=0) is None


@pytest.mark.parametrize(
    ("key", "value", "held"),
    [
        (b"ann", None, True),
        (b"ann", b"{", True),
        (b"bob", b'{"user_id": "ann"}', True),
        (None, b'{"user_id": "\\u0061nn"}', True),
        (None, b'a,"ann",1', True),
        (None, b"joann,1", False),
        (None, b"ann-marie,1", False),
        (b"annie", b'{"user_id": "annie"}', False),
        (b"bob", b'{"user_id": "bob", "friend": "ann"}', False),
        (b"bob", b'["ann"]', False),
        (None, None, False),
    ],
)
def test_a_record_holds_a_user_by_key_or_by_value(key: bytes | None, value: bytes | None, held: bool) -> None:
    """The key, the `user_id` whatever its spelling, or a word of what is no JSON; a part of another id is nobody."""
    assert _holding(USER)(Message(topic="dead", key=key, value=value)) is held


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}, "for ever"),
        ({"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"}, "7 days"),
        ({"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "1000"}, "1000 bytes"),
        ({"cleanup.policy": "compact", "delete.retention.ms": "86400000"}, "compacted, a tombstone 1 day longer"),
    ],
)
def test_retention_is_said_in_words(settings: dict[str, str], said: str) -> None:
    """What decides is named: time, size or compaction."""
    assert said in kept_for(settings)
