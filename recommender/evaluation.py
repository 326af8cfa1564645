"""Prequential evaluation, test-then-learn: before each event its user's list is asked for, then the event is learnt.

A hit is an event whose item stands in the first ten. Users with at least five earlier ratings are warm, those with one
to four cold; an item that its user had rated before is learnt but not measured.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
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


class System(Protocol):
    """What is evaluated."""

    def recommend(self, user_id: str) -> Sequence[int]:
        """Items for a user, best first."""

    def learn(self, event: RatedEvent) -> None:
        """Take an event in."""


@dataclass(slots=True)
class HitRate:
    """Hits in the first ten, with the standard error clustered by user."""

    hits: int = 0
    events: int = 0
    gain: float = 0.0
    _by_user: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def add(self, user_id: str, rank: int | None) -> None:
        """Count an event whose item stood at `rank` (0 is the first), None: not in the list."""
        hit = rank is not None
        self.hits += hit
        self.events += 1
        self.gain += 0.0 if rank is None else 1 / math.log2(rank + 2)
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
    def standard_error(self) -> float:
        """Of the rate, by the ratio estimator over users: √Σ(h − rate · n)² / Σn, times √(users / (users − 1))."""
        users = len(self._by_user)
        if users < 2:
            return 0.0
        spread = math.fsum((hits - self.rate * events) ** 2 for hits, events in self._by_user.values())
        return math.sqrt(spread * users / (users - 1)) / self.events


@dataclass(slots=True)
class Report:
    """The measures of one system on one stream of events."""

    warm: HitRate = field(default_factory=HitRate)
    liked: HitRate = field(default_factory=HitRate)
    cold: HitRate = field(default_factory=HitRate)
    events: int = 0


def evaluate(system: System, events: Iterable[RatedEvent], on_event: Callable[[Report], None]) -> Report:
    """Run the events, which must be in time order, through a system; `on_event` hears of each."""
    report = Report()
    rated: dict[str, set[int]] = defaultdict(set)
    for event in events:
        known = rated[event.user_id]
        if known and event.item not in known:
            shown = list(system.recommend(event.user_id))[:LIST_LENGTH]
            _measure(report, event, len(known), shown.index(event.item) if event.item in shown else None)
        system.learn(event)
        known.add(event.item)
        report.events += 1
        on_event(report)
    return report


def _measure(report: Report, event: RatedEvent, num_ratings: int, rank: int | None) -> None:
    if num_ratings < WARM_MIN_RATINGS:
        report.cold.add(event.user_id, rank)
        return
    report.warm.add(event.user_id, rank)
    if event.stars >= LIKED_MIN_STARS:
        report.liked.add(event.user_id, rank)
