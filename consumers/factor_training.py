"""Item factors made from what users have rated, by a truncated SVD; scipy is optional (the extra `factors`)."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.factors import DIMENSIONS, Factors
from recommender.profile import History
from recommender.vector import SparseVector, ValueRule, user_vector

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_SEED = 0


class FactorError(Exception):
    """Factors cannot be made, read or written; says what to do."""


def trained_factors(histories: Iterable[History], rule: ValueRule, dimensions: int = DIMENSIONS) -> Factors:
    """The right singular vectors of the users' stored values, fewer than `dimensions` where there is less to go by.

    Raises:
        FactorError: scipy is missing, or there are too few users or items.
    """
    linalg = _scipy()
    values, items = _matrix(histories, rule)
    rank = min(dimensions, *(side - 1 for side in values.shape))
    if rank < 1:
        users, columns = values.shape
        raise FactorError(f"{users} users with ratings and {columns} items are too few: factors need two of each")
    # The start decides signs and last digits, and which of equal singular values are taken.
    start = np.random.default_rng(_SEED).random(min(values.shape))
    _, _, right = linalg.svds(values, k=rank, v0=start)
    return Factors(items, np.ascontiguousarray(right[::-1].T, dtype=np.float32))


def _matrix(histories: Iterable[History], rule: ValueRule) -> tuple["csr_array", Any]:
    from scipy.sparse import csr_array  # noqa: PLC0415  # optional

    vectors = [vector for history in histories if (vector := user_vector(history, rule)) is not None]
    # Partitions are read in any order: the same ratings make the same factors all the same.
    vectors.sort(key=_digest)
    lengths = [len(vector) for vector in vectors]
    if not vectors:
        return csr_array((0, 0), dtype=np.float64), np.empty(0, np.uint32)
    items, columns = np.unique(np.concatenate([vector.indices for vector in vectors]), return_inverse=True)
    data = np.concatenate([vector.values for vector in vectors]).astype(np.float64)
    begins = np.concatenate(([0], np.cumsum(lengths)))
    return csr_array((data, columns, begins), shape=(len(vectors), len(items))), items


def _digest(vector: SparseVector) -> bytes:
    return hashlib.blake2b(vector.indices.tobytes() + vector.values.tobytes(), digest_size=16).digest()


def _scipy() -> Any:
    try:
        from scipy.sparse import linalg  # noqa: PLC0415  # optional
    except ImportError:
        raise FactorError("factors need scipy: pip install 'tastestream[factors]'") from None
    return linalg


def document(factors: Factors) -> dict[str, Any]:
    """What factors are, as JSON carries it."""
    return {"fingerprint": factors.fingerprint, "items": len(factors.items), "dimensions": factors.dimensions}
