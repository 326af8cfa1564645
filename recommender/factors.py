"""Item factors from a truncated SVD, and users folded into their space as they rate.

R ≈ U Σ Vᵀ over the users' normalised values (rows) and items (columns); a user is r V, whether they were there when the
factors were made or not (PureSVD: Cremonesi, Koren and Turrin 2010, eq. 3). So ratings move a user at once, items that
are newer than the factors count for nothing until those are made again.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recommender.profile import NO_ITEMS, Floats, History, Items
from recommender.vector import ValueRule, recency

DIMENSIONS = 50
Matrix = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Factors:
    """Items (dimensions, ascending), shape (n,), and a row of factors for each, shape (n, k).

    Raises:
        ValueError: shapes differ, an item is named twice or stands out of order, or a factor is not finite.
    """

    items: Items
    matrix: Matrix

    def __post_init__(self) -> None:
        if self.items.ndim != 1 or self.matrix.ndim != 2 or len(self.items) != len(self.matrix):
            raise ValueError(f"items {self.items.shape} and factors {self.matrix.shape} do not belong together")
        if (self.items[1:] <= self.items[:-1]).any():
            raise ValueError("items of factors must ascend")
        if not np.isfinite(self.matrix).all():
            raise ValueError("a factor is not finite")

    @property
    def dimensions(self) -> int:
        """How many factors an item has."""
        return int(self.matrix.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Names the vectors made with these factors, so that they are never compared with those of others."""
        content = self.items.astype("<u4").tobytes() + self.matrix.astype("<f4").tobytes()
        return "f" + hashlib.blake2b(content, digest_size=4).hexdigest()

    def of(self, history: History, rule: ValueRule, events: int = 0, half_life: float = 0.0) -> Matrix | None:
        """A user's place in the space of the factors, of length 1, shape (k,); None where no rated item has any.

        `events` and `half_life` are those of `query_vector`: the last ratings alone, the latest of them most.
        """
        _, values, rows = self._known(history, rule, events, half_life)
        place: Floats = values @ self.matrix[rows].astype(np.float64)
        norm = float(np.sqrt(place @ place))
        return None if norm < _NOWHERE else (place / norm).astype(np.float32)

    def addends(self, history: History, rule: ValueRule, events: int, half_life: float) -> tuple[Items, Floats]:
        """The rated items with factors, shape (m,), and what each adds to a user's place, shape (m, k)."""
        items, values, rows = self._known(history, rule, events, half_life)
        return items, values[:, None] * self.matrix[rows]

    def _known(
        self, history: History, rule: ValueRule, events: int, half_life: float
    ) -> tuple[Items, Floats, NDArray[np.intp]]:
        """Of the ratings asked for those whose items have factors: item, weighted value, and row of the factors."""
        rated = history.rated()
        if not len(rated) or not len(self.items):
            return NO_ITEMS, np.empty(0), np.empty(0, np.intp)
        values, items = rule.values(rated)[-events:], rated.items[-events:]
        rows = np.minimum(np.searchsorted(self.items, items), len(self.items) - 1)
        known = self.items[rows] == items
        return items[known], (values * recency(len(values), half_life))[known], rows[known]

    def scores(self, place: Matrix) -> Floats:
        """How well each item fits a user at this place, shape (n,)."""
        found: Floats = self.matrix.astype(np.float64) @ place.astype(np.float64)
        return found


_NOWHERE = 1e-12
"""A length that is rounding alone."""
