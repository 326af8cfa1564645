"""Bytes to events: one decoder function per format, chosen in `decoder_for` alone.

A decoder either returns a `Decoded` or raises `MalformedRecordError`; no other exception leaves it, whatever the bytes.
Of a JSON key that comes twice the last counts. A Kafka timestamp before 1990 or after 9999 counts as not set.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from schemas.documents import json_object, validated
from schemas.events import EVENT_MODELS, RESERVED_TYPES, Event, Rated, Retracted
from schemas.identity import CatalogueKind, check_item_kind
from schemas.reasons import MalformedRecordError, Reason
from schemas.scale import Scale
from schemas.times import EARLIEST_MS, FUTURE_TOLERANCE_MS, LATEST_MS, format_time

Format = Literal["json"]


@dataclass(frozen=True, slots=True)
class WireRules:
    """What this deployment accepts beyond the record's own form."""

    scale: Scale = field(default_factory=Scale)
    catalogue: CatalogueKind = "integer"
    refuse_unknown_fields: bool = False


class Undecoded(Protocol):
    """A Kafka record as it came: key and value bytes (None: null) and its timestamp in epoch ms (None: not set)."""

    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def timestamp_ms(self) -> int | None: ...  # noqa: D102


class RawRecord(NamedTuple):
    """Such a record, and nothing else."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None


class Decoded(NamedTuple):
    """A valid event, when it counts, and what was ignored.

    `at_ms` is in epoch ms: `rated_at`, else the record's own time; 0 for a `profile` or `forget` without either.
    """

    event: Event
    at_ms: int
    unknown_fields: int


Decoder = Callable[[Undecoded, WireRules], Decoded]

_REASON_OF_FIELD: dict[str, Reason] = {
    "user_id": "bad_user_id",
    "item_id": "bad_item_id",
    "rated_at": "bad_time",
    "attributes": "bad_attributes",
    "schema": "unsupported_schema",
}
_FIELDS = {
    name: frozenset(info.alias or field_name for field_name, info in model.model_fields.items()) | {"type"}
    for name, model in EVENT_MODELS.items()
}
_ABOUT_ITEMS = (Rated, Retracted)


def decoder_for(wire_format: Format) -> Decoder:
    """The decoder of a format; the one place to add Avro or Protobuf."""
    return {"json": decode_json}[wire_format]


def decode_json(record: Undecoded, rules: WireRules) -> Decoded:
    """An event from JSON bytes.

    Raises:
        MalformedRecordError: anything that is wrong with the record, with its reason.
    """
    document = _parse(record.value)
    kind = _kind(document)
    unknown = document.keys() - _FIELDS[kind]
    if unknown and rules.refuse_unknown_fields:
        raise MalformedRecordError("unknown_field", f"unknown field {min(unknown)[:64]!r}: leave it out")
    event = _validated(kind, document)
    _check_key(record.key, event.user_id)
    return Decoded(event, _check_content(event, record, rules), len(unknown))


def _parse(value: bytes | None) -> dict[str, Any]:
    if not value:
        raise MalformedRecordError(
            "empty_value", "the record has no value: to remove a user send an event of type forget"
        )
    return json_object(value)


def _kind(document: dict[str, Any]) -> str:
    kind = document.get("type", "rated")
    if isinstance(kind, str) and kind in EVENT_MODELS:
        return kind
    known = ", ".join(EVENT_MODELS)
    if not isinstance(kind, str):
        raise MalformedRecordError("unknown_type", f"the type is not text: send one of {known}")
    if kind in RESERVED_TYPES:
        raise MalformedRecordError("reserved_type", f"the type {kind!r} is reserved and not taken yet")
    raise MalformedRecordError("unknown_type", f"unknown type {kind[:64]!r}: this version knows {known}")


def _validated(kind: str, document: dict[str, Any]) -> Event:
    return validated(EVENT_MODELS[kind], document, _REASON_OF_FIELD)


def _check_key(key: bytes | None, user_id: str) -> None:
    if key is None:
        raise MalformedRecordError(
            "null_key", "the record has no key: key it with the user id, or one user's order is lost"
        )
    if key != user_id.encode():
        raise MalformedRecordError("key_mismatch", "the record's key is not its user_id in UTF-8: key it with that")


def _check_content(event: Event, record: Undecoded, rules: WireRules) -> int:
    record_ms = _usable(record.timestamp_ms)
    if not isinstance(event, _ABOUT_ITEMS):
        return record_ms or 0
    check_item_kind(event.item_id, rules.catalogue)
    if isinstance(event, Rated) and event.rating not in rules.scale:
        raise MalformedRecordError(
            "rating_out_of_scale",
            f"the rating {event.rating} lies outside the scale {rules.scale}",
        )
    if event.rated_at is not None:
        _check_time(event.rated_at, record_ms)
        return event.rated_at
    if record_ms is None:
        raise MalformedRecordError("bad_time", "no rated_at, and the Kafka record carries no usable timestamp either")
    return record_ms


def _usable(timestamp_ms: int | None) -> int | None:
    return timestamp_ms if timestamp_ms is not None and EARLIEST_MS <= timestamp_ms <= LATEST_MS else None


def _check_time(at_ms: int, timestamp_ms: int | None) -> None:
    if at_ms < EARLIEST_MS:
        raise MalformedRecordError(
            "time_too_early",
            f"rated_at is {at_ms} ms since 1970, before 1990: were seconds sent as milliseconds?",
        )
    if timestamp_ms is not None and at_ms > timestamp_ms + FUTURE_TOLERANCE_MS:
        raise MalformedRecordError(
            "time_in_future",
            f"rated_at is {at_ms} ms since 1970, over a day after the record's own time {format_time(timestamp_ms)}",
        )
