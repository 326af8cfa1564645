"""Whether a stored state is what it should be, and in what it is not. Pure; floats are compared bit for bit.

- `compare_states` is for two states that should be equal; what names a write (`tag`) is not part of it.
- `point_differences` is for one point by itself: what stands beside a history must follow from it, the vector too.
- Of a user whose events stand in several sources (topics) nobody can tell in which order the worker saw them, so the
  order of equal times and the last source do not count there.
- Everything a vector or a mean is compared with is computed here anew, in plain Python: only the fold is shared.
"""

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from consumers.stores.points import Payload, user_payload, user_state
from consumers.stores.stored_points import StoredPoint, StoredVector
from recommender.profile import AttributeValue, History, UserState
from recommender.store import StoreError
from recommender.vector import ORIGIN_MS, YEAR_MS, ValueRule

Shown = str | int | float | bool | None
Places = dict[str, Shown]
"""A state as flat names and values; a name that is missing has no value."""

PAYLOAD_FLOAT_TOLERANCE = 1e-15
"""Engines give floats of a payload back with another last digit (the exact ones stand in the history)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs; None: it is not there."""

    what: str
    expected: Shown
    found: Shown


def compare_states(expected: UserState, found: UserState) -> list[Difference]:
    """In what two states differ that should be equal bit for bit, tags apart; empty when in nothing."""
    if exact(expected) == exact(found):
        return []
    differing = _compared(places(expected), places(found))
    return differing or [_order_difference(expected, found)]


def state_digest(state: UserState) -> bytes:
    """16 bytes that are equal for states that `compare_states` finds equal, and for no others."""
    return hashlib.blake2b(repr(exact(state)).encode(), digest_size=16).digest()


def exact(state: UserState) -> tuple[object, ...]:
    """Everything of a state but its tag, comparable bit for bit, types included."""
    attributes = sorted((name, type(value).__name__, _attribute(value)) for name, value in state.attributes.items())
    is_mixed = len(state.offsets) > 1
    rows = _sorted_rows(state.history) if is_mixed else _bytes(state.history)
    last = None if is_mixed else state.last_source
    seen = state.seen.astype("<u4").tobytes()
    repeats = sorted((item, total.hex(), number) for item, (total, number) in state.repeats.items())
    return (state.user_id, rows, seen, attributes, state.count, sorted(state.offsets.items()), last, repeats)


def places(state: UserState) -> Places:
    """A state, name by name: every item, every seen item, every attribute, every offset."""
    history = state.history
    rows = zip(history.items.tolist(), history.ratings.tolist(), history.rated_at.tolist(), strict=True)
    found: Places = {"user": state.user_id, "count": state.count, "mean": stored_mean(history)}
    found |= {f"item {item}": _entry(rating, at_ms) for item, rating, at_ms in rows}
    found |= {f"seen {item}": True for item in state.seen.tolist()}
    found |= {f"ratings of item {item}": f"{n}, {total!r} together" for item, (total, n) in state.repeats.items()}
    found |= {f"attribute {name}": value for name, value in state.attributes.items()}
    found |= {f"offset of {source}": offset for source, offset in state.offsets.items()}
    if len(state.offsets) <= 1:
        found["last source"] = state.last_source
    return found


def stored_mean(history: History) -> float | None:
    """The mean of the rated entries, by `fsum`; None without ratings."""
    ratings = [rating for rating in history.ratings.tolist() if not math.isnan(rating)]
    return math.fsum(ratings) / len(ratings) if ratings else None


def expected_vector(history: History, rule: ValueRule) -> StoredVector | None:
    """The vector that a history makes by the value rule, in float32; None where nothing is left to store."""
    rows = zip(history.items.tolist(), history.ratings.tolist(), history.rated_at.tolist(), strict=True)
    rated = [(item, rating, at_ms) for item, rating, at_ms in rows if not math.isnan(rating)]
    if not rated:
        return None
    is_plain = rule.slope == 1.0 and not rule.intercept
    stars = [rating if is_plain else rating * rule.slope + rule.intercept for _, rating, _ in rated]
    centre = math.fsum(stars) / len(stars) if rule.centre is None else rule.centre
    raw = [(star - centre) / rule.spread + rule.offset for star in stars]
    last_ms, yearly = rated[-1][2], rule.decay_per_year
    faded = [value * yearly ** ((last_ms - at_ms) / YEAR_MS) for value, (_, _, at_ms) in zip(raw, rated, strict=True)]
    norm = 1.0
    if rule.damping is not None:
        norm = (math.fsum(value * value for value in faded) + rule.damping) ** (rule.norm_power / 2)
    since_origin = yearly ** ((last_ms - ORIGIN_MS) / YEAR_MS)
    rows = zip(rated, raw, faded, strict=True)
    kept = [(item, value) for (item, _, _), stored, value in rows if abs(stored) >= rule.prune_below]
    return tuple(sorted((item, _float32(value / norm / since_origin)) for item, value in kept)) or None


