"""Two rankings that are judged by the same ratings: does one of them hit more often than chance would have it?"""

from typing import NamedTuple

import numpy as np

from recommender.live import NOT_JUDGED, LiveEvaluation
from recommender.measures import mcnemar_z


class Pairing(NamedTuple):
    """Of so many ratings that both judged; `z` is positive where `only_one` is the more, None where there is neither.

    Beyond ±1.96 two rankings that are equal come in one of twenty windows, where ratings are independent. Whoever looks
    at every window will see such a one sooner or later.
    """

    ratings: int
    only_one: int
    only_other: int
    z: float | None


def paired(one: LiveEvaluation, other: LiveEvaluation) -> Pairing:
    """McNemar's test over the window: hits in the first ten that only one of two had, which judge the same ratings.

    Raises:
        ValueError: they were not given the same ratings, or have windows of different lengths.
    """
    ranks, others = one.ranks, other.ranks
    if ranks.shape != others.shape:
        raise ValueError(f"windows of {len(ranks)} and of {len(others)} ratings are no pairs")
    both = (ranks != NOT_JUDGED) & (others != NOT_JUDGED)
    hit, other_hit = ranks[both] >= 0, others[both] >= 0
    only_one, only_other = int(np.count_nonzero(hit & ~other_hit)), int(np.count_nonzero(~hit & other_hit))
    return Pairing(int(np.count_nonzero(both)), only_one, only_other, mcnemar_z(only_one, only_other))
