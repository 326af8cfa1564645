"""The input records: everything that changes one user, keyed by user id so that Kafka orders that user's life."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from schemas.identity import ItemId, UserId
from schemas.times import EpochMs

ATTRIBUTES_MAX = 64
ATTRIBUTE_VALUE_MAX_CHARS = 256
EVENT_ID_MAX_CHARS = 256
ATTRIBUTE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

AttributeValue = StrictBool | StrictInt | StrictFloat | StrictStr
_INT64 = 2**63


def _attributes(given: Any) -> Any:
    if not isinstance(given, dict):
        raise ValueError("attributes are an object of names and values")
    if len(given) > ATTRIBUTES_MAX:
        raise ValueError(f"a profile event carries at most {ATTRIBUTES_MAX} attributes")
    for name, value in given.items():
        _check_attribute(name, value)
    return given


def _check_attribute(name: Any, value: Any) -> None:
    if not isinstance(name, str) or not ATTRIBUTE_NAME.fullmatch(name):
        raise ValueError(f"the attribute name {str(name)[:64]!r} is not letters, digits and _ (64 at most)")
    if isinstance(value, str) and len(value) > ATTRIBUTE_VALUE_MAX_CHARS:
        raise ValueError(f"the attribute {name!r} has over {ATTRIBUTE_VALUE_MAX_CHARS} characters")
    if isinstance(value, int | float) and not -_INT64 < value < _INT64:
        raise ValueError(f"the attribute {name!r} does not lie within ±2**63")
    if not (value is None or isinstance(value, str | int | float)):
        raise ValueError(f"the attribute {name!r} is neither text, a number, true, false nor null")


def check_schema(given: Any) -> Any:
    """The number of a record's schema, if this version reads it."""
    if given is True or not isinstance(given, int) or given != 1:
        raise ValueError("this version reads schema 1 (an integer), which is also what a missing one means")
    return given


_ATTRIBUTES_SCHEMA = {
    "type": "object",
    "maxProperties": ATTRIBUTES_MAX,
    "propertyNames": {"pattern": f"^{ATTRIBUTE_NAME.pattern}$"},
    "additionalProperties": {
        "anyOf": [
            {"type": "string", "maxLength": ATTRIBUTE_VALUE_MAX_CHARS},
            {"type": "number", "exclusiveMinimum": -_INT64, "exclusiveMaximum": _INT64},
            {"type": ["boolean", "null"]},
        ]
    },
}

Attributes = Annotated[
    dict[str, AttributeValue | None], BeforeValidator(_attributes), WithJsonSchema(_ATTRIBUTES_SCHEMA)
]


class _Event(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, extra="ignore", populate_by_name=True)

    user_id: UserId
    event_id: Annotated[str, Field(max_length=EVENT_ID_MAX_CHARS)] | None = None
    schema_version: Annotated[Literal[1], BeforeValidator(check_schema)] = Field(default=1, alias="schema")


class Rated(_Event):
    """A user rated an item; the later `rated_at` of the same item counts."""

    type: Literal["rated"] = "rated"
    item_id: ItemId
    rating: float
    rated_at: EpochMs | None = None


class Retracted(_Event):
    """A user took a rating back."""

    type: Literal["retracted"]
    item_id: ItemId
    rated_at: EpochMs | None = None


class ProfileChanged(_Event):
    """Attributes of a user, for filters: each given name is set, null removes it, others stay."""

    type: Literal["profile"]
    attributes: Attributes


class Forgotten(_Event):
    """A user asked to be forgotten: everything applied before this record goes."""

    type: Literal["forget"]


Event = Rated | Retracted | ProfileChanged | Forgotten

EVENT_MODELS: dict[str, type[Rated | Retracted | ProfileChanged | Forgotten]] = {
    "rated": Rated,
    "retracted": Retracted,
    "profile": ProfileChanged,
    "forget": Forgotten,
}
RESERVED_TYPES = frozenset({"shown", "clicked", "viewed", "bought"})
