"""How unlike the items of a list are, by their kinds (genres): Jaccard over bit masks, many lists at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.catalogue import Catalogue
from recommender.profile import Floats

_WORD_BITS = 64
_ITEMS_MAX, _KINDS_MAX = 1_000_000, 1_024


class Unlikeness(NamedTuple):
    """Per list, shape (lists,): Σ (1 − Jaccard similarity) over pairs of items whose kinds are known, and the pairs."""

    total: Floats
    pairs: NDArray[np.int64]


class KindMasks:
    """A mask per item, looked up once per version of the catalogue; of more than 1,024 kinds the first ones count."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._version = catalogue.version
        self._bits: dict[str, int] = {}
        self._masks: dict[int, int] = {}

    def unlikeness(self, lists: Sequence[Sequence[int]]) -> Unlikeness:
        """Of each list of items (dimensions); lists may differ in length."""
        if self._version != self._catalogue.version or len(self._masks) > _ITEMS_MAX:
            self._version = self._catalogue.version
            self._masks.clear()
        masks = [[self._mask(item) for item in shown] for shown in lists]
        longest = max(map(len, masks), default=0)
        words = -(-len(self._bits) // _WORD_BITS)
        if longest < 2 or not words:
            return Unlikeness(np.zeros(len(lists)), np.zeros(len(lists), np.int64))
        padded = [row + [0] * (longest - len(row)) for row in masks]
        return _compared(_as_words(padded, words))

    def _mask(self, item: int) -> int:
        mask = self._masks.get(item)
        if mask is None:
            known = self._catalogue.get(item)
            mask = 0
            for kind in () if known is None else known.genres:
                if kind in self._bits or len(self._bits) < _KINDS_MAX:
                    mask |= 1 << self._bits.setdefault(kind, len(self._bits))
            self._masks[item] = mask
        return mask


def _as_words(masks: Sequence[Sequence[int]], words: int) -> NDArray[np.uint64]:
    """Shape (lists, items, words)."""
    if words == 1:
        return np.array(masks, np.uint64)[:, :, None]
    low = (1 << _WORD_BITS) - 1
    parts = [[[(mask >> (_WORD_BITS * word)) & low for word in range(words)] for mask in row] for row in masks]
    return np.array(parts, np.uint64)


def _compared(masks: NDArray[np.uint64]) -> Unlikeness:
    one, other = np.triu_indices(masks.shape[1], 1)
    left, right = masks[:, one], masks[:, other]
    both = np.bitwise_count(left & right).sum(2)
    either = np.bitwise_count(left | right).sum(2)
    known = np.bitwise_or.reduce(masks, 2) > 0
    is_pair = known[:, one] & known[:, other]
    unlike = np.where(is_pair, 1 - both / np.maximum(either, 1), 0.0)
    return Unlikeness(unlike.sum(1), is_pair.sum(1))
