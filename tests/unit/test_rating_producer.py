from datetime import UTC, datetime
from typing import Any

import pytest

from producers.ratings import RatingProducer
from producers.record_producer import DeliveryError
from schemas.decode import WireRules
from schemas.events import AttributeValue
from schemas.scale import Scale

NOWHERE = "127.0.0.1:1"
IMPATIENT = {"delivery.timeout.ms": 300}


def offline(**options: Any) -> RatingProducer:
    """The real client, with no broker behind its address."""
    return RatingProducer(NOWHERE, **{"settings": IMPATIENT, **options})


@pytest.mark.parametrize(
    ("rating", "told"),
    [
        ({"user": "", "item": 1, "rating": 3}, "^user_id: a user id"),
        ({"user": "u" * 257, "item": 1, "rating": 3}, "256 bytes"),
        ({"user": "_popular", "item": 1, "rating": 3}, "reserved"),
        ({"user": "u", "item": -1, "rating": 3}, "outside 0"),
        ({"user": "u", "item": 2**32, "rating": 3}, "outside 0"),
        ({"user": "u", "item": "318", "rating": 3}, "JSON number"),
        ({"user": "u", "item": True, "rating": 3}, "item id"),
        ({"user": "u", "item": 1, "rating": float("nan")}, "finite"),
        ({"user": "u", "item": 1, "rating": 5.5}, "outside the scale"),
        ({"user": "u", "item": 1, "rating": "4"}, "number"),
        ({"user": "u", "item": 1, "rating": 3, "rated_at": 964_982_703}, "seconds sent as milliseconds"),
        ({"user": "u", "item": 1, "rating": 3, "rated_at": "yesterday"}, "RFC 3339"),
        ({"user": "u", "item": 1, "rating": 3, "rated_at": datetime(2026, 1, 1)}, "its offset"),  # noqa: DTZ001
        ({"user": "u", "item": 1, "rating": 3, "rated_at": "2999-01-01T00:00:00Z"}, "day after"),
        ({"user": "u", "item": 1, "rating": 3, "event_id": "e" * 257}, "256"),
    ],
)
def test_what_the_worker_would_refuse_is_not_sent(rating: dict[str, Any], told: str) -> None:
    """Bad input is a ValueError that says why, and leaves nothing in the queue: closing finds nothing undelivered."""
    with offline() as producer, pytest.raises(ValueError, match=told):
        producer.rate(**rating)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"a b": 1}, "attribute name"),
        ({"age": 2**63}, "^attributes: the attribute 'age'"),
        ({f"a{n}": n for n in range(65)}, "at most 64"),
    ],
)
def test_attributes_are_checked_too(attributes: dict[str, AttributeValue | None], told: str) -> None:
    """A profile that the worker would refuse is not sent either."""
    with offline() as producer, pytest.raises(ValueError, match=told):
        producer.profile("u", attributes)


def test_the_rules_are_the_deployments() -> None:
    """Another scale and a catalogue of text ids are accepted where the rules say so."""
    producer = offline(rules=WireRules(Scale(0, 10), "string"))
    producer.rate("u", "tt0114709", 9.5, datetime(2020, 1, 1, tzinfo=UTC), event_id="e1")
    with pytest.raises(ValueError, match="are strings"):
        producer.rate("u", 1, 9.5)
    with pytest.raises(DeliveryError) as caught:
        producer.close()
    assert [record.value for record in caught.value.records] == [
        b'{"user_id":"u","event_id":"e1","item_id":"tt0114709","rating":9.5,"rated_at":"2020-01-01T00:00:00.000Z"}'
    ]


def test_records_that_did_not_arrive_are_named_once() -> None:
    """A flush raises with key, value and cause of what failed; what was raised is not raised again."""
    producer = offline()
    producer.rate(42, 318, 4.5)
    producer.forget("ann")
    with pytest.raises(DeliveryError, match=r"2 records did not reach 'ratings'.*b'42'.*timed out") as caught:
        producer.flush()
    assert [record.key for record in caught.value.records] == [b"42", b"ann"]
    producer.flush()
    producer.close()


def test_a_flush_that_takes_too_long_says_why() -> None:
    """Records still queued at the time limit are an error that repeats what the client last complained of."""
    producer = offline(settings={})
    producer.retract("42", 318)
    with pytest.raises(DeliveryError, match=r"1 records .* still wait after 0.2 s.*(refused|down)"):
        producer.flush(0.2)
    with pytest.raises(DeliveryError, match="still wait"):
        producer.close(0.1)
    producer.close()


def test_a_full_queue_waits_and_does_not_hang() -> None:
    """With no room and no broker, sending waits until the queue's records have failed, and says which."""
    producer = offline(settings=IMPATIENT | {"queue.buffering.max.messages": 1})
    producer.rate("first", 1, 3)
    with pytest.raises(DeliveryError, match="first"):
        producer.rate("second", 1, 3)
    producer.close()


def test_leaving_early_keeps_the_error_that_caused_it() -> None:
    """An exception in the body comes through, with a note of what was not delivered."""

    def body() -> None:
        with offline() as producer:
            producer.rate("42", 318, 4.5)
            producer.rate("42", 318, 99)

    with pytest.raises(ValueError, match="outside the scale") as caught:
        body()
    assert "1 records did not reach" in caught.value.__notes__[0]


@pytest.mark.parametrize("name", ["partitioner", "acks", "enable.idempotence", "transactional.id", "bootstrap.servers"])
def test_what_the_guarantees_rest_on_is_not_free(name: str) -> None:
    """Settings that would break order, placement or acknowledgement are refused by name."""
    with pytest.raises(ValueError, match=name):
        offline(settings={name: "x"})


def test_an_unknown_setting_is_named() -> None:
    """The refusal of librdkafka itself comes through as a ValueError."""
    with pytest.raises(ValueError, match=r"no\.such\.thing"):
        offline(settings={"no.such.thing": 1})
