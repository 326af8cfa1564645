"""What a record of the topic of items changes in a catalogue; the worker and the commands read it alike."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import Message

from consumers.item_ids import Dimensions, ItemIds, dimension_of
from recommender.catalogue import Catalogue, CatalogueItem
from schemas.decode import WireRules
from schemas.items import Item, ItemChange, decode_item
from schemas.reasons import MalformedRecordError, Reason

Refusal = Reason | Literal["catalogue_full"]
"""Why a record of the catalogue is left out."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a record: why it was left out (None: it was taken), in words, and how many fields were ignored."""

    refusal: Refusal | None = None
    why: str = ""
    unknown_fields: int = 0


def take(catalogue: Catalogue, messages: Iterable[Message], rules: WireRules, items: ItemIds) -> list[Taken]:
    """Change the catalogue as records say, in their order; items that are new to `items` get dimensions there.

    Raises:
        StoreUnavailableError: the registry of items is away; nothing was changed.
    """
    changes = [_decoded(message, rules) for message in messages]
    dimensions = items.assigned(change.item_id for change in changes if isinstance(change, ItemChange))
    return [one if isinstance(one, Taken) else _taken(catalogue, one, dimensions) for one in changes]


def _decoded(message: Message, rules: WireRules) -> ItemChange | Taken:
    try:
        return decode_item(message.key(), message.value(), rules)
    except MalformedRecordError as error:
        return Taken(error.reason, str(error))


def _taken(catalogue: Catalogue, change: ItemChange, dimensions: Dimensions) -> Taken:
    dimension, item = dimension_of(change.item_id, dimensions), change.item
    has_room = catalogue.remove(dimension) if item is None else catalogue.put(dimension, known_item(item))
    if not has_room:
        limit = f"{catalogue.items_max} items are the most it holds (limits.catalogue_max_items)"
        return Taken("catalogue_full", f"no room for item {change.item_id}: {limit}", change.unknown_fields)
    return Taken(unknown_fields=change.unknown_fields)


def known_item(item: Item) -> CatalogueItem:
    """An item as the catalogue keeps it."""
    # The same few genres and tags stand at very many items.
    genres, tags = (tuple(map(sys.intern, names)) for names in (item.genres, item.tags))
    return CatalogueItem(item.title, genres, tags, item.year, item.links)
