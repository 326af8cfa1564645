"""Live evaluation: each rating is judged by the list its user had then, and lists by what they show; both over windows.

- Test-then-learn, as `evaluation` does it; the list is the very one that was made last for the user, however old.
- Only an item's first rating by a user counts, and only that of a user who had rated before.
- A rating of a user whose list is not held (bounded in bytes, gone with a restart) is not judged; `judged_share` says
  how many were. An error of prediction is known where the rated item stood anywhere in the list.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.bounded_cache import BoundedCache
from recommender.evaluation import LIKED_MIN_STARS, LIST_LENGTH, WARM_MIN_RATINGS
from recommender.kinds import KindMasks
from recommender.profile import EMPTY_HISTORY, Floats, Items
from recommender.rules import RankingRules
from recommender.statistics import HistoryChange
from recommender.window import Rows, Window

MISSED, NOT_JUDGED = -1, -2
"""Ranks of a rated item that was not in the first ten, and of one whose user's list is not held."""
COLD, WARM, LIKED = range(3)
_HELD_OVERHEAD_BYTES = 600
_NOTED_MAX = 500
"""Ratings of one note, notes of ratings and notes of lists that wait to be filled into arrays."""
_NO_ITEM = -1

_RATINGS = [("rank", np.int8), ("level", np.int8), ("error", np.float64)]
_LISTS = [
    ("items", np.uint32, (LIST_LENGTH,)),
    ("places", np.int8),
    ("unlikeness", np.float64),
    ("pairs", np.int16),
    ("search_s", np.float64),
    ("refresh_s", np.float64),
]


class FirstRatings(NamedTuple):
    """Items that a user (point id) rated for the first time, when the user had `num_ratings` ratings."""

    identity: int
    num_ratings: int
    items: Items
    ratings: Floats

    def at(self, places: NDArray[np.bool_] | slice) -> "FirstRatings":
        """Some of them."""
        return self._replace(items=self.items[places], ratings=self.ratings[places])


def first_rated(change: HistoryChange) -> FirstRatings:
    """What a user rated for the first time in a history that changed."""
    before, added = change.before, change.added.rated()
    if len(added) == 1:
        # Nearly always, and ten times as fast.
        fresh = added if added.items[0] not in before.items else EMPTY_HISTORY
    else:
        fresh = added.at(~np.isin(added.items, before.items))
    return FirstRatings(change.identity, len(before.rated()), fresh.items, fresh.ratings)


class MadeList(NamedTuple):
    """A user's new list (point id; dimensions, best first; predicted ratings in parallel)."""

    identity: int
    items: Sequence[int]
    predicted: Sequence[float]


class Timings(NamedTuple):
    """What a list took, in seconds: finding its neighbours, and everything from its event at hand to the list."""

    search_s: float
    refresh_s: float


class _Held(NamedTuple):
    """A list as it is kept."""

    items: NDArray[np.int64]
    predicted: NDArray[np.float32]


_NOTHING_HELD = _Held(np.empty(0, np.int64), np.empty(0, np.float32))


