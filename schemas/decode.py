"""Bytes to events: one decoder function per format, chosen in `decoder_for` alone.

A decoder either returns a `Decoded` or raises `MalformedRecordError`; no other exception leaves it, whatever the bytes.
Of a JSON key that comes twice the last counts. A Kafka timestamp before 1990 or after 9999 counts as not set.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.events import EVENT_MODELS, RESERVED_TYPES, Event, Rated, Retracted
from schemas.reasons import MalformedRecordError, Reason
from schemas.scale import Scale
from schemas.times import EARLIEST_MS, FUTURE_TOLERANCE_MS, LATEST_MS, format_time

Format = Literal["json"]
CatalogueKind = Literal["integer", "string"]


@dataclass(frozen=True, slots=True)
class WireRules:
    """What this deployment accepts beyond the record's own form."""

    scale: Scale = field(default_factory=Scale)
    catalogue: CatalogueKind = "integer"
    refuse_unknown_fields: bool = False


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A Kafka record as it came: key and value bytes (None: null) and its timestamp in epoch ms (None: not set)."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A valid event, when it counts, and what was ignored.

    `at_ms` is in epoch ms: `rated_at`, else the record's own time; 0 for a `profile` or `forget` without either.
    """

    event: Event
    at_ms: int
    unknown_fields: int


Decoder = Callable[[RawRecord, WireRules], Decoded]

_REASON_OF_FIELD: dict[str, Reason] = {
    "user_id": "bad_user_id",
    "item_id": "bad_item_id",
    "rated_at": "bad_time",
    "attributes": "bad_attributes",
    "schema": "unsupported_schema",
}
_NOT_FINITE = re.compile("-?(NaN|Infinity)")
_FIELDS = {
    name: frozenset(info.alias or field_name for field_name, info in model.model_fields.items()) | {"type"}
    for name, model in EVENT_MODELS.items()
}


def decoder_for(wire_format: Format) -> Decoder:
    """The decoder of a format; the one place to add Avro or Protobuf."""
    return {"json": decode_json}[wire_format]


def decode_json(record: RawRecord, rules: WireRules) -> Decoded:
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
    if value[0] == 0:
        raise MalformedRecordError(
            "schema_registry_framing",
            "the value begins with a schema registry's magic byte 0: send plain JSON without the registry's framing",
        )
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        if _NOT_FINITE.match(error.doc, error.pos) or "infinity" in error.msg:
            raise MalformedRecordError(
                "not_finite", f"NaN, Infinity and numbers beyond 1.8e308 are not taken: {str(error)[:200]}"
            ) from None
        raise MalformedRecordError(
            "not_json", f"the value is no JSON in UTF-8 that can be read: {str(error)[:200]}"
        ) from None
    if not isinstance(document, dict):
        raise MalformedRecordError("not_an_object", "the JSON value is not an object")
    return document


def _kind(document: dict[str, Any]) -> str:
    kind = document.get("type", "rated")
    known = ", ".join(EVENT_MODELS)
    if not isinstance(kind, str):
        raise MalformedRecordError("unknown_type", f"the type is not text: send one of {known}")
    if kind in EVENT_MODELS:
        return kind
    if kind in RESERVED_TYPES:
        raise MalformedRecordError("reserved_type", f"the type {kind!r} is reserved and not taken yet")
    raise MalformedRecordError("unknown_type", f"unknown type {kind[:64]!r}: this version knows {known}")


def _validated(kind: str, document: dict[str, Any]) -> Event:
    try:
        return EVENT_MODELS[kind].model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        refusal = _refusal(error)
    # Raised out here, so that it has no context: pydantic's error keeps our validators' tracebacks, and with them every
    # caller's frame, where the garbage collector does not look.
    raise refusal


def _refusal(error: ValidationError) -> MalformedRecordError:
    details: ErrorDetails = error.errors(include_url=False, include_input=False)[0]
    name = str(details["loc"][0]) if details["loc"] else "value"
    if details["type"] == "missing":
        return MalformedRecordError("missing_field", f"the field {name!r} is missing")
    reason = _REASON_OF_FIELD.get(name, "wrong_type")
    return MalformedRecordError(reason, f"{name}: {details['msg'].removeprefix('Value error, ')}")


def _check_key(key: bytes | None, user_id: str) -> None:
    if key is None:
        raise MalformedRecordError(
            "null_key", "the record has no key: key it with the user id, or one user's order is lost"
        )
    if key != user_id.encode():
        raise MalformedRecordError("key_mismatch", "the record's key is not its user_id in UTF-8: key it with that")


def _check_content(event: Event, record: RawRecord, rules: WireRules) -> int:
    if isinstance(event, Rated | Retracted):
        _check_item(event.item_id, rules.catalogue)
    if isinstance(event, Rated) and event.rating not in rules.scale:
        raise MalformedRecordError(
            "rating_out_of_scale",
            f"the rating {event.rating} lies outside the scale {rules.scale}",
        )
    record_ms = _usable(record.timestamp_ms)
    if not isinstance(event, Rated | Retracted):
        return record_ms or 0
    if event.rated_at is not None:
        _check_time(event.rated_at, record_ms)
        return event.rated_at
    if record_ms is None:
        raise MalformedRecordError("bad_time", "no rated_at, and the Kafka record carries no usable timestamp either")
    return record_ms


def _check_item(item_id: int | str, catalogue: CatalogueKind) -> None:
    if catalogue == "integer" and isinstance(item_id, str):
        raise MalformedRecordError(
            "string_item_id", "this catalogue's item ids are integers: send the id as a JSON number"
        )
    if catalogue == "string" and not isinstance(item_id, str):
        raise MalformedRecordError("bad_item_id", "this catalogue's item ids are strings: send the id as text")


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
