"""A data set's ratings as a stream: in time order, at a pace, each event at its own time, the record's time being now.

`Pace` says when an event is due and knows no clock; `replay` waits and sends.

A load brings history in: user by user, because a worker that meets many ratings of one user together stores that user
once. All events but each user's last say that they are history, so lists come once per user, at the end, when nearly
all of the history is there to make them from.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from producers.tables import SHUFFLE_SEED, Dataset, Ratings, load_order, time_order
from schemas.events import Event, ProfileChanged, Rated

WAIT_MAX_S = 0.5
"""The longest sleep at a time: failures of delivery are noticed between two."""
FLUSH_TIMEOUT_S = 120.0
PROGRESS_EVERY = 500


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate_per_s`: events per second; `speedup`: seconds of the data's time per second; neither: without waiting.

    Raises:
        ValueError: both, or one that is not positive and finite.
    """

    rate_per_s: float | None = None
    speedup: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.rate_per_s, self.speedup) if value is not None]
        if len(given) > 1:
            raise ValueError("a replay has either a rate or a speedup, not both")
        if not all(math.isfinite(value) and value > 0 for value in given):
            raise ValueError("a replay's rate or speedup is a number above 0")

    def due_s(self, position: int, elapsed_ms: int) -> float:
        """Seconds after the start at which the event at `position` (from 0) is due.

        `elapsed_ms` is how long after the first event's time its own lies.
        """
        if self.rate_per_s is not None:
            return position / self.rate_per_s
        if self.speedup is not None:
            return elapsed_ms / 1000 / self.speedup
        return 0.0


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What to send: the first `events` ratings (all: None), before them their users' attributes where there are any.

    `text_ids`: item ids go out as text, also those that are integers in the data set. `is_load`: as history, not as a
    stream.

    Raises:
        ValueError: a number of events below 1, or a load at a pace.
    """

    dataset: Dataset
    pace: Pace = field(default_factory=Pace)
    events: int | None = None
    seed: int = SHUFFLE_SEED
    profiles: bool = True
    progress_every: int = PROGRESS_EVERY
    text_ids: bool = False
    is_load: bool = False

    def __post_init__(self) -> None:
        if (self.events is not None and self.events < 1) or self.progress_every < 1:
            raise ValueError("a replay sends at least one event, and reports every so many")
        if self.is_load and self.pace != Pace():
            raise ValueError("a load is not in time order, so it has no pace: leave out the rate or speedup")

    def ratings(self) -> Ratings:
        """The ratings to send, in time order."""
        ratings = time_order(self.dataset.ratings, self.seed).take(slice(self.events))
        if not self.text_ids:
            return ratings
        return replace(ratings, item=np.array([str(item) for item in ratings.item.tolist()], object))

    def profile_events(self, ratings: Ratings) -> list[ProfileChanged]:
        """The attributes of the users of these ratings, in the data set's order of users."""
        if not self.profiles or not self.dataset.users:
            return []
        raters = set(ratings.user.tolist())
        users = (user for user in self.dataset.users.values() if user.user_id in raters)
        return [
            ProfileChanged(type="profile", user_id=str(user.user_id), attributes=attributes)
            for user in users
            if (attributes := user.attributes())
        ]


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What was sent and acknowledged, and the seconds from the first rating to the last acknowledgement."""

    events: int
    profiles: int
    seconds: float


class Sender(Protocol):
    """What `replay` needs of a `RatingProducer`."""

    def send(self, event: Event, *, is_loaded: bool = False) -> None:
        """Queue an event, waiting while the queue is full; `is_loaded`: as history, with more of the user's behind."""

    def check(self) -> None:
        """Raise where records failed."""

    def flush(self, timeout_s: float) -> None:
        """Wait until everything arrived, or raise."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that only grow, and a way to let some pass."""

    now_s: Callable[[], float] = time.monotonic
    sleep_s: Callable[[float], None] = time.sleep


def replay(
    plan: ReplayPlan,
    producer: Sender,
    on_progress: Callable[[int, int], None] | None = None,
    clock: Clock | None = None,
) -> ReplayResult:
    """Send the plan's events; `on_progress` gets (ratings sent, ratings in all), at the end once more.

    An event that is due in the past is sent at once, so that a stall is made up for.

    Raises:
        ValueError: an event that the worker would refuse.
        DeliveryError: records that did not arrive.
    """
    clock = clock or Clock()
    report = on_progress or (lambda _sent, _total: None)
    ratings, loaded = load_order(plan.ratings()) if plan.is_load else (plan.ratings(), 0)
    profiles = plan.profile_events(ratings)
    for profile in profiles:
        producer.send(profile, is_loaded=plan.is_load)
    start_s = clock.now_s()
    first_ms = int(ratings.rated_at_ms[0])
    for position, (user, item, rating, rated_at) in enumerate(ratings.rows()):
        _wait_until(start_s + plan.pace.due_s(position, rated_at - first_ms), producer, clock)
        rated = Rated(user_id=str(user), item_id=item, rating=rating, rated_at=rated_at)
        producer.send(rated, is_loaded=position < loaded)
        if (position + 1) % plan.progress_every == 0:
            producer.check()
            report(position + 1, len(ratings))
    producer.flush(FLUSH_TIMEOUT_S)
    report(len(ratings), len(ratings))
    return ReplayResult(len(ratings), len(profiles), clock.now_s() - start_s)


def _wait_until(due_s: float, producer: Sender, clock: Clock) -> None:
    while (left_s := due_s - clock.now_s()) > 0:
        producer.check()
        clock.sleep_s(min(left_s, WAIT_MAX_S))
