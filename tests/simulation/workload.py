"""What goes into the topics of a run, drawn from its seed, with what each record means: the truth of the oracle.

A user's life has ratings, late and repeated ones, retractions, attributes and `forget`; some records are malformed.
With two input topics a user's events come in no order, so that there only such are drawn as may change places.
"""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
from kafka_broker import EPOCH_MS, Place

from recommender.profile import Change, Forget, Rate, Retract, SetAttributes

MALFORMED = (b"", b"{", b"[1]", b'{"user_id":"u0"}', b'{"user_id":"u0","item_id":1,"rating":9,"rated_at":1700000000}')


@dataclass(frozen=True, slots=True)
class Planned:
    """A record to be produced: when, where, what, and what it changes (None: it is malformed)."""

    at_s: float
    place: Place
    user_id: str
    value: bytes
    change: Change | None


@dataclass(frozen=True, slots=True)
class Volume:
    """How much there is of what: partitions by topic, users, records, and how long they keep coming."""

    inputs: dict[str, int]
    users: int
    records: int
    seconds: float
    malformed: float


def planned_records(seed: int, volume: Volume) -> list[Planned]:
    """The records of a run, in order of time."""
    dice = random.Random(seed * 7 + 3)  # noqa: S311  # no secret
    burst = dice.random() < 0.4
    times = sorted(dice.random() * volume.seconds * (dice.random() if burst else 1) for _ in range(volume.records))
    return list(_records(dice, volume, times))


def _records(dice: random.Random, volume: Volume, times: list[float]) -> Iterator[Planned]:
    before: Planned | None = None
    for number, at_s in enumerate(times):
        topic = dice.choice(list(volume.inputs))
        user_id = f"u{dice.randrange(volume.users)}"
        place = (topic, zlib.crc32(user_id.encode()) % volume.inputs[topic])
        if dice.random() < volume.malformed:
            yield Planned(at_s, place, user_id, dice.choice(MALFORMED), None)
        elif before is not None and len(volume.inputs) == 1 and dice.random() < 0.1:
            yield Planned(at_s, before.place, before.user_id, before.value, before.change)
        else:
            before = Planned(at_s, place, user_id, *_event(dice, user_id, number, free=len(volume.inputs) == 1))
            yield before


def _event(dice: random.Random, user_id: str, number: int, *, free: bool) -> tuple[bytes, Change]:
    item = dice.randint(1, 6)
    # Every event has its own time, an earlier one now and then; equal times would make the order of topics matter.
    at_ms = EPOCH_MS + number * 10 - (dice.randrange(40) * 10 + 5 if dice.random() < 0.3 else 0)
    if not free:
        at_ms = EPOCH_MS + (number * 7919 % 1000) * 10
    drawn = dice.random()
    named = {"user_id": user_id}
    if free and drawn < 0.08:
        return orjson.dumps(named | {"type": "forget"}), Forget()
    if free and drawn < 0.16:
        attributes = {"a": dice.randint(0, 3)}
        return orjson.dumps(named | {"type": "profile", "attributes": attributes}), SetAttributes(attributes)
    if drawn < 0.28:
        document = named | {"type": "retracted", "item_id": item, "rated_at": at_ms}
        return orjson.dumps(document), Retract(item, at_ms)
    rating = dice.randint(1, 10) / 2
    document = named | {"item_id": item, "rating": rating, "rated_at": at_ms}
    return orjson.dumps(document), Rate(item, rating, at_ms)
