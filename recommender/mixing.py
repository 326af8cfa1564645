"""The trend mixed into a tally: items that many rate now rise, also those that no neighbour voted for."""

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense
from recommender.kernels import Tally
from recommender.profile import Floats
from recommender.trend import HALF_LIVES_DAYS, Trend
from recommender.tuning import Mix, shortlists

_POOL_PLACES = 50
"""Places of each ranking alone from which the settings' first ten are put together."""


def mixed(tally: Tally, trend: Trend, leaders: Dense, mix: Mix) -> Tally:
    """Score = (1 − w) · score / best score + w · trend / best trend, for a tally and leaders without votes."""
    dense = np.concatenate((tally.dense, leaders))
    trends = _scaled(trend.of(dense, mix.half_life))
    votes = np.concatenate((_scaled(tally.score), np.zeros(len(leaders))))
    none = np.zeros(len(leaders))
    return Tally(
        dense,
        (1 - mix.weight) * votes + mix.weight * trends,
        np.concatenate((tally.support, none.astype(np.int64))),
        np.concatenate((tally.weight, none)),
        np.concatenate((tally.pull, none)),
    )


def all_shortlists(tally: Tally, order: NDArray[np.int64], trend: Trend, leaders: list[Dense]) -> Dense:
    """The first places under every setting; `order` is the tally's own, `leaders` are open ones by half-life."""
    first = [_foremost(some, trend.of(some, life)) for life, some in enumerate(leaders)]
    pool = np.unique(np.concatenate((tally.dense[order[:_POOL_PLACES]], *first)))
    scores = _scaled(tally.score)
    places = np.minimum(np.searchsorted(pool, tally.dense), len(pool) - 1)
    hits = np.flatnonzero(pool[places] == tally.dense) if len(pool) else np.empty(0, np.int64)
    votes = np.zeros(len(pool))
    votes[places[hits]] = scores[hits]
    trends = np.stack([_scaled(trend.of(pool, life)) for life in range(len(HALF_LIVES_DAYS))])
    return shortlists(pool, votes, trends)


def _foremost(items: Dense, trends: Floats) -> Dense:
    if len(items) <= _POOL_PLACES:
        return items
    return items[np.argpartition(-trends, _POOL_PLACES)[:_POOL_PLACES]]


def _scaled(values: Floats) -> Floats:
    best = float(values.max(initial=0.0))
    scaled: Floats = values / best if best > 0 else np.zeros(len(values))
    return scaled
