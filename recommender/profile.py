"""What is known of one user, and the fold that brings it up to date.

- A history holds one entry per item: the one with the latest `rated_at` (equal times: the one folded later).
- Entries stand in event-time order, equal times in the order they were folded. A retraction is an entry without rating.
- A history is bounded: the oldest entries fall out; their items leave mean and vector but stay seen.
- `count` is the number of events ever folded; it survives forgetting.
- The mean is `math.fsum(ratings) / n`, so it does not depend on the order in which events came.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Items = NDArray[np.uint32]
Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Positions = NDArray[np.intp]
Entry = tuple[int, float, int]
"""Item, rating (NaN: a retraction) and epoch ms."""
AttributeValue = bool | int | float | str


class Rate(NamedTuple):
    """The user rated `item` (dimension) with `rating` (catalogue scale) at `at_ms` (epoch ms)."""

    item: int
    rating: float
    at_ms: int


class Retract(NamedTuple):
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


class Update(NamedTuple):
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
    _is_rated: bool = field(default=False, init=False, repr=False)
    """Whether all entries are known to be ratings: it is asked a dozen times for a list."""
    _values: tuple[object, Floats] | None = field(default=None, init=False, repr=False)
    """What was made of the entries last, and by whom: a vector is stored and searched with."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        values = 0 if self._values is None else self._values[1].nbytes
        return self.items.nbytes + self.ratings.nbytes + self.rated_at.nbytes + values

    def values(self, rule: object, make: "Callable[[History], Floats]") -> Floats:
        """What `make` makes of this history for a rule, remembered until another asks."""
        if self._values is None or self._values[0] is not rule:
            made = make(self)
            made.flags.writeable = False
            object.__setattr__(self, "_values", (rule, made))
            return made
        return self._values[1]

    def at(self, places: "Positions | NDArray[np.bool_] | slice") -> "History":
        """The entries at these places."""
        return History(self.items[places], self.ratings[places], self.rated_at[places])

    def rated(self) -> "History":
        """The entries that are ratings, in the same order."""
        if self._is_rated:
            return self
        live = ~np.isnan(self.ratings)
        if not live.all():
            return self.at(live)
        object.__setattr__(self, "_is_rated", True)
        return self


EMPTY_HISTORY = History(np.empty(0, np.uint32), np.empty(0, np.float64), np.empty(0, np.int64))


def entries_of(histories: Sequence[History]) -> History:
    """The entries of several histories, one behind the other."""
    some = [history for history in histories if len(history)] or [EMPTY_HISTORY]
    if len(some) == 1:
        return some[0]
    return History(
        np.concatenate([one.items for one in some]),
        np.concatenate([one.ratings for one in some]),
        np.concatenate([one.rated_at for one in some]),
    )


NO_ITEMS: Items = np.empty(0, np.uint32)


