"""Points: how states, markers and settings stand in a payload. One mapping for every Qdrant store.

Qdrant gives one float in ten back with another last digit, so a float that has to be exact stands there as text too.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from recommender.packing import pack_history, pack_items, unpack_history, unpack_items
from recommender.profile import EMPTY_HISTORY, NO_ITEMS, AttributeValue, Repeats, UserState, mean_rating
from recommender.store import StoreError, StoreMismatchError, StoreSettings
from recommender.vector import VectorSpec

Payload = dict[str, Any]

TAG = "tag"
HISTORY = "history"
NUM_RATINGS = "num_ratings"
ACTIVE_AT_MS = "active_at_ms"
_ATTRIBUTES = "attributes"
_EXACT = "exact"
_REPEATS = "repeats"
_MARKER = "marker"
_SETTINGS = "settings"
_ITEM_ID = "item_id"
UNUSED_VECTOR = "unused"
"""Items have no vector, but the engine makes no shard without a name for one."""


def user_payload(state: UserState) -> Payload:
    """The payload of a user; of a forgotten one only what keeps a paused process from bringing them back."""
    kept: Payload = {"count": state.count, "o": dict(state.offsets), "last": state.last_source, TAG: state.tag}
    if state.user_id is None:
        return kept
    rated = state.history.rated()
    known: Payload = {
        "user_id": state.user_id,
        NUM_RATINGS: len(rated),
        HISTORY: pack_history(state.history),
        **kept,
    }
    if len(rated):
        known |= {"avg_rating": mean_rating(rated), ACTIVE_AT_MS: int(rated.rated_at[-1])}
    if state.attributes:
        known[_ATTRIBUTES] = dict(state.attributes)
    if exact := {name: value.hex() for name, value in state.attributes.items() if isinstance(value, float)}:
        known[_EXACT] = exact
    if state.repeats:
        known[_REPEATS] = _packed(state.repeats)
    if len(state.seen):
        known["seen"] = pack_items(state.seen)
    return known


def user_state(payload: Mapping[str, Any]) -> UserState:
    """The state of a user's payload.

    Raises:
        StoreError: the payload is not one of ours.
    """
    try:
        return UserState(
            user_id=payload.get("user_id"),
            history=unpack_history(payload[HISTORY]) if HISTORY in payload else EMPTY_HISTORY,
            seen=unpack_items(payload["seen"]) if "seen" in payload else NO_ITEMS,
            attributes=_attributes(payload),
            count=payload["count"],
            offsets=payload["o"],
            last_source=payload["last"],
            tag=payload[TAG],
            repeats=_unpacked(payload[_REPEATS]) if _REPEATS in payload else {},
        )
    except (AttributeError, KeyError, ValueError, TypeError) as error:
        raise StoreError(
            f"a point of user {payload.get('user_id')!r} does not hold a state of ours ({error!r}): "
            "something else wrote to the collection; restore it, or replay the topic into a new store"
        ) from error


def _attributes(payload: Mapping[str, Any]) -> dict[str, AttributeValue]:
    exact = {name: float.fromhex(text) for name, text in payload.get(_EXACT, {}).items()}
    return {**payload.get(_ATTRIBUTES, {}), **exact}


def _packed(repeats: Mapping[int, Repeats]) -> str:
    return " ".join(f"{item}:{total.hex()}:{number}" for item, (total, number) in sorted(repeats.items()))


def _unpacked(text: str) -> dict[int, Repeats]:
    rows = (row.split(":") for row in text.split())
    return {int(item): Repeats(float.fromhex(total), int(number)) for item, total, number in rows}


def attribute_path(attribute: str) -> str:
    """Where an attribute stands in a user's payload, as filters and indexes name it."""
    return f"{_ATTRIBUTES}.{attribute}"


def finite(bound: float) -> float:
    """A bound of a range as an engine takes it: no infinity, but what no attribute reaches."""
    return min(max(bound, -sys.float_info.max), sys.float_info.max)


def is_user(payload: Mapping[str, Any]) -> bool:
    """Whether a point is a user, rather than a marker or the settings."""
    return "count" in payload


def marker_payload(source: str, offset: int) -> Payload:
    """The payload of a source's marker: everything up to `offset` is verified."""
    return {_MARKER: source, "offset": offset}


def marker_offset(payload: Mapping[str, Any]) -> int:
    """The offset a marker vouches for."""
    return int(payload["offset"])


def settings_tag(settings: StoreSettings) -> int:
    """63 bits that stand for these settings, as the condition under which others may replace them."""
    digest = hashlib.blake2b(json.dumps(settings.document(), sort_keys=True).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def settings_payload(settings: StoreSettings) -> Payload:
    """The payload of the settings point."""
    document = settings.document()
    document |= {name: repr(document[name]) for name in ("scale_min", "scale_max")}
    document["partitions"] = [{"topic": topic, "count": count} for topic, count in settings.partitions.items()]
    if settings.further:
        document["further"] = [{"name": name, **asdict(spec)} for name, spec in settings.further.items()]
    if "thinning" in document:
        document["thinning"] = list(settings.thinning)
    return {TAG: settings_tag(settings), _SETTINGS: document}


def stored_settings(payload: Mapping[str, Any]) -> StoreSettings:
    """The settings of a settings point.

    Raises:
        StoreError: they are not readable.
    """
    try:
        found = dict(payload[_SETTINGS])
        found |= {name: float(found[name]) for name in ("scale_min", "scale_max")}
        found["partitions"] = {row["topic"]: int(row["count"]) for row in found["partitions"]}
        found["further"] = {row["name"]: VectorSpec(row["dimensions"], row["idf"]) for row in found.get("further", [])}
        most, least = found.get("thinning", (0, 0))
        found["thinning"] = (int(most), int(least))
        return StoreSettings(**found)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the store's settings cannot be read ({error!r}): it is no store of ours") from error


def item_payload(item_id: str) -> Payload:
    """The payload of an item, which stands at its dimension."""
    return {_ITEM_ID: item_id}


def item_id_in(payload: Mapping[str, Any], place: str) -> str:
    """The id of an item's payload.

    Raises:
        StoreMismatchError: the payload is no item's.
    """
    found = payload.get(_ITEM_ID)
    if not isinstance(found, str):
        raise StoreMismatchError(f"the registry of items at {place} holds points that are no items: restore it")
    return found