class LiveEvaluation:
    """Soft state of one worker. `judge` what was rated before the lists made from it are `shown`.

    Both only note it; arrays are filled for many ratings and lists at once, which costs a fraction.
    """

    def __init__(self, window_events: int, lists_max_bytes: int, rules: RankingRules, kinds: KindMasks) -> None:
        self._ratings = Window(window_events, _RATINGS)
        self._lists = Window(window_events, _LISTS)
        self._held: BoundedCache[int, _Held] = BoundedCache(lists_max_bytes)
        self._rules = rules
        self._kinds = kinds
        self._rated: list[tuple[FirstRatings, _Held | None]] = []
        self._made: list[tuple[Sequence[int], Timings]] = []

    @property
    def personal_min_ratings(self) -> int:
        """From how many ratings on a user may have a personal list."""
        return self._rules.personal_min_ratings

    @property
    def held_bytes(self) -> int:
        """Memory of the lists that are held."""
        return self._held.size_bytes

    @property
    def ratings(self) -> Rows:
        """The window of ratings, with columns rank, level and error, the error NaN where it is not known."""
        self._fill_ratings()
        return self._ratings.rows

    @property
    def ranks(self) -> NDArray[np.int8]:
        """The ranks of the window's ratings, oldest first."""
        self._fill_ratings()
        return self._ratings.in_order["rank"]

    @property
    def lists(self) -> Rows:
        """The window of lists, with the columns of `_LISTS`."""
        self._fill_lists()
        return self._lists.rows

    def forget(self, identity: int) -> None:
        """Hold no list of a user."""
        self._held.drop(identity)

    def forget_all(self) -> None:
        """Hold no list: others may have made newer ones."""
        self._held.clear()

    def judge(self, first: FirstRatings) -> None:
        """Count what a user rated, by the list that is held."""
        if not first.num_ratings:
            return
        held = self._held.get(first.identity)
        for begin in range(0, len(first.items), _NOTED_MAX):
            self._rated.append((first.at(slice(begin, begin + _NOTED_MAX)), held))
            if len(self._rated) >= _NOTED_MAX:
                self._fill_ratings()

    def show(self, made: MadeList, timings: Timings) -> None:
        """Count a new list, and hold it until the next one of the same user."""
        items, predicted = np.array(made.items, np.int64), np.array(made.predicted, np.float32)
        size_bytes = items.nbytes + predicted.nbytes + _HELD_OVERHEAD_BYTES
        self._held.put(made.identity, _Held(items, predicted), size_bytes)
        self._made.append((made.items[:LIST_LENGTH], timings))
        if len(self._made) >= _NOTED_MAX:
            self._fill_lists()

    def _fill_ratings(self) -> None:
        noted, self._rated = self._rated, []
        if not noted:
            return
        of = np.repeat(np.arange(len(noted)), [len(first.items) for first, _ in noted])
        items = np.concatenate([first.items for first, _ in noted])
        given = np.concatenate([first.ratings for first, _ in noted])
        shown, predictions = _padded([held or _NOTHING_HELD for _, held in noted])
        found = shown[of] == items[:, None]
        place, is_listed = found.argmax(1), found.any(1)
        rank = np.where(is_listed & (place < LIST_LENGTH), place, MISSED)
        is_warm = np.array([first.num_ratings >= WARM_MIN_RATINGS for first, _ in noted])[of]
        is_liked = is_warm & (self._rules.value.five_stars(given) >= LIKED_MIN_STARS)
        rows = self._ratings.blank(len(items))
        rows["rank"] = np.where(np.array([held is not None for _, held in noted])[of], rank, NOT_JUDGED)
        rows["level"] = np.where(is_liked, LIKED, np.where(is_warm, WARM, COLD))
        rows["error"] = np.where(is_listed, predictions[of, place] - given, np.nan)
        self._ratings.append(rows)

    def _fill_lists(self) -> None:
        noted, self._made = self._made, []
        if not noted:
            return
        shown = [items for items, _ in noted]
        rows = self._lists.blank(len(noted))
        rows["places"] = [len(items) for items in shown]
        rows["items"] = [(*items, *[0] * (LIST_LENGTH - len(items))) for items in shown]
        rows["search_s"] = [timings.search_s for _, timings in noted]
        rows["refresh_s"] = [timings.refresh_s for _, timings in noted]
        rows["unlikeness"], rows["pairs"] = self._kinds.unlikeness(shown)
        self._lists.append(rows)


def _padded(held: Sequence[_Held]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Items and predictions of lists that may differ in length, shape (lists, the longest's length)."""
    longest = max(1, *(len(one.items) for one in held))
    items = np.full((len(held), longest), _NO_ITEM, np.int64)
    predicted = np.zeros((len(held), longest), np.float32)
    for row, one in enumerate(held):
        items[row, : len(one.items)] = one.items
        predicted[row, : len(one.items)] = one.predicted
    return items, predicted
