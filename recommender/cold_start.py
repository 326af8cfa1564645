"""Lists for users with few ratings: popularity within the genres they like, mixed into the votes.

Score = w · ratings of the item / most ratings + (1 − w) · votes / best votes, where the popularity of an item counts
only if it has a genre of an item that the user rated above their own mean (without any such genre: of every item).
"""

import numpy as np
from numpy.typing import NDArray

from recommender.catalogue import Catalogue
from recommender.item_filters import ItemFilter
from recommender.kernels import Tally
from recommender.profile import Floats, History, mean_rating


def liked_genres(history: History, catalogue: Catalogue) -> ItemFilter | None:
    """The genres of items rated above the user's mean, as a filter; None where there are none."""
    rated = history.rated()
    mean = mean_rating(rated)
    liked = [] if mean is None else rated.items[rated.ratings > mean].tolist()
    known = (catalogue.get(item) for item in liked)
    genres = sorted({genre for item in known if item is not None for genre in item.genres})
    return ItemFilter(genres=tuple(genres)) if genres else None


def with_popularity(tally: Tally, counts: Floats, weight: float) -> Tally:
    """A tally with popularity mixed in; `counts` are ratings by item number, 0 for what must not count."""
    popular = np.flatnonzero(counts).astype(np.int32)
    dense = np.union1d(tally.dense, popular)
    at = np.searchsorted(dense, tally.dense)
    votes = _spread(tally.score, at, len(dense))
    score = weight * _scaled(counts[dense]) + (1 - weight) * _scaled(votes)
    columns = [_spread(column, at, len(dense)) for column in (tally.weight, tally.pull)]
    return Tally(dense, score, _spread(tally.support, at, len(dense)).astype(np.int64), *columns)


def _spread(values: Floats | NDArray[np.int64], places: NDArray[np.int64], length: int) -> Floats:
    spread = np.zeros(length)
    spread[places] = values
    return spread


def _scaled(values: Floats) -> Floats:
    best = float(values.max(initial=0.0))
    return values / best if best > 0 else values
