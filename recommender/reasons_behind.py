"""What stands behind neighbours: the share that each rating of who asks has in being like each of them.

A similarity by ratings is Σ q_j · v_j over the items j that both rated, so j's share is q_j · v_j : similarity. By
content or by factors it is a dot product too, of what the neighbour's vector is now with a sum over what was rated:
Σ a_j · v, so j's share is a_j · v : similarity. Where several ways were searched, the shares of each way count as much
as the way gave to the similarity. How rare an item is (idf) is left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.embedding import Addends
from recommender.profile import Floats, Items

_CANCELLED = 1e-9
"""Below this share of their absolute sum, products are nothing but rounding."""

Places = NDArray[np.intp]


class VectorEntries(NamedTuple):
    """What neighbours were found by, entry by entry, shape (m,): whose, the item, the value.

    One neighbour's values may have a factor in common that another's have not.
    """

    voter: Places
    items: Items
    values: Floats


class Behind(NamedTuple):
    """Of which neighbour, of which rating of those asked with, and its share, shape (m,); each pair once.

    `unknown`: how much of each neighbour's similarity has no rating behind it that is known, shape (k,).
    """

    voter: Places
    entry: Places
    share: Floats
    unknown: Floats


def behind_by_ratings(asked: Items, values: Floats, vectors: VectorEntries, voters: int) -> Behind:
    """Behind so many neighbours with these vectors.

    Args:
        asked: the items asked with, shape (n,), each once.
        values: theirs in the query, shape (n,).
        vectors: of the neighbours; those that are gone by now are missing.
        voters: how many neighbours there are.
    """
    voter, entry, at = _among(asked, vectors)
    return _shares(voter, entry, vectors.values[at] * values[entry], voters)


def behind_by_addends(asked: Items, addends: Addends, vectors: Floats) -> Behind:
    """Behind neighbours with these dense vectors, shape (k, d), 0 where one has none.

    Args:
        asked: the items asked with, each once; those of `addends` are among them.
        addends: what they add to the vector that is asked by.
        vectors: of the neighbours.
    """
    products = vectors @ addends.rows.T
    voter, column = np.nonzero(products)
    entry = _places_in(asked, addends.items)[column]
    return _shares(voter, entry, products[voter, column], len(vectors))


def nothing_behind(voters: int) -> Behind:
    """Behind neighbours who were not found by any rating."""
    none = np.empty(0, np.intp)
    return Behind(none, none, np.empty(0), np.ones(voters))


def behind_by_all(ways: Sequence[tuple[Behind, Floats]], entries: int) -> Behind:
    """Several ways together: each with the part that it has in every similarity, shape (k,); parts add up to 1.

    `entries`: how many items were asked with.
    """
    voter = np.concatenate([way.voter for way, _ in ways])
    entry = np.concatenate([way.entry for way, _ in ways])
    share = np.concatenate([way.share * part[way.voter] for way, part in ways])
    pairs, local = np.unique(voter * entries + entry, return_inverse=True)
    unknown = np.sum([way.unknown * part for way, part in ways], axis=0)
    together = np.bincount(local, share, len(pairs)).astype(np.float64)
    return Behind(pairs // max(1, entries), pairs % max(1, entries), together, unknown)


def _among(asked: Items, vectors: VectorEntries) -> tuple[Places, Places, Places]:
    """Of the entries whose item was asked with: whose, which of those asked with, and which entry it is."""
    if not len(asked):
        none = np.empty(0, np.intp)
        return none, none, none
    entry = _places_in(asked, vectors.items)
    at = np.flatnonzero(asked[entry] == vectors.items)
    return vectors.voter[at], entry[at], at


def _places_in(asked: Items, items: Items) -> Places:
    order = np.argsort(asked)
    return order[np.minimum(np.searchsorted(asked, items, sorter=order), len(asked) - 1)]


def _shares(voter: Places, entry: Places, products: Floats, voters: int) -> Behind:
    sums, sizes = (np.bincount(voter, some, voters) for some in (products, np.abs(products)))
    # What was similar in single precision, or has been rated anew since, may add up to nothing.
    founded = sums > _CANCELLED * sizes
    kept = founded[voter]
    voter, products = voter[kept], products[kept]
    return Behind(voter, entry[kept], products / sums[voter], np.where(founded, 0.0, 1.0))
