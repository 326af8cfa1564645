"""Lists as a reader sees them: which one answers to an event, and what a foreign record is taken for."""

from collections.abc import Iterator

import orjson
import pytest
from confluent_kafka import Message

from consumers.published_lists import AwaitedList, PublishedList, age_ms, freshness_ms, published_list
from schemas.recommendations import RecommendationList

EVENT_ID = "e1"
OFFSET, PARTITION = 10, 1
GENERATED_MS = 1_577_836_800_250


def event(offset: int = OFFSET, event_id: str = EVENT_ID) -> Message:
    value = orjson.dumps({"user_id": "ann", "item_id": 1, "rating": 4.0, "event_id": event_id})
    return Message(topic="ratings", partition=PARTITION, offset=offset, key=b"ann", value=value)


def list_value(offset: int, partition: int = PARTITION, user_id: str = "ann") -> RecommendationList:
    return {
        "schema": 1,
        "user_id": user_id,
        "list_id": f"{user_id}:1.{offset}",
        "tier": "thin",
        "items": [],
        "ranking": "default:0",
        "state": {"epoch": 1, "version": offset, "num_ratings": 1, "avg_rating": 4.0},
        "source": {
            "topic": "ratings",
            "topic_id": "t",
            "partition": partition,
            "offset": offset,
            "rated_at": "2020-01-01T00:00:00.000Z",
            "event_id": None,
        },
        "generated_at": "2020-01-01T00:00:00.250Z",
    }


def record(value: RecommendationList) -> Message:
    return Message(topic="recommendations", partition=0, key=value["user_id"].encode(), value=orjson.dumps(value))


def endless(*messages: Message) -> Iterator[Message | None]:
    yield from messages
    while True:
        yield None


ANSWER = record(list_value(OFFSET))


@pytest.mark.parametrize(
    ("messages", "answered"),
    [
        ((event(), ANSWER), OFFSET),
        ((ANSWER, event()), OFFSET),
        ((event(), record(list_value(OFFSET + 5))), OFFSET + 5),
        ((event(), record(list_value(OFFSET - 1)), ANSWER), OFFSET),
        ((event(), record(list_value(OFFSET, user_id="bob")), ANSWER), OFFSET),
        ((event(offset=3, event_id="another's"), record(list_value(3)), event(), ANSWER), OFFSET),
    ],
)
def test_the_answer_comes_from_the_event_or_from_beyond_it(messages: tuple[Message, ...], answered: int) -> None:
    """Whichever is seen first, and whatever else of the user passes by."""
    found = AwaitedList("ann", EVENT_ID).within(endless(*messages), timeout_s=60)
    assert found is not None
    assert (found["user_id"], found["source"]["offset"]) == ("ann", answered)


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (event(),),
        (ANSWER,),
        (event(), record(list_value(OFFSET - 1))),
        (event(), record(list_value(OFFSET, partition=PARTITION + 1))),
        (event(event_id="another's"), ANSWER),
        (event(), Message(topic="recommendations", key=b"ann", value=b"no JSON")),
    ],
)
def test_what_is_no_answer_is_waited_past(messages: tuple[Message, ...]) -> None:
    """Older lists, those of another partition, and lists without our event having been seen."""
    assert AwaitedList("ann", EVENT_ID).within(endless(*messages), timeout_s=0.01) is None


def test_records_of_others_are_no_lists() -> None:
    """A null value is a forgotten user; a record without key or that is no list of ours is nothing."""
    assert published_list(Message(key=b"ann", value=None)) == PublishedList("ann", None)
    assert published_list(Message(key=None, value=b"{}")) is None
    assert published_list(Message(key=b"ann", value=b'{"user_id": "ann"}')) is None
    assert published_list(Message(key=b"ann", value=b"\x00")) is None
    assert published_list(ANSWER) == PublishedList("ann", list_value(OFFSET))


def test_ages_do_not_become_negative() -> None:
    """Clocks of other machines may be ahead: an age is 0 at least."""
    value = list_value(OFFSET)
    assert (age_ms(value, GENERATED_MS + 40), age_ms(value, GENERATED_MS - 40)) == (40, 0)
    assert freshness_ms(value) == 250
    value["source"]["rated_at"] = "2020-01-02T00:00:00.000Z"
    assert freshness_ms(value) == 0
