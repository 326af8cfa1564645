"""The conditions of a request: who may be a neighbour, which ratings vote, which items may be shown, by which rules."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from schemas.events import ATTRIBUTE_NAME
from schemas.identity import ItemId
from schemas.times import EpochMs

CONDITIONS_MAX = 16
"""Attributes that one question may ask for."""
VALUES_MAX = 100
"""Values of one attribute, and genres and tags of one question."""
NAMED_ITEMS_MAX = 1_000
"""Items that one question may name to include or to exclude."""
LABEL_MAX_CHARS = 256
"""Characters of a genre, a tag or a text that an attribute may have."""

AttributeValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class OneOfValues:
    """An attribute is one of these."""

    values: tuple[AttributeValue, ...]


@dataclass(frozen=True, slots=True)
class ValueRange:
    """An attribute is a number between these, both included."""

    least: float
    greatest: float


AttributeCondition = OneOfValues | ValueRange


class Conditions(BaseModel):
    """Frozen, strict, and without unknown fields."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, extra="forbid")

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """The same one: it is frozen, and pydantic would copy a default anew for every question."""
        return self


def _refused(message: str) -> PydanticCustomError:
    return PydanticCustomError("bad_filter", "{why}", {"why": message})


def _attribute_conditions(given: Any) -> Any:
    if not isinstance(given, dict):
        raise _refused("attributes are an object of names and conditions")
    if len(given) > CONDITIONS_MAX:
        raise _refused(f"a question asks for at most {CONDITIONS_MAX} attributes")
    return {_attribute_name(name): _attribute_condition(name, wanted) for name, wanted in given.items()}


def _attribute_name(name: Any) -> str:
    if not isinstance(name, str) or not ATTRIBUTE_NAME.fullmatch(name):
        raise _refused(f"the attribute name {str(name)[:64]!r} is not letters, digits and _ (64 at most)")
    return name


def _attribute_condition(name: str, wanted: Any) -> AttributeCondition:
    match wanted:
        case {"around": middle, "within": width, **rest} if not rest:
            middle, width = _number(name, middle), _number(name, width)
            return _range(name, middle - width, middle + width)
        case {**bounds} if bounds and bounds.keys() <= {"min", "max"}:
            return _range(name, _number(name, bounds.get("min", -math.inf)), _number(name, bounds.get("max", math.inf)))
        case list() if 1 <= len(wanted) <= VALUES_MAX:
            return OneOfValues(tuple(_value(name, one) for one in wanted))
        case str() | int() | float():
            return OneOfValues((_value(name, wanted),))
    raise _refused(
        f"{name} is a value, a list of 1 to {VALUES_MAX} values, "
        '{"min": …, "max": …} with one or both, or {"around": …, "within": …}'
    )


def _range(name: str, least: float, greatest: float) -> ValueRange:
    if not least <= greatest:
        raise _refused(f"no {name} lies between {least:g} and {greatest:g}")
    return ValueRange(least, greatest)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(f"a bound of {name} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise _refused(f"a bound of {name} does not fit into a double") from None


def _value(name: str, value: Any) -> AttributeValue:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= LABEL_MAX_CHARS:
        return value
    if isinstance(value, int | float):
        _number(name, value)
        return value
    raise _refused(f"a value of {name} is neither text of at most {LABEL_MAX_CHARS} characters, a number nor a boolean")


_VALUE_SCHEMA = {
    "anyOf": [{"type": "string", "maxLength": LABEL_MAX_CHARS}, {"type": "number"}, {"type": "boolean"}],
}
_NUMBER_SCHEMA = {"type": "number"}
_CONDITION_SCHEMA = {
    "anyOf": [
        *_VALUE_SCHEMA["anyOf"],
        {"type": "array", "items": _VALUE_SCHEMA, "minItems": 1, "maxItems": VALUES_MAX},
        {
            "type": "object",
            "properties": {"min": _NUMBER_SCHEMA, "max": _NUMBER_SCHEMA},
            "minProperties": 1,
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"around": _NUMBER_SCHEMA, "within": {"type": "number", "minimum": 0}},
            "required": ["around", "within"],
            "additionalProperties": False,
        },
    ]
}
_ATTRIBUTES_SCHEMA = {
    "description": "Conditions by attribute, the most important first: of too many the last is given up first.",
    "type": "object",
    "maxProperties": CONDITIONS_MAX,
    "propertyNames": {"pattern": f"^{ATTRIBUTE_NAME.pattern}$"},
    "additionalProperties": _CONDITION_SCHEMA,
}

AttributeConditions = Annotated[
    dict[str, Any], BeforeValidator(_attribute_conditions), WithJsonSchema(_ATTRIBUTES_SCHEMA)
]

Label = Annotated[str, Field(min_length=1, max_length=LABEL_MAX_CHARS)]
Labels = Annotated[tuple[Label, ...], Field(max_length=VALUES_MAX, strict=False)]
NamedItems = Annotated[tuple[ItemId, ...], Field(max_length=NAMED_ITEMS_MAX, strict=False)]


class NeighbourConditions(Conditions):
    """Who may be a neighbour; where too few are, the conditions are widened step by step, and the reply says how."""

    attributes: AttributeConditions = {}
    min_ratings: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    active_since: EpochMs | None = None


class VoteWindow(Conditions):
    """Only ratings from `since` on vote, or those of so many days before the newest rating of all."""

    since: EpochMs | None = None
    within_days: Annotated[float, Field(gt=0, le=100_000)] | None = None

    @model_validator(mode="after")
    def _refuse_both(self) -> Self:
        if self.since is not None and self.within_days is not None:
            raise PydanticCustomError("contradiction", "votes are taken by since or by within_days, not by both")
        return self


class ItemConditions(Conditions):
    """Which items may be shown: all conditions must hold, of several genres (tags) one is enough."""

    genres: Labels = ()
    tags: Labels = ()
    year_from: Annotated[int, Field(ge=0, le=9_999)] | None = None
    year_to: Annotated[int, Field(ge=0, le=9_999)] | None = None
    include: NamedItems = ()
    exclude: NamedItems = ()
    popular_now_days: Annotated[float, Field(gt=0, le=100_000)] | None = None


class QueryRules(Conditions):
    """The rules of the ranking that a request may change; none of them touches what is stored."""

    neighbours: Annotated[int, Field(ge=1, le=1_000)] | None = None
    query_events: Annotated[int, Field(ge=1, le=1_000)] | None = None
    query_half_life: Annotated[float, Field(gt=0, le=100_000)] | None = None
    similarity_exponent: Annotated[float, Field(ge=0, le=10)] | None = None
    vote_offset: Annotated[float, Field(ge=-10, le=10)] | None = None
    position_half_life: Annotated[float, Field(gt=0, le=100_000)] | None = None
    position_floor: Annotated[float, Field(ge=0, le=1)] | None = None
