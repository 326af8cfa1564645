"""Sparse vectors: the one validating constructor in front of every write, and the default value rule.

Engines differ in what they do with bad vectors (facts: a length mismatch can make a shard unreadable, an infinity
ranks first in every query), so none is ever built except through `SparseVector`.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.profile import Floats, History


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """Indices (uint32, unique) and values (float32, finite), both of shape (n,).

    Raises:
        ValueError: shapes differ, an index repeats or does not fit, a value is not finite in float32.
    """

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.indices.dtype != np.uint32 or self.values.dtype != np.float32:
            raise ValueError(f"a sparse vector is uint32 and float32, not {self.indices.dtype} and {self.values.dtype}")
        if self.indices.ndim != 1 or self.indices.shape != self.values.shape:
            raise ValueError(f"indices {self.indices.shape} and values {self.values.shape} differ in shape")
        if not np.isfinite(self.values).all():
            raise ValueError("a sparse vector holds a value that is not finite")
        ordered = np.sort(self.indices)
        if (ordered[1:] == ordered[:-1]).any():
            raise ValueError("a sparse vector names a dimension twice")

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, slots=True)
class ValueRule:
    """How a rating becomes a value: v = r − mean + offset, stored as v / √(Σv² + damping); r and mean in five stars."""

    offset: float = 1.5
    damping: float = 10.0
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def fingerprint(self) -> str:
        """Names the vector in the store, so that vectors of another rule are never mixed with these."""
        numbers = f"centred {self.offset!r} {self.damping!r} {self.slope!r} {self.intercept!r}"
        return "v" + hashlib.blake2b(numbers.encode(), digest_size=4).hexdigest()

    def five_stars(self, ratings: Floats) -> Floats:
        """Ratings of the catalogue's scale in five stars; exact on the five-star scale itself."""
        return ratings if self.slope == 1.0 and not self.intercept else ratings * self.slope + self.intercept

    def values(self, rated: History) -> Floats:
        """Normalised values of rated entries, shape (n,), in history order; n ≥ 1."""
        stars = self.five_stars(rated.ratings)
        raw = stars - math.fsum(stars.tolist()) / len(stars) + self.offset
        norm = math.sqrt(math.fsum((raw * raw).tolist()) + self.damping)
        values: Floats = raw / norm
        return values


def user_vector(history: History, rule: ValueRule) -> SparseVector | None:
    """The vector that makes a user findable as a neighbour; None without ratings."""
    rated = history.rated()
    if not len(rated):
        return None
    return SparseVector(rated.items, rule.values(rated).astype(np.float32))


def query_vector(history: History, rule: ValueRule, events: int, half_life: float) -> SparseVector | None:
    """The last `events` ratings, each weighted 0.5^(age / half_life), age in events; None without ratings."""
    rated = history.rated()
    if not len(rated):
        return None
    values = rule.values(rated)[-events:]
    age = np.arange(len(values) - 1, -1, -1)
    return SparseVector(rated.items[-events:], (values * 0.5 ** (age / half_life)).astype(np.float32))
