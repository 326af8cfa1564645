"""How much trend to mix into the votes: what would have ranked the ratings just seen best decides.

Final score = (1 − w) · score / best score + w · trend / best trend. For some lists the first ten places are kept that
each of the settings (half-life, w) would have had; when the user rates again, each setting earns the nDCG of the new
item in its ten. Earnings decay, separately for users with few, some and many ratings, and the best earner is used. What
the ratings of all users earned on average counts as much as so many ratings of a kind of users (partial pooling, Gelman
and Hill 2007, chapter 12): of a kind that few are of, a handful of ratings would decide for all.
Soft state: losing it costs some thousand events of tuning.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.bounded_cache import BoundedCache
from recommender.item_index import Dense
from recommender.trend import HALF_LIVES_DAYS

WEIGHTS = (0.1, 0.25, 0.5, 0.75, 1.0)
SHORTLIST_LENGTH = 10
HALF_LIFE_EVENTS = 3_000
POOLED_EVENTS = 1_000
"""What all users say in the tuning for each kind of them, in events of that kind."""
LONG_STREAM_DAYS = 2_000.0
SHORTLISTS_MAX_BYTES = 16 * 1024 * 1024
_OVERHEAD_BYTES = 400
_BUCKET_MIN_RATINGS = (5, 20)


class Mix(NamedTuple):
    """One setting: the number of a half-life, and the weight of the trend."""

    half_life: int
    weight: float


MIXES = (Mix(0, 0.0), *(Mix(life, weight) for life in range(len(HALF_LIVES_DAYS)) for weight in WEIGHTS))
SETTINGS = np.array([mix.half_life for mix in MIXES]), np.array([mix.weight for mix in MIXES])
"""Half-lives and weights of all settings."""
_LONGEST = len(HALF_LIVES_DAYS) - 1
_ALLOWED = {False: np.array([not mix.weight or mix.half_life < _LONGEST for mix in MIXES])}
_ALLOWED[True] = np.array([not mix.weight or mix.half_life > 0 for mix in MIXES])
"""A stream of many years has no use for a half-life of two days, a short one none for half a year."""
_PERSONAL = np.array([mix.weight < 1 for mix in MIXES])
"""Whoever has rated enough to be told apart gets a list of their own, though all might get the same one."""
_GAIN = 1 / np.log2(np.arange(2, SHORTLIST_LENGTH + 2))


class TrendTuner:
    """Remembers shortlists of users, and what each setting earned."""

    def __init__(self) -> None:
        self._earned = np.zeros((len(_BUCKET_MIN_RATINGS) + 1, len(MIXES)))
        self._observed = np.zeros(len(self._earned))
        self._shortlists: BoundedCache[int, Dense] = BoundedCache(SHORTLISTS_MAX_BYTES)
        self._choices: dict[tuple[int, bool], Mix] = {}
        self._fade = 0.5 ** (1 / HALF_LIFE_EVENTS)

    def choice(self, num_ratings: int, span_days: float) -> Mix:
        """The setting to use for a user with so many ratings, on a stream that spans so many days."""
        asked = _bucket(num_ratings), span_days >= LONG_STREAM_DAYS
        if (chosen := self._choices.get(asked)) is None:
            chosen = self._choices[asked] = self._best(*asked)
        return chosen

    def _best(self, bucket: int, is_long: bool) -> Mix:  # a key of `_choices`
        allowed = _ALLOWED[is_long] & _PERSONAL if bucket else _ALLOWED[is_long]
        by_all = self._earned.sum(axis=0) / max(self._observed.sum(), 1.0)
        return MIXES[int(np.argmax(np.where(allowed, self._earned[bucket] + POOLED_EVENTS * by_all, -1.0)))]

    def remember(self, identity: int, found: Dense) -> None:
        """Keep a user's shortlists until the next ones."""
        self._shortlists.put(identity, found, found.nbytes + _OVERHEAD_BYTES)

    def observe(self, identity: int, num_ratings: int, items: Dense) -> None:
        """The user, who had so many ratings, has rated new items."""
        kept = self._shortlists.get(identity)
        if kept is None:
            return
        self._choices.clear()
        bucket = _bucket(num_ratings)
        earned = self._earned[bucket]
        for item in items.tolist():
            earned *= self._fade
            self._observed[bucket] = self._observed[bucket] * self._fade + 1
            hits: NDArray[np.bool_] = kept == item
            if hits.any():
                earned += hits @ _GAIN[: kept.shape[1]]

    def inherit(self, earlier: "TrendTuner") -> None:
        """Know what each setting has earned so far; shortlists come anew."""
        self._earned, self._observed = earlier._earned.copy(), earlier._observed.copy()  # noqa: SLF001  # its successor

    def forget(self, identity: int) -> None:
        """Drop a user's shortlists."""
        self._shortlists.drop(identity)


def _bucket(num_ratings: int) -> int:
    return sum(num_ratings >= least for least in _BUCKET_MIN_RATINGS)
