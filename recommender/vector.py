"""Vectors: the validating constructors in front of every write, and the default value rule.

Engines differ in what they do with bad vectors (facts: a length mismatch can make a shard unreadable, an infinity
ranks first in every query), so none is ever built except through `SparseVector` and `DenseVector`.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recommender.profile import Floats, History

YEAR_MS = 365 * 86_400_000
ORIGIN_MS = 946_684_800_000
"""The first of January 2000: an instant so near to all events that no fading value leaves the range of float32."""
_RECENCIES_MAX = 256
DIMENSIONS_MAX = 65_536
"""Dimensions of a dense vector; Qdrant takes no more."""


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


@dataclass(frozen=True, slots=True, eq=False)
class DenseVector:
    """Values (float32, finite), shape (n,), n ≥ 1; compared by dot product, so whoever wants cosines normalises them.

    Raises:
        ValueError: they are of another type or shape, or one is not finite in float32.
    """

    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.dtype != np.float32:
            raise ValueError(f"a dense vector is float32, not {self.values.dtype}")
        if self.values.ndim != 1 or not len(self.values):
            raise ValueError(f"a dense vector has the shape (n,) with n from 1 on, not {self.values.shape}")
        if not np.isfinite(self.values).all():
            raise ValueError("a dense vector holds a value that is not finite")

    def __len__(self) -> int:
        return len(self.values)


Vector = SparseVector | DenseVector


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """A named vector beside the main one: dense with so many `dimensions`, or sparse (None).

    `idf`: the fewer users have a dimension of a sparse vector, the more it weighs in a query (see `StoreSettings`).

    Raises:
        ValueError: it cannot be made.
    """

    dimensions: int | None = None
    idf: bool = False

    def __post_init__(self) -> None:
        if self.dimensions is not None and not 1 <= self.dimensions <= DIMENSIONS_MAX:
            raise ValueError(f"a dense vector has 1 to {DIMENSIONS_MAX} dimensions, not {self.dimensions}")
        if self.idf and self.dimensions is not None:
            raise ValueError("a dense vector has no dimensions that fewer or more users have: idf is for sparse ones")

    def __str__(self) -> str:
        kind = "sparse" if self.dimensions is None else f"dense with {self.dimensions} dimensions"
        return f"{kind}, weighed by idf" if self.idf else kind

    @staticmethod
    def of(vector: Vector) -> "VectorSpec":
        """What a vector is an example of."""
        return VectorSpec(len(vector) if isinstance(vector, DenseVector) else None)

    def fits(self, vector: Vector) -> bool:
        """Whether this is such a vector."""
        return VectorSpec.of(vector).dimensions == self.dimensions


@dataclass(frozen=True, slots=True)
class ValueRule:
    """How a rating r, in five stars, becomes the value that is stored.

    v = (r − centre) / spread + offset, where centre is a fixed number or, if that is None, the mean of the user's own
    ratings; stored as v / (Σv² + damping)^(norm_power / 2), or as it is where damping is None. A power below 1 brings
    users who rated much nearer to all (the asymmetric cosine, Aiolli 2013, "Efficient Top-N Recommendation for Very
    Large Scale Binary Rated Datasets"). Values under `prune_below` are left out. With `decay_per_year` below 1 a value
    fades with every year that passes, on every user alike. `duplicates` says which rating of an item counts that was
    rated more than once: the latest, or the mean of all.
    """

    offset: float = 1.5
    damping: float | None = 10.0
    norm_power: float = 0.8
    slope: float = 1.0
    intercept: float = 0.0
    centre: float | None = None
    spread: float = 1.0
    prune_below: float = 0.0
    decay_per_year: float = 1.0
    duplicates: Literal["latest", "mean"] = "latest"

    @property
    def fingerprint(self) -> str:
        """Names the vector in the store, so that vectors of another rule are never mixed with these."""
        numbers = f"centred {self.offset!r} {self.damping!r} {self.slope!r} {self.intercept!r}"
        further = (self.centre, self.spread, self.prune_below, self.decay_per_year, self.duplicates)
        if further != _NOTHING_FURTHER:
            numbers += f" {further!r}"
        if self.damping is not None:
            numbers += f" norm to the power {self.norm_power!r}"
        return "v" + hashlib.blake2b(numbers.encode(), digest_size=4).hexdigest()

    def five_stars(self, ratings: Floats) -> Floats:
        """Ratings of the catalogue's scale in five stars; exact on the five-star scale itself."""
        return ratings if self.slope == 1.0 and not self.intercept else ratings * self.slope + self.intercept

    def kept(self, rated: History) -> History:
        """The rated entries that are not pruned, in the same order."""
        if not self.prune_below or not len(rated):
            return rated
        return rated.at(np.abs(self._raw(rated)) >= self.prune_below)

    def values(self, rated: History) -> Floats:
        """Values of rated entries, shape (n,), in history order; n ≥ 1. What is pruned counts in the norm."""
        return rated.values(self, self._values)

    def _values(self, rated: History) -> Floats:
        raw = self._raw(rated)
        if self.decay_per_year != 1.0:
            raw = raw * self.decay_per_year ** ((rated.rated_at[-1] - rated.rated_at) / YEAR_MS)
        if self.damping is not None:
            raw = raw / (math.fsum((raw * raw).tolist()) + self.damping) ** (self.norm_power / 2)
        return raw / self.faded(int(rated.rated_at[-1]))

    def faded(self, at_ms: int) -> float:
        """What is left at `at_ms` (epoch ms) of a value stored for `ORIGIN_MS`.

        Every value is stored as if all events were seen from one instant. So nothing has to be written anew as time
        passes, and the nearest users are the same; what a similarity is now is this factor's business, once per side.
        """
        return 1.0 if self.decay_per_year == 1.0 else self.decay_per_year ** ((at_ms - ORIGIN_MS) / YEAR_MS)

    def _raw(self, rated: History) -> Floats:
        stars = self.five_stars(rated.ratings)
        centre = math.fsum(stars.tolist()) / len(stars) if self.centre is None else self.centre
        raw: Floats = (stars - centre) / self.spread + self.offset
        return raw


_NOTHING_FURTHER = (None, 1.0, 0.0, 1.0, "latest")


@lru_cache(maxsize=_RECENCIES_MAX)
def recency(n: int, half_life: float) -> Floats:
    """Weights of n entries in history order: 0.5^(age / half_life), age in events; a half-life of 0: all 1."""
    weights: Floats = 0.5 ** (np.arange(n - 1, -1, -1) / half_life) if half_life else np.ones(n)
    weights.flags.writeable = False
    return weights


def user_vector(history: History, rule: ValueRule) -> SparseVector | None:
    """The vector that makes a user findable as a neighbour; None without ratings that are kept."""
    return query_vector(history, rule, 0, 0)


def query_vector(history: History, rule: ValueRule, events: int, half_life: float) -> SparseVector | None:
    """The last `events` ratings (0: all), weighted by `recency`; None without ratings that are kept."""
    rated = history.rated()
    if not len(rated):
        return None
    values, kept = rule.values(rated), rule.kept(rated)
    if kept is not rated:
        values = values[np.isin(rated.items, kept.items)]
    values, items = values[-events:], kept.items[-events:]
    if not len(values):
        return None
    return SparseVector(items, (values * recency(len(values), half_life)).astype(np.float32))
