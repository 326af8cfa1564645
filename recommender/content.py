"""Content vectors: what an item is about, from its genres, tags and year, in 128 dimensions; nothing is trained.

Every trait ("genre:drama", "tag:noir", "decade:1990") has a vector of signs ±1/√128, which are the bits of the BLAKE2b
digest of its name: a random projection (Achlioptas 2003) that is the same in every process and on every machine. Two
different traits have a dot product of 0 ± 0.09. An item's vector is g + 0.3 · t + y at length 1, where

- g and t are the sums over its genres and over its tags, each divided by √(how many), so that a long list of them
  counts as much as a short one;
- y stands between the two decades that its year lies between, so that years close by are alike across a turn of them.

Frequent traits count no less than rare ones: by their idf over a catalogue every vector would change with every item.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recommender.catalogue import Catalogue, CatalogueItem
from recommender.item_index import Dense, ItemIndex
from recommender.profile import Floats
from recommender.vector import recency

DIMENSIONS = 128
ROWS_MAX = 131_072
"""Items whose vectors are kept, half a kilobyte each."""
GENRES_WEIGHT, TAGS_WEIGHT, YEAR_WEIGHT = 1.0, 0.3, 1.0
TASTE_OFFSET = 1.0
"""So far below a user's mean a rating says nothing for an item any more, in stars of five."""
_TRAITS_KEPT_MAX = 8_192
_DECADE_YEARS = 10

Vectors = NDArray[np.float32]
"""Shape (n, 128), or (128,) for one; of length 1, or all 0 where nothing is known."""


def content_vector(known: CatalogueItem) -> Vectors | None:
    """The vector of an item, or of wishes written like one, shape (128,); None without genres, tags and year."""
    total = GENRES_WEIGHT * _group("genre", known.genres) + TAGS_WEIGHT * _group("tag", known.tags)
    if known.year is not None:
        total += YEAR_WEIGHT * _year(known.year)
    return _normalised(total)


def taste_vector(stars: Floats, vectors: Vectors, half_life: float) -> Vectors | None:
    """What a user likes: the weighted mean of what they rated, at length 1; None where that is nothing.

    The weight of a rating is max(0, r − mean + 1) · 0.5^(age / half_life), age in events.

    Args:
        stars: ratings in five stars, in history order, shape (n,).
        vectors: of the items rated, shape (n, 128).
        half_life: in events, as the query's; 0: all count alike.
    """
    return _normalised(taste_weights(stars, half_life) @ vectors.astype(np.float64)) if len(stars) else None


def taste_weights(stars: Floats, half_life: float) -> Floats:
    """What each of these ratings counts in a taste, shape (n,); see `taste_vector`."""
    if not len(stars):
        return stars
    weights: Floats = np.maximum(stars - stars.mean() + TASTE_OFFSET, 0.0) * recency(len(stars), half_life)
    return weights


class ContentVectors:
    """Vectors by dense item number, made when first asked for and again when more is known of the item.

    A look-up costs as much as the items asked for, however large the catalogue is.
    """

    def __init__(self, catalogue: Catalogue, index: ItemIndex, rows_max: int = ROWS_MAX) -> None:
        self._catalogue = catalogue
        self._index = index
        self._rows_max = rows_max
        self._rows: Vectors = np.zeros((256, DIMENSIONS), np.float32)
        self._made_of: list[CatalogueItem | None] = []
        self._row: Dense = np.full(1024, -1, np.int32)
        self._stamp = np.full(1024, -1, np.int64)

    def __len__(self) -> int:
        return len(self._made_of)

    @property
    def version(self) -> int:
        """Another one as soon as a vector may be another."""
        return self._catalogue.version

    def of(self, dense: Dense) -> Vectors:
        """The vectors of different items, at most `rows_max`, shape (n, 128); 0 where nothing is known."""
        self._fit()
        version = self._catalogue.version
        stale = dense[self._stamp[dense] != version]
        new = int(np.count_nonzero(self._row[stale] < 0))
        if len(self._made_of) + new > self._rows_max:
            self._clear()
            stale = dense
        for number in stale.tolist():
            self._bring_up_to_date(number)
        self._stamp[stale] = version
        found: Vectors = self._rows[self._row[dense]]
        return found

    def _bring_up_to_date(self, number: int) -> None:
        known, row = self._catalogue.get(int(self._index.items[number])), int(self._row[number])
        if row < 0:
            row = self._row[number] = len(self._made_of)
            self._made_of.append(None)
        # The catalogue keeps the very same object until what is known changes.
        if known is not self._made_of[row]:
            found = None if known is None else content_vector(known)
            self._room_for(row)[row] = 0.0 if found is None else found
            self._made_of[row] = known

    def _room_for(self, row: int) -> Vectors:
        if row >= len(self._rows):
            self._rows = np.concatenate((self._rows, np.zeros((max(row, len(self._rows)), DIMENSIONS), np.float32)))
        return self._rows

    def _clear(self) -> None:
        self._made_of.clear()
        self._row[:] = self._stamp[:] = -1
        self._rows[:] = 0.0

    def _fit(self) -> None:
        missing = len(self._index) - len(self._row)
        if missing > 0:
            room = max(missing, len(self._row))
            self._row = np.concatenate((self._row, np.full(room, -1, np.int32)))
            self._stamp = np.concatenate((self._stamp, np.full(room, -1, np.int64)))


def _group(kind: str, names: Sequence[str]) -> Floats:
    # Each once and in one order: sums of the same traits must be the same bits however they were listed.
    traits = sorted({f"{kind}:{name.casefold()}" for name in names})
    total = np.zeros(DIMENSIONS)
    for trait in traits:
        total += _signs(trait)
    total /= math.sqrt(max(1, len(traits)))
    return total


def _year(year: int) -> Floats:
    decade, years = divmod(year, _DECADE_YEARS)
    share = years / _DECADE_YEARS
    between = (1 - share) * _signs(f"decade:{decade * _DECADE_YEARS}")
    between += share * _signs(f"decade:{(decade + 1) * _DECADE_YEARS}")
    between /= math.hypot(share, 1 - share)
    return between


@lru_cache(_TRAITS_KEPT_MAX)
def _signs(trait: str) -> Floats:
    digest = hashlib.blake2b(trait.encode(errors="replace"), digest_size=DIMENSIONS // 8, person=b"tastestream.ct")
    bits = np.unpackbits(np.frombuffer(digest.digest(), np.uint8))
    signs: Floats = (bits.astype(np.float64) * 2.0 - 1.0) / math.sqrt(DIMENSIONS)
    return signs


def _normalised(total: Floats) -> Vectors | None:
    # Rounded up as one sum, so that the length does not depend on how a processor adds.
    length = math.sqrt(math.fsum((total * total).tolist()))
    return (total / length).astype(np.float32) if length > 0 else None
