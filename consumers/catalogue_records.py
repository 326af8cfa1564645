"""What a record of the topic of items changes in a catalogue; the worker and the commands read it alike."""

import sys
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import Message

from recommender.catalogue import Catalogue, CatalogueItem
from schemas.decode import WireRules
from schemas.items import Item, decode_item
from schemas.reasons import MalformedRecordError, Reason

Refusal = Reason | Literal["catalogue_full"]
"""Why a record of the catalogue is left out."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a record: why it was left out (None: it was taken), in words, and how many fields were ignored."""

    refusal: Refusal | None = None
    why: str = ""
    unknown_fields: int = 0


def take(catalogue: Catalogue, message: Message, rules: WireRules) -> Taken:
    """Change the catalogue as a record says."""
    try:
        change = decode_item(message.key(), message.value(), rules)
    except MalformedRecordError as error:
        return Taken(error.reason, str(error))
    if not isinstance(change.item_id, int):
        return Taken("string_item_id", "string ids have no dimension yet: use integers")
    if change.item is None:
        has_room = catalogue.remove(change.item_id)
    else:
        has_room = catalogue.put(change.item_id, known_item(change.item))
    if not has_room:
        limit = f"{catalogue.items_max} items are the most it holds (limits.catalogue_max_items)"
        return Taken("catalogue_full", f"no room for item {change.item_id}: {limit}", change.unknown_fields)
    return Taken(unknown_fields=change.unknown_fields)


def known_item(item: Item) -> CatalogueItem:
    """An item as the catalogue keeps it."""
    # The same few genres and tags stand at very many items.
    genres, tags = (tuple(map(sys.intern, names)) for names in (item.genres, item.tags))
    return CatalogueItem(item.title, genres, tags, item.year, item.links)
