"""Events and items to records, for everything of ours that produces them: the right key, the right bytes."""

import orjson

from schemas.events import Event
from schemas.items import Item, item_key
from schemas.messages import Message
from schemas.times import format_time


def event_message(topic: str, event: Event) -> Message:
    """The record of an event: keyed by user id, JSON, times as RFC 3339, absent fields left out."""
    document = event.model_dump(by_alias=True, exclude_defaults=True)
    if "rated_at" in document:
        document["rated_at"] = format_time(document["rated_at"])
    return Message(topic, event.user_id.encode(), orjson.dumps(document))


def item_message(topic: str, item: Item) -> Message:
    """The record of an item: keyed by its id as text, JSON, absent fields left out."""
    document = item.model_dump(by_alias=True, exclude_defaults=True)
    return Message(topic, item_key(item.item_id), orjson.dumps(document))


def removed_item_message(topic: str, item_id: int | str) -> Message:
    """The record that takes an item out of the catalogue."""
    return Message(topic, item_key(item_id), None)
