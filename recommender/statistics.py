"""What is known of all items together: how many rated each, and how. Derived from the stored histories, soft state.

A scan at the start counts every stored history once, in point id order; from then on the folds' differences keep the
figures up. A user that the scan has not reached yet is left to it, so nobody counts twice.
"""

from collections.abc import Iterable

import numpy as np

from recommender.item_index import Dense, ItemIndex
from recommender.profile import Floats, History, Times, UserState
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

    def add(self, history: History) -> None:
        """Count a history."""
        self._count(history, 1)

    def remove(self, history: History) -> None:
        """Take a counted history back."""
        self._count(history, -1)

    def replace(self, gone: History, added: History) -> None:
        """Count entries in place of others."""
        self.remove(gone)
        self.add(added)

    def _count(self, history: History, sign: int) -> None:
        rated = history.rated()
        if not len(rated):
            return
        dense = self._index.dense(rated.items)
        self._fit()
        self.trend.count(dense, rated.rated_at, sign)
        self._counts[dense] += sign
        self._sums[dense] += sign * rated.ratings
        if sign > 0:
            self._latest_ms[dense] = np.maximum(self._latest_ms[dense], rated.rated_at)
        self._total += sign * len(rated)
        self._total_sum += sign * float(rated.ratings.sum())

    def _fit(self) -> None:
        missing = len(self._index) - len(self._counts)
        if missing > 0:
            room = np.zeros(max(missing, len(self._counts)))
            self._counts = np.concatenate((self._counts, room))
            self._sums = np.concatenate((self._sums, room))
            self._latest_ms = np.concatenate((self._latest_ms, room.astype(np.int64)))


def difference(before: History, after: History) -> tuple[History, History]:
    """Entries that went from a history, and those that came to it: all but what both begin with."""
    n = min(len(before), len(after))
    same = before.items[:n] == after.items[:n]
    same &= (before.ratings[:n] == after.ratings[:n]) & (before.rated_at[:n] == after.rated_at[:n])
    rest = slice(n if same.all() else int(np.argmin(same)), None)
    return before.at(rest), after.at(rest)


class StatisticsScan:
    """Fills statistics from a store slice by slice; `next_id` is where the following slice begins (None: done)."""

    def __init__(self, statistics: ItemStatistics) -> None:
        self.next_id: int | None = 0
        self.statistics = statistics

    def take(self, states: Iterable[tuple[int, UserState]], next_id: int | None) -> None:
        """Count a slice that began at `next_id` of before."""
        for _, state in states:
            self.statistics.add(state.history)
            self.statistics.users.moved(0, len(state.history.rated()))
        self.next_id = next_id

    def changed(self, identity: int, gone: History, added: History) -> None:
        """Entries of a stored history went, others came: count that, unless the scan is yet to reach the user."""
        if self.next_id is None or identity < self.next_id:
            self.statistics.replace(gone, added)

    def moved(self, identity: int, before: int, after: int) -> None:
        """A user with so many ratings now has so many others: count that, unless the scan is yet to reach the user."""
        if self.next_id is None or identity < self.next_id:
            self.statistics.users.moved(before, after)
