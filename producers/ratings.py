"""How an app sends ratings: the right key, the right partitioner, nothing that the worker would refuse.

    with RatingProducer("localhost:9092") as ratings:
        ratings.rate("42", 318, 4.5)

A record is judged by the worker's own decoder before it is queued: what is wrong is a `ValueError` here, not a dead
letter there.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from producers.record_producer import CheckedProducer
from schemas.decode import RawRecord, decode_json
from schemas.encode import event_message
from schemas.events import AttributeValue, Event, Forgotten, ProfileChanged, Rated, Retracted
from schemas.messages import LOAD_HEADER

Time = datetime | int | str
"""When something was rated: a datetime with its zone, epoch milliseconds, or RFC 3339 text."""


class RatingProducer(CheckedProducer):
    """Sends what changes a user to the topic of ratings; one for all threads of a process is enough."""

    default_topic = "ratings"

    def rate(
        self, user: str | int, item: int | str, rating: float, rated_at: Time | None = None, event_id: str | None = None
    ) -> None:
        """A user rated an item; without `rated_at` the record's Kafka timestamp counts.

        Raises:
            ValueError: the worker would refuse it.
        """
        fields = {"user_id": user, "item_id": item, "rating": rating, "event_id": event_id}
        self.send(_valid(Rated, fields | {"rated_at": _plain(rated_at)}))

    def retract(
        self, user: str | int, item: int | str, rated_at: Time | None = None, event_id: str | None = None
    ) -> None:
        """A user took a rating back.

        Raises:
            ValueError: the worker would refuse it.
        """
        fields = {"type": "retracted", "user_id": user, "item_id": item, "event_id": event_id}
        self.send(_valid(Retracted, fields | {"rated_at": _plain(rated_at)}))

    def profile(
        self, user: str | int, attributes: Mapping[str, AttributeValue | None], event_id: str | None = None
    ) -> None:
        """Set attributes of a user; None removes one, those not named stay.

        Raises:
            ValueError: the worker would refuse it.
        """
        fields = {"type": "profile", "user_id": user, "attributes": dict(attributes), "event_id": event_id}
        self.send(_valid(ProfileChanged, fields))

    def forget(self, user: str | int, event_id: str | None = None) -> None:
        """A user asked to be forgotten.

        Raises:
            ValueError: the worker would refuse it.
        """
        self.send(_valid(Forgotten, {"type": "forget", "user_id": user, "event_id": event_id}))

    def send(self, event: Event, *, is_loaded: bool = False) -> None:
        """Queue an event; waits while the local queue is full.

        `is_loaded`: history, and a later event of this user will follow that is not; until then no list answers.

        Raises:
            ValueError: the worker would refuse it; nothing is queued.
            DeliveryError: the queue is full and records in it failed.
        """
        message = event_message(self.topic, event)
        decode_json(RawRecord(message.key, message.value, time.time_ns() // 1_000_000), self.rules)
        self.queue(replace(message, headers=(LOAD_HEADER,)) if is_loaded else message)


def _valid(model: type[Event], fields: dict[str, Any]) -> Event:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def _plain(time_given: Time | None) -> int | str | None:
    return time_given.isoformat() if isinstance(time_given, datetime) else time_given
