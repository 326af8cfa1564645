"""What a recommender is compared with, on the same events: popularity, recent popularity, and the nightly job.

Each is a `System` of `evaluation`: it recommends, then learns, one event at a time.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.evaluation import LIST_LENGTH, Assessment, RatedEvent
from recommender.item_index import Dense, ItemIndex
from recommender.profile import Floats
from recommender.trend import HALF_LIVES_DAYS, Trend

RETRAININGS = 22
"""How often the nightly job runs in one evaluation."""
RECENT_EVENTS, RECENT_HALF_LIFE = 64, 10.0
KNN_NEIGHBOURS, KNN_DAMPING = 50, 10.0


def retrained_every(events: int) -> int:
    """After how many ratings each a model is made anew, of so many in all."""
    return max(1, events // (RETRAININGS + 1))


class SeenItems:
    """Items in the order in which each user rated them, each once."""

    def __init__(self) -> None:
        self.index = ItemIndex()
        self._by_user: dict[str, dict[int, None]] = defaultdict(dict)

    def add(self, event: RatedEvent) -> Dense:
        """Note a rating; returns the item's number, shape (1,)."""
        dense = self.index.dense(np.array([event.item], np.uint32))
        seen = self._by_user[event.user_id]
        seen.pop(int(dense[0]), None)
        seen[int(dense[0])] = None
        return dense

    def of(self, user_id: str) -> Dense:
        """What the user has rated, the latest last."""
        return np.fromiter(self._by_user[user_id], np.int32)

    def all(self) -> list[Dense]:
        """The same of all users."""
        return [np.fromiter(seen, np.int32) for seen in self._by_user.values()]

    def best(self, user_id: str, scores: Floats) -> Assessment:
        """The items of the greatest positive scores (by dense number) that the user has not seen, ties by item."""
        open_ = scores.copy()
        open_[self.of(user_id)] = 0.0
        # Whatever is not among the greatest, or as great as the least of them, need not be sorted.
        least = np.partition(open_, -LIST_LENGTH)[-LIST_LENGTH] if len(open_) > LIST_LENGTH else 0.0
        found = np.flatnonzero((open_ >= least) & (open_ > 0))
        items = self.index.items[found]
        return Assessment(items[np.lexsort((items, -open_[found]))[:LIST_LENGTH]].tolist())


class Popularity:
    """The most rated items that the user has not rated."""

    def __init__(self) -> None:
        self._seen = SeenItems()
        self._counts: Floats = np.zeros(1024)

    def assess(self, user_id: str, _item: int) -> Assessment:
        """See `System.assess`."""
        return self._seen.best(user_id, self._counts[: len(self._seen.index)])

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """See `System.learn`."""
        for event in events:
            dense = int(self._seen.add(event)[0])
            if dense == len(self._counts):
                self._counts = np.concatenate((self._counts, np.zeros(len(self._counts))))
            self._counts[dense] += 1


class RecentPopularity:
    """The items most rated lately, with one half-life for everyone."""

    def __init__(self, half_life_days: int) -> None:
        self._life = HALF_LIVES_DAYS.index(half_life_days)
        self._seen = SeenItems()
        self._trend = Trend()

    def assess(self, user_id: str, _item: int) -> Assessment:
        """See `System.assess`."""
        return self._seen.best(user_id, self._trend.of(np.arange(len(self._seen.index), dtype=np.int32), self._life))

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """See `System.learn`."""
        for event in events:
            self._trend.count(self._seen.add(event), np.array([event.at_ms]), 1)


class ItemKnn:
    """The nightly job: item-to-item cosine over who rated what, retrained now and then; scored for recent ratings.

    Similarity of items i and j = co-ratings / (√(n_i · n_j) + damping), the 50 greatest of each item (Deshpande and
    Karypis 2004). A user's score for an item is the sum over their last 64 ratings, each weighted 0.5^(age / 10).
    Training takes time as the sum of all users' squared numbers of ratings, and memory as the ratings.
    """

    def __init__(self, events: int) -> None:
        self._every = retrained_every(events)
        self._learnt = 0
        self._seen = SeenItems()
        self._near: Dense = np.empty((0, 0), np.int32)
        self._similarity: Floats = np.empty((0, 0))

    def assess(self, user_id: str, _item: int) -> Assessment:
        """See `System.assess`."""
        recent = self._seen.of(user_id)[-RECENT_EVENTS:]
        age = np.arange(len(recent) - 1, -1, -1)
        known = recent < len(self._near)
        recent, weights = recent[known], 0.5 ** (age[known] / RECENT_HALF_LIFE)
        scores = np.zeros(len(self._seen.index))
        np.add.at(scores, self._near[recent].ravel(), (weights[:, None] * self._similarity[recent]).ravel())
        return self._seen.best(user_id, scores)

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """See `System.learn`."""
        for event in events:
            self._seen.add(event)
            self._learnt += 1
            if self._learnt % self._every == 0:
                self._train()

    def _train(self) -> None:
        histories = self._seen.all()
        lengths = np.array([len(history) for history in histories])
        rated = np.concatenate(histories)
        begins = np.cumsum(lengths) - lengths
        counts = np.bincount(rated)
        norms = np.sqrt(counts)
        raters = np.split(np.repeat(np.arange(len(histories)), lengths)[np.argsort(rated)], np.cumsum(counts)[:-1])
        self._near = np.zeros((len(counts), KNN_NEIGHBOURS), np.int32)
        self._similarity = np.zeros((len(counts), KNN_NEIGHBOURS))
        for item, users in enumerate(raters):
            together = np.bincount(rated[_ranges(begins[users], lengths[users])])
            together[item] = 0
            near = np.flatnonzero(together)
            similar = together[near] / (norms[item] * norms[near] + KNN_DAMPING)
            best = np.lexsort((near, -similar))[:KNN_NEIGHBOURS]
            self._near[item, : len(best)] = near[best]
            self._similarity[item, : len(best)] = similar[best]


def _ranges(begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of every range from a beginning on, one range behind the other."""
    ends = np.cumsum(lengths)
    return np.repeat(begins - ends + lengths, lengths) + np.arange(ends[-1])
