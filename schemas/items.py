"""The records of the catalogue: what an item is, keyed by its id as text in a compacted topic; null removes an item.

Kafka forgets a null some time after it compacted the topic. Where `topics create` did not make the topic (it keeps
nulls for good), `"removed": true` says the same in a record that stays.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from schemas.decode import WireRules
from schemas.documents import json_object, validated
from schemas.events import check_schema
from schemas.identity import CONTROL, ITEM_ID_MAX, ItemId, check_item_kind, check_text_id
from schemas.reasons import MalformedRecordError, Reason

TITLE_MAX_CHARS = 1_000
LABEL_MAX_CHARS = 256
LABELS_MAX = 100
LINKS_MAX = 32
YEAR_MAX = 9_999

_INTEGER = re.compile(rb"0|[1-9][0-9]{0,9}")
_REASON_OF_FIELD: dict[str, Reason] = {"item_id": "bad_item_id", "schema": "unsupported_schema"}

# Titles stand in terminals and logs, so they carry no control characters.
_CONTROL = re.compile(CONTROL)
_LINK_KIND = "^[A-Za-z0-9_.-]{1,64}$"


def _text_schema(max_chars: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": max_chars, "not": {"pattern": CONTROL}}


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError(f"{text[:64]!r} has control characters: leave them out")
    return text


_LINKS_SCHEMA = {
    "type": "object",
    "maxProperties": LINKS_MAX,
    "propertyNames": {"pattern": _LINK_KIND},
    "additionalProperties": _text_schema(LABEL_MAX_CHARS),
}

Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=TITLE_MAX_CHARS),
    AfterValidator(_printable),
    WithJsonSchema(_text_schema(TITLE_MAX_CHARS)),
]
Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LABEL_MAX_CHARS),
    AfterValidator(_printable),
    WithJsonSchema(_text_schema(LABEL_MAX_CHARS)),
]
Labels = Annotated[list[Label], Field(max_length=LABELS_MAX)]
LinkKind = Annotated[str, StringConstraints(pattern=_LINK_KIND)]
Links = Annotated[dict[LinkKind, Label], Field(max_length=LINKS_MAX), WithJsonSchema(_LINKS_SCHEMA)]


class Item(BaseModel):
    """What is known of an item; what is not known may be left out. `tags` come most used first.

    `links` hold the item's id elsewhere by kind, such as "imdb" and "tmdb".
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True, extra="ignore", populate_by_name=True)

    item_id: ItemId
    title: Title | None = None
    genres: Labels = []
    tags: Labels = []
    year: Annotated[int, Field(ge=1, le=YEAR_MAX)] | None = None
    links: Links = {}
    removed: bool = False
    schema_version: Annotated[Literal[1], BeforeValidator(check_schema)] = Field(default=1, alias="schema")


_FIELDS = frozenset(info.alias or name for name, info in Item.model_fields.items())


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What a record says of an item (None: it is removed), and how many of its fields were ignored."""

    item_id: int | str
    item: Item | None
    unknown_fields: int = 0


def decode_item(key: bytes | None, value: bytes | None, rules: WireRules) -> ItemChange:
    """What a record of the catalogue says.

    Raises:
        MalformedRecordError: anything that is wrong with the record, with its reason.
    """
    if key is None:
        raise MalformedRecordError("null_key", "the record has no key: key it with the item id as text")
    if value is None:
        return ItemChange(_id_of(key, rules), None)
    if not value:
        raise MalformedRecordError("empty_value", "the value is empty: to remove an item send null")
    document = json_object(value)
    unknown = document.keys() - _FIELDS
    if unknown and rules.refuse_unknown_fields:
        raise MalformedRecordError("unknown_field", f"unknown field {min(unknown)[:64]!r}: leave it out")
    item = validated(Item, document, _REASON_OF_FIELD)
    check_item_kind(item.item_id, rules.catalogue)
    if key != item_key(item.item_id):
        raise MalformedRecordError("key_mismatch", "the record's key is not its item_id as text: key it with that")
    return ItemChange(item.item_id, None if item.removed else item, len(unknown))


def item_key(item_id: int | str) -> bytes:
    """The key of an item's records."""
    return str(item_id).encode()


def _id_of(key: bytes, rules: WireRules) -> int | str:
    if rules.catalogue == "integer":
        if not _INTEGER.fullmatch(key) or int(key) > ITEM_ID_MAX:
            raise MalformedRecordError("bad_item_id", f"the key {key[:64]!r} is no integer from 0 to {ITEM_ID_MAX}")
        return int(key)
    try:
        return check_text_id(key.decode())
    except ValueError as error:
        raise MalformedRecordError("bad_item_id", f"the key is no item id: {error}") from None
