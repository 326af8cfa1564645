"""Prequential evaluation, test-then-learn: before each event its user's list is asked for, then the event is learnt.

A hit is an event whose item stands in the first ten. Users with at least five earlier ratings are warm, those with one
to four cold; an item that its user had rated before is learnt but not measured. Events may be learnt several at a time,
as a worker takes them: then every list of a batch is from before the batch.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from recommender.measures import Report, Variety

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

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """Take in the events of a batch, in their order."""


def evaluate(
    system: System,
    events: Iterable[RatedEvent],
    on_batch: Callable[[Report], None],
    kinds: Mapping[int, frozenset[str]] | None = None,
    batch_events: int = 1,
) -> Report:
    """Run the events, which must be in time order, through a system; `on_batch` hears of each batch.

    `kinds` are the items' genres, for diversity; so many events as `batch_events` says are learnt at a time.
    """
    report = Report(variety=Variety(kinds or {}))
    rated: defaultdict[str, set[int]] = defaultdict(set)
    for batch in _batches(events, batch_events):
        for event in batch:
            known = rated[event.user_id]
            if known and event.item not in known:
                _measure(report, event, len(known), system.assess(event.user_id, event.item))
            known.add(event.item)
        system.learn(batch)
        for event in batch:
            report.variety.rated(event.item)
        report.events += len(batch)
        on_batch(report)
    return report


def _batches(events: Iterable[RatedEvent], size: int) -> Iterator[list[RatedEvent]]:
    rest = iter(events)
    while batch := list(islice(rest, size)):
        yield batch


def _measure(report: Report, event: RatedEvent, num_ratings: int, found: Assessment) -> None:
    shown = list(found.shown)[:LIST_LENGTH]
    rank = shown.index(event.item) if event.item in shown else None
    report.variety.add(event.user_id, shown)
    if found.predicted is not None:
        report.errors.add(event.user_id, found.predicted, event.rating)
    if num_ratings < WARM_MIN_RATINGS:
        report.cold.add(event.user_id, rank)
        return
    report.add_warm(event.user_id, rank, event.at_ms)
    if event.stars >= LIKED_MIN_STARS:
        report.liked.add(event.user_id, rank)
