"""Diversity: a list re-ranked so that its items are unlike each other (MMR, Carbonell and Goldstein 1998).

Item by item the one is taken whose (1 − d) · score − d · (its greatest similarity to an item taken before) is greatest,
with scores divided by the greatest of them and similarities of content vectors; d is 1 − λ of the paper.
"""

import numpy as np
from numpy.typing import NDArray

from recommender.content import Vectors
from recommender.profile import Floats

CANDIDATES_MAX = 100
"""So many of the best items are re-ranked; those behind them stay away from the first places, however unlike."""


def diversified(scores: Floats, vectors: Vectors, diversity: float, length: int) -> NDArray[np.int64]:
    """Places of the items to show, in the order to show them, shape (min(n, length),).

    Args:
        scores: best first, shape (n,); where some are negative, the greatest magnitude divides them.
        vectors: content vectors of the same items, shape (n, 128); one of zeros is unlike every other.
        diversity: d, from 0 (the order stays) to 1.
        length: how many items to take.
    """
    if not len(scores):
        return np.empty(0, np.int64)
    worth = (1 - diversity) * scores / (np.abs(scores).max() or 1.0)
    nearest = np.full(len(scores), -1.0)
    order = np.empty(min(length, len(scores)), np.int64)
    for place in range(len(order)):
        taken = int(np.argmax(worth - diversity * nearest))
        order[place] = taken
        # One product at a time: all at once would be enough work for the library to wake its threads, which costs more.
        np.maximum(nearest, vectors @ vectors[taken], out=nearest)
        worth[taken] = -np.inf
    return order
