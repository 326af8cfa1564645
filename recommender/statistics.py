"""What is known of all items together: how many rated each, and how. Derived from the stored histories, soft state.

A scan at the start counts every stored history once, in point id order; from then on the folds' differences keep the
figures up. A user that the scan has not reached yet is left to it, so nobody counts twice.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recommender.item_index import Dense, ItemIndex
from recommender.profile import Floats, History, Times, entries_of
from recommender.trend import Trend


class UserCounts:
    """How many users have how many ratings; those with more than `CAP` count as having that many."""

    CAP = 100

    def __init__(self) -> None:
        self._users = [0] * (self.CAP + 1)
        self.known = 0
        """Users with ratings."""

    def with_at_least(self, ratings: int) -> int:
        """Users with so many ratings, at most `CAP`, or more."""
        return sum(self._users[max(1, min(ratings, self.CAP)) :])

    def moved(self, before: int, after: int) -> None:
        """A user with so many ratings now has so many others."""
        self._users[min(before, self.CAP)] -= 1
        self._users[min(after, self.CAP)] += 1
        self.known += (after > 0) - (before > 0)


class HistoryChange(NamedTuple):
    """What is stored of a user (point id) before and after, and the entries that went from it and came to it."""

    identity: int
    before: History
    after: History
    gone: History
    added: History

    @staticmethod
    def between(identity: int, before: History, after: History) -> "HistoryChange":
        """All went and came but what both begin with."""
        n = min(len(before), len(after))
        same = before.items[:n] == after.items[:n]
        same &= (before.ratings[:n] == after.ratings[:n]) & (before.rated_at[:n] == after.rated_at[:n])
        rest = slice(n if same.all() else int(np.argmin(same)), None)
        return HistoryChange(identity, before, after, before.at(rest), after.at(rest))


class ItemStatistics:
    """Number and sum of ratings per item, in arrays by dense item number; and how many users they come from."""

    def __init__(self, index: ItemIndex) -> None:
        self._index = index
        self._counts: Floats = np.zeros(1024)
        self._sums: Floats = np.zeros(1024)
        self._latest_ms: Times = np.zeros(1024, np.int64)
        self._total = 0
        self._total_sum = 0.0
        self.trend = Trend()
        self.users = UserCounts()

    @property
    def counts(self) -> Floats:
        """Ratings per item, shape (len(index),)."""
        self._fit()
        return self._counts[: len(self._index)]

    @property
    def global_mean(self) -> float:
        """The mean of all ratings, 0 without any."""
        return self._total_sum / self._total if self._total else 0.0

    def item_bias(self, dense: Dense, damping: float) -> Floats:
        """b_i = Σ(r − μ) / (n + damping) per item, shape of `dense` (Koren 2010, "Factor in the Neighbors", eq. 2)."""
        self._fit()
        counts = self._counts[dense]
        bias: Floats = (self._sums[dense] - counts * self.global_mean) / (counts + damping)
        return bias

    def ages_ms(self, dense: Dense) -> Times:
        """How much older each item's latest rating is than the newest of all, shape of `dense`."""
        self._fit()
        ages: Times = self.trend.last_ms - self._latest_ms[dense]
        return ages

    def add(self, entries: History) -> None:
        """Count entries of any histories."""
        self._count(entries, 1)

    def remove(self, entries: History) -> None:
        """Take counted entries back."""
        self._count(entries, -1)

    def changed(self, changes: Sequence[HistoryChange]) -> None:
        """Count what came to histories in place of what went from them."""
        self.remove(entries_of([one.gone for one in changes]))
        self.add(entries_of([one.added for one in changes]))
        for one in changes:
            self.users.moved(len(one.before.rated()), len(one.after.rated()))

    def _count(self, entries: History, sign: int) -> None:
        rated = entries.rated()
        if not len(rated):
            return
        dense = self._index.dense(rated.items)
        self._fit()
        self.trend.count(dense, rated.rated_at, sign)
        # One after the other: many users may have rated one item, and how entries are cut into calls must not show.
        ratings = sign * rated.ratings
        np.add.at(self._counts, dense, float(sign))
        np.add.at(self._sums, dense, ratings)
        if sign > 0:
            np.maximum.at(self._latest_ms, dense, rated.rated_at)
        self._total += sign * len(rated)
        self._total_sum = float(np.cumsum(np.append(self._total_sum, ratings))[-1])

    def _fit(self) -> None:
        missing = len(self._index) - len(self._counts)
        if missing > 0:
            room = np.zeros(max(missing, len(self._counts)))
            self._counts = np.concatenate((self._counts, room))
            self._sums = np.concatenate((self._sums, room))
            self._latest_ms = np.concatenate((self._latest_ms, room.astype(np.int64)))


class CountedUsers:
    """The statistics of all stored users: filled slice by slice in point id order, kept up as histories change.

    `statistics` are those to go by; `next_id` is where the following slice begins (None: all are counted).
    """

    def __init__(self, index: ItemIndex) -> None:
        self.statistics = self._filled = ItemStatistics(index)
        self.next_id: int | None = 0
        self._index = index

    def begin_anew(self) -> None:
        """Count all once more; what is known serves until that is done."""
        self._filled = ItemStatistics(self._index)
        self.next_id = 0

    def take(self, histories: Sequence[History], next_id: int | None) -> None:
        """Count a slice that began at `next_id` of before."""
        self._filled.add(entries_of(histories))
        for history in histories:
            self._filled.users.moved(0, len(history.rated()))
        self.next_id = next_id
        if next_id is None:
            self.statistics = self._filled

    def changed(self, changes: Sequence[HistoryChange]) -> None:
        """Count stored histories that changed, but for users whom the slices are yet to reach."""
        next_id = self.next_id
        self._filled.changed([one for one in changes if next_id is None or one.identity < next_id])
        if self.statistics is not self._filled:
            self.statistics.changed(changes)
