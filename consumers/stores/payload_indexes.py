"""Payload indexes, so that a filtered search costs about as much as an unfiltered one. Imports no Qdrant library.

An attribute is indexed as what it is: text (keyword), a number (float, which finds integers too) or a boolean. There is
no index of integers for attributes, because it would hide the floats among them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from consumers.stores.points import ACTIVE_AT_MS, NUM_RATINGS, attribute_path

Kind = Literal["integer", "keyword", "float", "bool"]
AttributeKind = Literal["keyword", "float", "bool"]

_DECLARED = re.compile(rf"([A-Za-z_][A-Za-z0-9_]{{0,63}}):({'|'.join(get_args(AttributeKind))})")


@dataclass(frozen=True, slots=True)
class PayloadIndex:
    """An index on a payload path."""

    path: str
    kind: Kind


ALWAYS = (PayloadIndex(NUM_RATINGS, "integer"), PayloadIndex(ACTIVE_AT_MS, "integer"))


def payload_indexes(attributes: Iterable[str]) -> tuple[PayloadIndex, ...]:
    """Those that every store with indexes has, and those of attributes that are declared as "name:kind".

    Raises:
        ValueError: a declaration cannot be read.
    """
    return (*ALWAYS, *map(_declared, attributes))


def _declared(text: str) -> PayloadIndex:
    found = _DECLARED.fullmatch(text)
    if found is None:
        kinds = ", ".join(get_args(AttributeKind))
        raise ValueError(f"{text!r} declares no attribute: write name:kind, such as age:float, where kind is {kinds}")
    name, kind = found.groups()
    return PayloadIndex(attribute_path(name), cast("AttributeKind", kind))