def point_state(point: StoredPoint) -> UserState | Difference:
    """The state that a point holds, or what keeps it from being read."""
    try:
        state = user_state(point.payload)
    except StoreError as error:
        return Difference("payload", "a state", str(error))
    texts, numbers = (state.user_id, state.last_source), (state.count, state.tag, *state.offsets.values())
    is_typed = all(isinstance(one, str | None) for one in texts) and all(type(one) is int for one in numbers)
    return state if is_typed else Difference("payload", "a state", "fields of other types")


def point_differences(
    point: StoredPoint, state: UserState, rule: ValueRule, *, carries: bool = True
) -> list[Difference]:
    """What does not follow from the state that the point itself holds: fields beside the history, and the vector.

    A point that is not in the neighbour pool (`carries`) may have none. Of a forgotten user's point everything but
    count, offsets and tag is a difference.
    """
    expected, found = _flat(user_payload(state) | _derived(state)), _flat(point.payload)
    wrong = [
        Difference(f"payload {name}", _shown(expected.get(name)), _shown(found.get(name)))
        for name in sorted(expected.keys() | found.keys())
        if not _alike(expected.get(name), found.get(name))
    ]
    if point.vector is None and not carries:
        return wrong
    return wrong + _vector_differences(expected_vector(state.history, rule), point.vector)


def _derived(state: UserState) -> Payload:
    if state.user_id is None:
        return {}
    history = state.history
    live = [not math.isnan(rating) for rating in history.ratings.tolist()]
    if not any(live):
        return {"num_ratings": 0}
    last_ms = max(at_ms for at_ms, is_live in zip(history.rated_at.tolist(), live, strict=True) if is_live)
    return {"num_ratings": sum(live), "avg_rating": stored_mean(history), "active_at_ms": last_ms}


def _flat(payload: Payload) -> Payload:
    flat: Payload = {}
    for name, value in payload.items():
        flat |= {f"{name}.{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _alike(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=PAYLOAD_FLOAT_TOLERANCE)
    return type(one) is type(other) and one == other


def _vector_differences(expected: StoredVector | None, found: StoredVector | None) -> list[Difference]:
    if expected is None or found is None:
        if expected is found:
            return []
        return [Difference("vector", *(None if one is None else f"{len(one)} dimensions" for one in (expected, found)))]
    if repr(expected) == repr(found):
        return []
    if len(dict(found)) < len(found):
        return [Difference("vector", f"{len(expected)} dimensions, each once", f"{len(found)}, some twice")]
    named = ({f"vector {index}": value for index, value in vector} for vector in (expected, found))
    return _compared(*named)


def _compared(expected: Mapping[str, Shown], found: Mapping[str, Shown]) -> list[Difference]:
    names = [*expected, *(name for name in found if name not in expected)]
    return [
        Difference(name, expected.get(name), found.get(name))
        for name in names
        if repr(expected.get(name)) != repr(found.get(name))
    ]


def _order_difference(expected: UserState, found: UserState) -> Difference:
    if _bytes(expected.history) == _bytes(found.history):
        return Difference("order of the seen items", *(str(state.seen.tolist()) for state in (expected, found)))
    ours, theirs = expected.history.items.tolist(), found.history.items.tolist()
    if ours == theirs:
        return Difference("bytes of the history", *(b"".join(_bytes(s.history)).hex() for s in (expected, found)))
    first = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return Difference(
        "order of the history", *(f"{i[first : first + 3]} from entry {first} on" for i in (ours, theirs))
    )


def _sorted_rows(history: History) -> tuple[bytes, ...]:
    rows = zip(history.rated_at.tolist(), history.items.tolist(), history.ratings.tolist(), strict=True)
    return tuple(sorted(struct.pack(">qId", *row) for row in rows))


def _bytes(history: History) -> tuple[bytes, ...]:
    columns = (history.items.astype("<u4"), history.ratings.astype("<f8"), history.rated_at.astype("<i8"))
    return tuple(column.tobytes() for column in columns)


def _entry(rating: float, at_ms: int) -> str:
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, OSError, ValueError):
        at = "a time out of range"
    return f"{'retracted' if math.isnan(rating) else repr(rating)} at {at} ({at_ms} ms)"


def _attribute(value: AttributeValue) -> str:
    return value.hex() if isinstance(value, float) else repr(value)


def _float32(value: float) -> float:
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def _shown(value: object) -> Shown:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