class Repeats(NamedTuple):
    """The sum of an item's ratings, and how many there are."""

    total: float
    number: int


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much of a user is kept: entries of history, and ids of items that fell out of it.

    `averages`: an item that is rated again has the mean of its ratings, not the latest.
    """

    entries_max: int = 2_000
    seen_max: int = 20_000
    averages: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class UserState:
    """Everything about one user, as one point of the store holds it.

    `user_id` is None for a user who is unknown or was forgotten; `offsets` maps a source to the offset of the user's
    last applied event, `last_source` is the source of the very last one; `tag` is unique to the write that stored this
    state (0: not stored); `repeats` has the items whose rating is a mean of several.
    """

    user_id: str | None = None
    history: History = EMPTY_HISTORY
    seen: Items = field(default_factory=lambda: NO_ITEMS)
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    count: int = 0
    offsets: Mapping[str, int] = field(default_factory=dict)
    last_source: str | None = None
    tag: int = 0
    repeats: Mapping[int, Repeats] = field(default_factory=dict)

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
    """The state after the updates (all of one user, in topic order); those already applied change nothing.

    One pass merges all entries at once, so that a burst of ratings costs little more than one.
    """
    history, seen, attributes, user_id = state.history, state.seen, state.attributes, state.user_id
    count, offsets, last_source, repeats = state.count, dict(state.offsets), state.last_source, state.repeats
    entries: list[Entry] = []
    for update in updates:
        if update.offset <= offsets.get(update.source, -1):
            continue
        user_id, count, last_source = update.user_id, count + 1, update.source
        offsets[update.source] = update.offset
        match update.change:
            case Rate(item, rating, at_ms):
                entries.append((item, rating, at_ms))
            case Retract(item, at_ms):
                entries.append((item, math.nan, at_ms))
            case SetAttributes(changed):
                attributes = {name: value for name, value in {**attributes, **changed}.items() if value is not None}
            case Forget():
                history, seen, attributes, user_id, repeats = EMPTY_HISTORY, NO_ITEMS, {}, None, {}
                entries.clear()
    if count == state.count:
        return state
    if limits.averages:
        history, seen, repeats = _averaging(history, seen, repeats, entries, limits)
    else:
        history, seen = _joined(history, seen, entries, limits)
    return UserState(user_id, history, seen, attributes, count, offsets, last_source, state.tag, repeats)


def _joined(history: History, seen: Items, entries: Sequence[Entry], limits: HistoryLimits) -> tuple[History, Items]:
    # Where entries may fall out, which of them stay seen depends on the order: then one by one, or how batches are cut
    # would show in the state.
    fits = len(history) + len(entries) <= limits.entries_max
    for group in [entries] if fits and entries else [[entry] for entry in entries]:
        history, seen = _bounded(_merged(history, group), seen, limits)
    return history, seen


def _averaging(
    history: History, seen: Items, repeats: Mapping[int, Repeats], entries: Sequence[Entry], limits: HistoryLimits
) -> tuple[History, Items, Mapping[int, Repeats]]:
    for entry in entries:
        mean, repeats = averaged(history, repeats, entry)
        history, seen = _joined(history, seen, [mean], limits)
    return history, seen, {item: repeated for item, repeated in repeats.items() if item in history.items}


def averaged(history: History, repeats: Mapping[int, Repeats], entry: Entry) -> tuple[Entry, Mapping[int, Repeats]]:
    """The entry that joins a rating to those of the same item, and the repeats with it.

    A retraction ends what was before it; what is older than a retraction, or a retraction older than a rating, is left
    to the rule that the latest entry counts.
    """
    item, rating, at_ms = entry
    found = np.flatnonzero(history.items == item)
    if not len(found):
        return entry, repeats
    before, before_ms = float(history.ratings[found[0]]), int(history.rated_at[found[0]])
    if math.isnan(rating) or math.isnan(before):
        ends = at_ms >= before_ms
        return entry, {i: repeated for i, repeated in repeats.items() if i != item or not ends}
    total, number = repeats.get(item, Repeats(before, 1))
    repeated = Repeats(total + rating, number + 1)
    return (item, repeated.total / repeated.number, max(at_ms, before_ms)), {**repeats, item: repeated}


def _merged(history: History, entries: Sequence[Entry]) -> History:
    items, ratings, times = zip(*entries, strict=True)
    everything = History(
        np.concatenate((history.items, np.array(items, np.uint32))),
        np.concatenate((history.ratings, np.array(ratings, np.float64))),
        np.concatenate((history.rated_at, np.array(times, np.int64))),
    )
    if len(entries) == 1 and len(history) and times[0] >= history.rated_at[-1] and items[0] not in history.items:
        # Nearly always, and four times as fast.
        return everything
    # Stable, and what came later stands behind: of equal times the later one ends up last, and the last one counts.
    return everything.at(_last_of_each(everything.items, np.argsort(everything.rated_at, kind="stable")))


def _last_of_each(items: Items, order: Positions) -> Positions:
    """Of positions in an order, those at which an item stands for the last time, in the same order."""
    _, from_end = np.unique(items[order][::-1], return_index=True)
    return order[np.sort(len(order) - 1 - from_end)]


def _bounded(history: History, seen: Items, limits: HistoryLimits) -> tuple[History, Items]:
    excess = max(0, len(history) - limits.entries_max)
    if not excess and not len(seen):
        return history, seen
    kept, fallen = history.at(slice(excess, None)), history.items[:excess]
    if len(seen):
        seen = seen[~np.isin(seen, kept.items)]
    if excess and limits.seen_max:
        # Of too many ids the greatest stay: a rule that does not depend on the order in which they fell out.
        seen = np.union1d(seen, fallen)[-limits.seen_max :]
    return kept, seen
