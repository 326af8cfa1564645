"""The first places under every setting of the trend, put together from the best of each ranking alone."""

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense
from recommender.kernels import Kernels, Tally, scaled
from recommender.trend import HALF_LIVES_DAYS, Trend
from recommender.tuning import SETTINGS, SHORTLIST_LENGTH

_POOL_PLACES = 50
"""Places of each ranking alone from which the settings' first ten are put together."""


def all_shortlists(
    kernels: Kernels, tally: Tally, order: NDArray[np.int64], trend: Trend, leaders: list[Dense], scratch: Dense
) -> Dense:
    """The first places under every setting.

    Args:
        kernels: how they are found.
        tally: what was voted for.
        order: the best of it, by their places in it.
        trend: popularity.
        leaders: those that may be shown, by half-life, best first.
        scratch: numbers from 0 on, of any kind; as long as the catalogue, and overwritten.
    """
    first = [some[:_POOL_PLACES] for some in leaders]
    pool = np.unique(np.concatenate((tally.dense[order[:_POOL_PLACES]], *first)))
    votes = np.zeros(len(pool))
    if len(tally.dense):
        # Of what is not in the tally the scratch array says anything: whether it is right can be seen there.
        scratch[tally.dense] = np.arange(len(tally.dense), dtype=np.int32)
        places = np.minimum(scratch[pool], len(tally.dense) - 1)
        votes = np.where(tally.dense[places] == pool, scaled(tally.score)[places], 0.0)
    trends = np.stack([scaled(trend.of(pool, life)) for life in range(len(HALF_LIVES_DAYS))])
    return kernels.shortlists(pool, (votes, trends), SETTINGS, SHORTLIST_LENGTH)
