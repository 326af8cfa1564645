"""Items like an item: by what they are about, or by who rated them.

By content: the cosine of content vectors, among the items rated most often.

By ratings: the cosine of two items' columns of x = r − the user's mean + 1.5, in stars of five, damped by 10 as the
nightly job does it (Deshpande and Karypis 2004). Only one column is looked up, by a query of that single dimension: the
users S in whose vectors the item weighs most, at most 100 of the n_i who rated it. With s = n_i / |S| they stand for
all n_i, and how long the other column is follows from its number of ratings n_j and its bias b_j:

    similarity = s · Σ_S x_ui · x_uj / (√(s · Σ_S x_ui²) · √(n_j · ((b_j + 1.5)² + 1)) + 10)

On ml-latest-small 7.5 of the first ten so found are among the first ten of the exact cosine over all users; a cosine
over the hundred users alone finds 2, because whatever is popular is what any hundred users share.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recommender.catalogue import CatalogueItem
from recommender.content import DIMENSIONS, ContentVectors, Vectors, content_vector
from recommender.item_index import Dense
from recommender.neighbour_cache import Profiles
from recommender.profile import Floats
from recommender.statistics import ItemStatistics

Likeness = Literal["content", "ratings"]

RATERS_MAX = 100
CANDIDATES_MAX = 10_000
"""Items that are compared by content, the most rated ones."""
_OFFSET = 1.5
_VARIANCE = 1.0
_DAMPING = 10.0
_BIAS_DAMPING = 5.0


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """Items (dimensions) with their similarities, all positive, best first; none where nothing is known."""

    item: list[int]
    similarity: list[float]


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Items by number, how like each is to the item asked about, and how many users rated it; all of shape (n,)."""

    dense: Dense
    similarity: Floats
    support: NDArray[np.int64]


class ContentCandidates:
    """The items that are compared by content, the most rated ones, with their vectors.

    The vectors are kept from question to question, 512 bytes for each of at most `CANDIDATES_MAX` items: 5 MB. Anew
    come those whose place another item has taken since, and all of them where the catalogue has changed.
    """

    def __init__(self, content: ContentVectors) -> None:
        self._content = content
        self._version = -1
        self._dense: Dense = np.empty(0, np.int32)
        self._vectors: Vectors = np.empty((0, DIMENSIONS), np.float32)

    def alike(self, statistics: ItemStatistics, known: CatalogueItem | None) -> Alike | None:
        """How like the most rated items are to an item of which this is known; None: that says nothing of it."""
        vector = None if known is None else content_vector(known)
        if vector is None:
            return None
        counts = statistics.counts
        rated = np.flatnonzero(counts)
        if len(rated) > CANDIDATES_MAX:
            rated = rated[np.argpartition(-counts[rated], CANDIDATES_MAX)[:CANDIDATES_MAX]]
        dense = rated.astype(np.int32)
        return Alike(dense, (self._of(dense) @ vector).astype(np.float64), counts[rated].astype(np.int64))

    def _of(self, dense: Dense) -> Vectors:
        """The vectors of these items, shape (n, 128)."""
        if len(dense) != len(self._dense) or self._version != self._content.version:
            self._vectors = self._content.of(dense)
        elif len(others := np.flatnonzero(dense != self._dense)):
            self._vectors[others] = self._content.of(dense[others])
        self._dense, self._version = dense, self._content.version
        return self._vectors


def alike_by_ratings(statistics: ItemStatistics, raters: Profiles, item: int, slope: float) -> Alike:
    """How like an item (by number) the other items of those are who rated it; `slope` makes stars of their residuals.

    `support` counts the raters who rated both; there is at least one rater.
    """
    dense, residuals = raters.entries()
    opinions = slope * residuals + _OFFSET
    owner = np.repeat(np.arange(len(raters)), raters.lengths)
    here = np.flatnonzero(dense == item)
    own = np.zeros(len(raters))
    own[owner[here]] = opinions[here]
    items, local = np.unique(dense, return_inverse=True)
    products = np.bincount(local, opinions * own[owner], len(items))
    shared = np.bincount(local, own[owner] != 0, len(items)).astype(np.int64)
    counts = statistics.counts[items]
    scale = max(1.0, float(statistics.counts[item]) / max(1, len(here)))
    theirs = np.sqrt(counts * ((slope * statistics.item_bias(items, _BIAS_DAMPING) + _OFFSET) ** 2 + _VARIANCE))
    similarity: Floats = scale * products / (np.sqrt(scale * (own**2).sum()) * theirs + _DAMPING)
    return Alike(items, similarity, shared)
