"""The measures of an evaluation, as sums by user, so that every mean has its standard error clustered by user."""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations


def _clusters() -> defaultdict[str, list[float]]:
    return defaultdict(partial(list, (0.0, 0.0)))


@dataclass(slots=True)
class ClusteredMean:
    """The mean of values, with its standard error clustered by user."""

    _by_user: defaultdict[str, list[float]] = field(default_factory=_clusters)

    def add(self, user_id: str, total: float, count: int = 1) -> None:
        """Count so many values of a user, which add up to `total`; none: nothing is counted, nor is the user."""
        if not count:
            return
        row = self._by_user[user_id]
        row[0] += total
        row[1] += count

    @property
    def total(self) -> float:
        """The sum of all values."""
        return math.fsum(total for total, _ in self._by_user.values())

    @property
    def count(self) -> int:
        """How many values there are."""
        return int(sum(count for _, count in self._by_user.values()))

    @property
    def mean(self) -> float | None:
        """The mean of all values, None where there are none."""
        return self.total / self.count if self.count else None

    @property
    def standard_error(self) -> float:
        """Of the mean, by the ratio estimator over users: √Σ(t − mean · n)² / Σn, times √(users / (users − 1)).

        0 below two users, where there is nothing to tell it by.
        """
        users, mean = len(self._by_user), self.mean
        if users < 2 or mean is None:
            return 0.0
        spread = math.fsum((total - mean * count) ** 2 for total, count in self._by_user.values())
        return math.sqrt(spread * users / (users - 1)) / self.count


@dataclass(slots=True)
class HitRate:
    """Hits in the first ten, and what their places are worth."""

    hit: ClusteredMean = field(default_factory=ClusteredMean)
    gain: ClusteredMean = field(default_factory=ClusteredMean)
    """nDCG@10 with one relevant item: the mean of 1 / log₂(rank + 2)."""
    reciprocal: ClusteredMean = field(default_factory=ClusteredMean)
    """MRR@10: the mean of 1 / (rank + 1)."""

    def add(self, user_id: str, rank: int | None) -> None:
        """Count an event whose item stood at `rank` (0 is the first), None: not in the list."""
        self.hit.add(user_id, rank is not None)
        self.gain.add(user_id, 0.0 if rank is None else 1 / math.log2(rank + 2))
        self.reciprocal.add(user_id, 0.0 if rank is None else 1 / (rank + 1))

    @property
    def events(self) -> int:
        """How many were counted."""
        return self.hit.count

    @property
    def rate(self) -> float:
        """Hits per event, 0 without events."""
        return self.hit.mean or 0.0


@dataclass(slots=True)
class PredictionError:
    """Predicted against given ratings, on the catalogue's scale."""

    absolute: ClusteredMean = field(default_factory=ClusteredMean)
    """MAE: the mean absolute error."""
    squared: ClusteredMean = field(default_factory=ClusteredMean)

    def add(self, user_id: str, predicted: float, rating: float) -> None:
        """Count a prediction."""
        self.absolute.add(user_id, abs(predicted - rating))
        self.squared.add(user_id, (predicted - rating) ** 2)

    @property
    def events(self) -> int:
        """How many were counted."""
        return self.absolute.count

    @property
    def rmse(self) -> float | None:
        """Root of the mean squared error, None without predictions."""
        squared = self.squared.mean
        return None if squared is None else math.sqrt(squared)

    @property
    def rmse_standard_error(self) -> float:
        """Of the root, from that of the mean square by the delta method: se / (2 · root)."""
        return self.squared.standard_error / (2 * self.rmse) if self.rmse else 0.0


@dataclass(slots=True)
class Variety:
    """What the first ten places show over all lists: how much of the catalogue, how little known, how unlike."""

    kinds: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """The kinds of each item that has any."""
    novelty: ClusteredMean = field(default_factory=ClusteredMean)
    """Over places, −log₂(the item's share of all ratings so far), in bits."""
    diversity: ClusteredMean = field(default_factory=ClusteredMean)
    """Over pairs of items of a list, 1 − the Jaccard similarity of their kinds (genres), where both have any."""
    _shown: set[int] = field(default_factory=set)
    _counts: Counter[int] = field(default_factory=Counter)
    _ratings: int = 0

    def add(self, user_id: str, shown: Sequence[int]) -> None:
        """Count a list."""
        self._shown.update(shown)
        rarity = sum(math.log2(self._ratings / self._counts[item]) for item in shown if self._counts[item])
        self.novelty.add(user_id, rarity, len(shown))
        known = [self.kinds[item] for item in shown if item in self.kinds]
        unlike = [1 - len(one & other) / len(one | other) for one, other in combinations(known, 2)]
        self.diversity.add(user_id, sum(unlike), len(unlike))

    def rated(self, item: int) -> None:
        """Count a rating towards the item's popularity."""
        self._counts[item] += 1
        self._ratings += 1

    @property
    def coverage(self) -> float:
        """The share of the items rated so far that any list has shown."""
        return len(self._shown) / len(self._counts) if self._counts else 0.0


@dataclass(slots=True)
class Report:
    """The measures of one system on one stream of events; `warm_hits` and `warm_at_ms` tell each warm event apart."""

    warm: HitRate = field(default_factory=HitRate)
    liked: HitRate = field(default_factory=HitRate)
    cold: HitRate = field(default_factory=HitRate)
    errors: PredictionError = field(default_factory=PredictionError)
    variety: Variety = field(default_factory=Variety)
    events: int = 0
    warm_hits: "array[int]" = field(default_factory=lambda: array("b"))
    warm_at_ms: "array[int]" = field(default_factory=lambda: array("q"))

    def add_warm(self, user_id: str, rank: int | None, at_ms: int) -> None:
        """Count an event of a user who is known well."""
        self.warm.add(user_id, rank)
        self.warm_hits.append(rank is not None)
        self.warm_at_ms.append(at_ms)


def paired_z(one: Report, other: Report) -> float | None:
    """McNemar's z over the warm events: (b − c) / √(b + c), b events that only `one` hit and c that only the other did.

    Beyond ±1.96 two systems that are equal come in one of twenty cases, where events are independent. None where both
    hit the same events.

    Raises:
        ValueError: the reports are not of the same events.
    """
    pairs = list(zip(one.warm_hits, other.warm_hits, strict=True))
    only_one = sum(first > second for first, second in pairs)
    only_other = sum(first < second for first, second in pairs)
    return mcnemar_z(only_one, only_other)


def mcnemar_z(only_one: int, only_other: int) -> float | None:
    """(b − c) / √(b + c) of so many events that only one of two systems hit (McNemar 1947); None without any."""
    if not only_one + only_other:
        return None
    return (only_one - only_other) / math.sqrt(only_one + only_other)
