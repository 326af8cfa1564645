"""What is known of one user, and the fold that brings it up to date.

- A history holds one entry per item: the one with the latest `rated_at` (equal times: the one folded later).
- Entries stand in event-time order, equal times in the order they were folded. A retraction is an entry without rating.
- A history is bounded: the oldest entries fall out; their items leave mean and vector but stay seen.
- `count` is the number of events ever folded; it survives forgetting.
- The mean is `math.fsum(ratings) / n`, so it does not depend on the order in which events came.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Items = NDArray[np.uint32]
Floats = NDArray[np.float64]
Times = NDArray[np.int64]
AttributeValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Rate:
    """The user rated `item` (dimension) with `rating` (catalogue scale) at `at_ms` (epoch ms)."""

    item: int
    rating: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class Retract:
    """The user took the rating of `item` back at `at_ms` (epoch ms)."""

    item: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Attributes to set; None removes one."""

    attributes: Mapping[str, AttributeValue | None]


@dataclass(frozen=True, slots=True)
class Forget:
    """Everything known of the user goes, except how many events there were."""


Change = Rate | Retract | SetAttributes | Forget


@dataclass(frozen=True, slots=True)
class Update:
    """A change of one user, with the source (topic id and partition) and offset it was read from."""

    source: str
    offset: int
    user_id: str
    change: Change


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Parallel arrays of shape (n,), in event-time order; a rating of NaN is a retraction."""

    items: Items
    ratings: Floats
    rated_at: Times

    def __len__(self) -> int:
        return len(self.items)

    def rated(self) -> "History":
        """The entries that are ratings, in the same order."""
        live = ~np.isnan(self.ratings)
        return self if live.all() else History(self.items[live], self.ratings[live], self.rated_at[live])


EMPTY_HISTORY = History(np.empty(0, np.uint32), np.empty(0, np.float64), np.empty(0, np.int64))
NO_ITEMS: Items = np.empty(0, np.uint32)


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much of a user is kept: entries of history, and ids of items that fell out of it."""

    entries_max: int = 2_000
    seen_max: int = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class UserState:
    """Everything about one user, as one point of the store holds it.

    `user_id` is None for a user who is unknown or was forgotten; `offsets` maps a source to the offset of the user's
    last applied event, `last_source` is the source of the very last one; `tag` is unique to the write that stored this
    state (0: not stored).
    """

    user_id: str | None = None
    history: History = EMPTY_HISTORY
    seen: Items = field(default_factory=lambda: NO_ITEMS)
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    count: int = 0
    offsets: Mapping[str, int] = field(default_factory=dict)
    last_source: str | None = None
    tag: int = 0

    @property
    def last_event(self) -> tuple[str, int] | None:
        """Source and offset of the last applied event: a list belongs to the batch that holds it."""
        return None if self.last_source is None else (self.last_source, self.offsets[self.last_source])

    def has_applied(self, source: str, offset: int) -> bool:
        """Whether the event at this offset is already part of the state."""
        return offset <= self.offsets.get(source, -1)


NEW_USER = UserState()


def mean_rating(history: History) -> float | None:
    """The mean of the rated entries, rounded as `fsum / n` rounds; None without ratings."""
    ratings = history.rated().ratings
    return math.fsum(ratings.tolist()) / len(ratings) if len(ratings) else None


def fold(state: UserState, updates: Iterable[Update], limits: HistoryLimits) -> UserState:
    """The state after the updates (all of one user, in topic order); those already applied change nothing."""
    for update in updates:
        if not state.has_applied(update.source, update.offset):
            state = _apply(state, update, limits)
    return state


def _apply(state: UserState, update: Update, limits: HistoryLimits) -> UserState:
    match update.change:
        case Rate(item, rating, at_ms):
            state = _with_entry(state, (item, rating, at_ms), limits)
        case Retract(item, at_ms):
            state = _with_entry(state, (item, math.nan, at_ms), limits)
        case SetAttributes(attributes):
            merged = {**state.attributes, **attributes}
            state = replace(state, attributes={k: v for k, v in merged.items() if v is not None})
        case Forget():
            state = UserState(count=state.count, offsets=state.offsets, tag=state.tag)
    user_id = None if isinstance(update.change, Forget) else update.user_id
    offsets = {**state.offsets, update.source: update.offset}
    return replace(state, user_id=user_id, count=state.count + 1, offsets=offsets, last_source=update.source)


def _with_entry(state: UserState, entry: tuple[int, float, int], limits: HistoryLimits) -> UserState:
    item, _, at_ms = entry
    history = state.history
    known = np.flatnonzero(history.items == item)
    if len(known):
        if at_ms < history.rated_at[known[0]]:
            return state
        history = _without(history, int(known[0]))
    history = _inserted(history, entry)
    excess = len(history) - limits.entries_max
    seen = state.seen if len(known) else _removed(state.seen, item)
    if excess > 0:
        seen = _bounded_union(seen, history.items[:excess], limits.seen_max)
        history = History(history.items[excess:], history.ratings[excess:], history.rated_at[excess:])
    return replace(state, history=history, seen=seen)


def _without(history: History, at: int) -> History:
    return History(np.delete(history.items, at), np.delete(history.ratings, at), np.delete(history.rated_at, at))


def _inserted(history: History, entry: tuple[int, float, int]) -> History:
    item, rating, at_ms = entry
    at = int(np.searchsorted(history.rated_at, at_ms, side="right"))
    return History(
        np.concatenate((history.items[:at], np.array([item], np.uint32), history.items[at:])),
        np.concatenate((history.ratings[:at], np.array([rating], np.float64), history.ratings[at:])),
        np.concatenate((history.rated_at[:at], np.array([at_ms], np.int64), history.rated_at[at:])),
    )


def _removed(seen: Items, item: int) -> Items:
    return seen[seen != item] if len(seen) else seen


def _bounded_union(seen: Items, fallen: Items, seen_max: int) -> Items:
    # Of too many ids the greatest stay: a rule that does not depend on the order in which they fell out.
    return np.union1d(seen, fallen)[-seen_max:] if seen_max else NO_ITEMS
