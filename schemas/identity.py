"""Who and what a record is about: the rules for user ids, item ids and their types.

Ids travel in keys, headers and logs, so those that are text carry no control characters.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from schemas.reasons import MalformedRecordError

CatalogueKind = Literal["integer", "string"]
"""What all item ids of a catalogue are."""

USER_ID_MAX_BYTES = 256
ITEM_ID_MAX_BYTES = 256
ITEM_ID_MAX = 2**32 - 1
POPULAR_USER_ID = "_popular"
"""No user's id: under it the list is published for users nobody knows."""
RESERVED_USER_IDS = frozenset({POPULAR_USER_ID})

CONTROL = r"[\u0000-\u001f\u007f-\u009f]"
_UNWRITABLE = re.compile(rf"{CONTROL}|[\ud800-\udfff]")


def _user_id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("a user id is a string, or an integer of 64 bits that stands for its decimal string")
    check_text("a user id", value, USER_ID_MAX_BYTES)
    if value in RESERVED_USER_IDS:
        raise ValueError(f"the user id {value!r} is reserved")
    return value


def _item_id(value: Any) -> int | str:
    if isinstance(value, str):
        return check_text_id(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"an item id is an integer from 0 to {ITEM_ID_MAX} (no fraction, no exponent), or a string")
    if not 0 <= value <= ITEM_ID_MAX:
        raise ValueError(f"the item id {str(value)[:24]} lies outside 0..{ITEM_ID_MAX}")
    return value


def check_text_id(value: str) -> str:
    """The text, if it can be an item id.

    Raises:
        ValueError: it cannot.
    """
    check_text("an item id that is a string", value, ITEM_ID_MAX_BYTES)
    return value


def check_text(what: str, value: str, max_bytes: int) -> None:
    """See that a text can be an id.

    Raises:
        ValueError: it is empty or too long, or has characters that no key, header or log should carry.
    """
    if not value or len(value.encode(errors="replace")) > max_bytes:
        raise ValueError(f"{what} has 1 to {max_bytes} bytes of UTF-8")
    if _UNWRITABLE.search(value):
        raise ValueError(f"{what} has no control characters, but {value[:64]!r} does")


_USER_ID_SCHEMA = {
    "description": "Text of 1 to 256 bytes of UTF-8, or an integer that stands for its decimal string.",
    "anyOf": [
        {
            "type": "string",
            "minLength": 1,
            "maxLength": USER_ID_MAX_BYTES,
            "not": {"anyOf": [{"enum": sorted(RESERVED_USER_IDS)}, {"pattern": CONTROL}]},
        },
        {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
    ],
}
_ITEM_ID_SCHEMA = {
    "description": "A catalogue has either integers (written without fraction or exponent) or text of 1 to 256 bytes.",
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": ITEM_ID_MAX},
        {"type": "string", "minLength": 1, "maxLength": ITEM_ID_MAX_BYTES, "not": {"pattern": CONTROL}},
    ],
}

UserId = Annotated[str, BeforeValidator(_user_id), WithJsonSchema(_USER_ID_SCHEMA)]
ItemId = Annotated[int | str, BeforeValidator(_item_id), WithJsonSchema(_ITEM_ID_SCHEMA)]


def check_item_kind(item_id: int | str, catalogue: CatalogueKind) -> None:
    """That an item id is of the catalogue's kind.

    Raises:
        MalformedRecordError: it is of the other one.
    """
    if catalogue == "integer" and isinstance(item_id, str):
        raise MalformedRecordError(
            "string_item_id", "this catalogue's item ids are integers: send the id as a JSON number"
        )
    if catalogue == "string" and not isinstance(item_id, str):
        raise MalformedRecordError("bad_item_id", "this catalogue's item ids are strings: send the id as text")
