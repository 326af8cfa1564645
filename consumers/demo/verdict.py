"""The verdict: every user of the store against a batch computation over the events that were sent.

Written without the service's fold on purpose: a dictionary, a sort and `fsum`.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from consumers.existing_store import all_states
from recommender.profile import UserState, mean_rating
from recommender.store import Store


class SentRating(NamedTuple):
    """A rating as it was sent: user, item, rating, epoch ms."""

    user_id: str
    item: int
    rating: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many users there should be, and which differ, each with what is wrong."""

    users: int
    mismatches: dict[str, str]


def compare(store: Store, sent: Iterable[SentRating]) -> Verdict:
    """Compare every stored user with what was sent, bit for bit."""
    expected = _batch(sent)
    stored = {state.user_id: state for state in all_states(store) if state.user_id is not None}
    mismatches = dict.fromkeys(expected.keys() - stored.keys(), "is not in the store")
    mismatches |= dict.fromkeys(stored.keys() - expected.keys(), "was never sent")
    for user_id in expected.keys() & stored.keys():
        if problem := _difference(stored[user_id], expected[user_id]):
            mismatches[user_id] = problem
    return Verdict(len(expected), mismatches)


def _batch(sent: Iterable[SentRating]) -> dict[str, list[SentRating]]:
    ratings: dict[str, list[SentRating]] = defaultdict(list)
    for rating in sent:
        ratings[rating.user_id].append(rating)
    return dict(ratings)


def _difference(state: UserState, sent: list[SentRating]) -> str:
    latest: dict[int, SentRating] = {}
    for rating in sorted(sent, key=lambda row: row.at_ms):
        latest.pop(rating.item, None)
        latest[rating.item] = rating
    rows = [(row.item, row.rating, row.at_ms) for row in latest.values()]
    history = state.history
    stored = list(zip(history.items.tolist(), history.ratings.tolist(), history.rated_at.tolist(), strict=True))
    if state.count != len(sent):
        return f"{state.count} events applied, {len(sent)} sent"
    if stored != rows:
        differing = sorted({row[0] for row in set(stored) ^ set(rows)})
        return f"the ratings of items {differing[:5]} differ" if differing else "the order of the history differs"
    mean = math.fsum(row.rating for row in latest.values()) / len(latest)
    return "" if mean_rating(history) == mean else f"the mean is {mean_rating(history)}, not {mean}"
