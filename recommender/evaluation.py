"""Prequential evaluation, test-then-learn: before each event its user's list is asked for, then the event is learnt.

A hit is an event whose item stands in the first ten. Users with at least five earlier ratings are warm, those with one
to four cold; an item that its user had rated before is learnt but not measured.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple, Protocol

LIST_LENGTH = 10
WARM_MIN_RATINGS = 5
LIKED_MIN_STARS = 4.0


class RatedEvent(NamedTuple):
    """One rating: user id, item (dimension), rating (catalogue scale), the same in five stars, and epoch ms."""

    user_id: str
    item: int
    rating: float
    stars: float
    at_ms: int


class Assessment(NamedTuple):
    """Items for a user, best first, and the rating predicted for the item that the user is about to rate, if any is."""

    shown: Sequence[int]
    predicted: float | None = None


class System(Protocol):
    """What is evaluated."""

    def assess(self, user_id: str, item: int) -> Assessment:
        """What the user would get now; `item` must not influence the list."""

    def learn(self, event: RatedEvent) -> None:
        """Take an event in."""


@dataclass(slots=True)
class HitRate:
    """Hits in the first ten, with the standard error clustered by user."""

    hits: int = 0
    events: int = 0
    gain: float = 0.0
    reciprocal: float = 0.0
    _by_user: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def add(self, user_id: str, rank: int | None) -> None:
        """Count an event whose item stood at `rank` (0 is the first), None: not in the list."""
        hit = rank is not None
        self.hits += hit
        self.events += 1
        self.gain += 0.0 if rank is None else 1 / math.log2(rank + 2)
        self.reciprocal += 0.0 if rank is None else 1 / (rank + 1)
        row = self._by_user[user_id]
        row[0] += hit
        row[1] += 1

    @property
    def rate(self) -> float:
        """Hits per event, 0 without events."""
        return self.hits / self.events if self.events else 0.0

    @property
    def ndcg(self) -> float:
        """nDCG@10 with one relevant item: the mean of 1 / log₂(rank + 2)."""
        return self.gain / self.events if self.events else 0.0

    @property
    def mrr(self) -> float:
        """MRR@10: the mean of 1 / (rank + 1)."""
        return self.reciprocal / self.events if self.events else 0.0

    @property
    def standard_error(self) -> float:
        """Of the rate, by the ratio estimator over users: √Σ(h − rate · n)² / Σn, times √(users / (users − 1))."""
        users = len(self._by_user)
        if users < 2:
            return 0.0
        spread = math.fsum((hits - self.rate * events) ** 2 for hits, events in self._by_user.values())
        return math.sqrt(spread * users / (users - 1)) / self.events


@dataclass(slots=True)
class PredictionError:
    """Predicted against given ratings, on the catalogue's scale."""

    events: int = 0
    _absolute: float = 0.0
    _squared: float = 0.0

    def add(self, predicted: float, rating: float) -> None:
        """Count a prediction."""
        self.events += 1
        self._absolute += abs(predicted - rating)
        self._squared += (predicted - rating) ** 2

    @property
    def mae(self) -> float | None:
        """Mean absolute error, None without predictions."""
        return self._absolute / self.events if self.events else None

    @property
    def rmse(self) -> float | None:
        """Root of the mean squared error, None without predictions."""
        return math.sqrt(self._squared / self.events) if self.events else None


@dataclass(slots=True)
class Variety:
    """What the first ten places show over all lists: how much of the catalogue, how little known, how unlike."""

    kinds: Mapping[int, frozenset[str]] = field(default_factory=dict)
    _shown: set[int] = field(default_factory=set)
    _counts: Counter[int] = field(default_factory=Counter)
    _rarity: float = 0.0
    _places: int = 0
    _unlikeness: float = 0.0
    _pairs: int = 0

    def add(self, shown: Sequence[int]) -> None:
        """Count a list."""
        self._shown.update(shown)
        total = self._counts.total()
        self._rarity += sum(math.log2(total / self._counts[item]) for item in shown if self._counts[item])
        self._places += len(shown)
        for one, other in combinations([self.kinds[item] for item in shown if item in self.kinds], 2):
            self._unlikeness += 1 - len(one & other) / len(one | other) if one | other else 0.0
            self._pairs += 1

    def rated(self, item: int) -> None:
        """Count a rating towards the item's popularity."""
        self._counts[item] += 1

    @property
    def coverage(self) -> float:
        """The share of the items rated so far that any list has shown."""
        return len(self._shown) / len(self._counts) if self._counts else 0.0

    @property
    def novelty(self) -> float:
        """The mean of −log₂(an item's share of all ratings so far) over places, in bits."""
        return self._rarity / self._places if self._places else 0.0

    @property
    def diversity(self) -> float | None:
        """1 − the mean Jaccard similarity of the kinds (genres) of two items of a list; None where none are known."""
        return self._unlikeness / self._pairs if self._pairs else None


@dataclass(slots=True)
class Report:
    """The measures of one system on one stream of events."""

    warm: HitRate = field(default_factory=HitRate)
    liked: HitRate = field(default_factory=HitRate)
    cold: HitRate = field(default_factory=HitRate)
    errors: PredictionError = field(default_factory=PredictionError)
    variety: Variety = field(default_factory=Variety)
    events: int = 0


def evaluate(
    system: System,
    events: Iterable[RatedEvent],
    on_event: Callable[[Report], None],
    kinds: Mapping[int, frozenset[str]] | None = None,
) -> Report:
    """Run the events, which must be in time order, through a system; `on_event` hears of each.

    `kinds` are the items' genres, for diversity.
    """
    report = Report(variety=Variety(kinds or {}))
    rated: dict[str, set[int]] = defaultdict(set)
    for event in events:
        known = rated[event.user_id]
        if known and event.item not in known:
            _measure(report, event, len(known), system.assess(event.user_id, event.item))
        system.learn(event)
        known.add(event.item)
        report.variety.rated(event.item)
        report.events += 1
        on_event(report)
    return report


def _measure(report: Report, event: RatedEvent, num_ratings: int, found: Assessment) -> None:
    shown = list(found.shown)[:LIST_LENGTH]
    rank = shown.index(event.item) if event.item in shown else None
    report.variety.add(shown)
    if found.predicted is not None:
        report.errors.add(found.predicted, event.rating)
    if num_ratings < WARM_MIN_RATINGS:
        report.cold.add(event.user_id, rank)
        return
    report.warm.add(event.user_id, rank)
    if event.stars >= LIKED_MIN_STARS:
        report.liked.add(event.user_id, rank)
