"""From neighbours to a list: votes weighted by similarity and by where in the neighbour's history they stand.

Score of item i = Σ over neighbours (sim / best sim)³ · (r − their mean + 2) · position, with
position = 0.1 + 0.9 · 0.5^(distance / 10), the distance in events of the neighbour's history between i and the anchor,
the shared item that is latest in the user's own order (the neighbour's last item where none is shared).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense, ItemIndex
from recommender.neighbour_cache import NeighbourProfile
from recommender.profile import Floats
from recommender.rules import RankingRules

_OPEN, _SEEN = -1, -2
_SMALL_CATALOGUE_VOTES = 2


@dataclass(frozen=True, slots=True)
class Votes:
    """The neighbours' votes, entry by entry: `item` (local number), weight, residual; all of shape (m,)."""

    item: NDArray[np.int32]
    weight: Floats
    residual: Floats


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items that may be shown: dense number, score and support, of shape (u,); no votes or seen: a score of 0."""

    dense: Dense
    score: Floats
    support: NDArray[np.int64]
    votes: Votes


class Ranker:
    """Adds votes up. Keeps two scratch arrays as long as the catalogue, so that no call allocates or clears one."""

    def __init__(self, rules: RankingRules, index: ItemIndex) -> None:
        self._rules = rules
        self._index = index
        self._rank: Dense = np.full(1024, _OPEN, np.int32)
        self._slot: Dense = np.zeros(1024, np.int32)
        self._position: Floats = np.empty(0)

    def candidates(
        self, rated: Dense, seen: Dense, profiles: Sequence[NeighbourProfile], similarities: Sequence[float]
    ) -> Candidates:
        """Score every item of the neighbours that the user has not seen.

        Args:
            rated: the user's rated items in history order, shape (n,).
            seen: further items that must not be shown.
            profiles: the neighbours, each with at least one rating.
            similarities: theirs, all positive, best first.
        """
        lengths = np.array([len(profile.dense) for profile in profiles])
        dense = np.concatenate([profile.dense for profile in profiles])
        residuals = np.concatenate([profile.residuals for profile in profiles])
        rank = self._ranks(rated, seen, dense)
        weights = (np.asarray(similarities) / similarities[0]) ** self._rules.similarity_exponent
        votes = self._rules.value.slope * residuals + self._rules.vote_offset
        weights = np.repeat(weights, lengths)
        votes *= weights
        votes *= self._positions(rank, lengths)
        local, items = self._numbered(dense)
        score = np.bincount(local, votes, len(items)).astype(np.float64, copy=False)
        support = np.bincount(local, minlength=len(items))
        shown = local[rank != _OPEN]
        score[shown] = 0.0
        support[shown] = 0
        return Candidates(items, score, support, Votes(local, weights, residuals))

    def _ranks(self, rated: Dense, seen: Dense, dense: Dense) -> Dense:
        self._fit()
        self._rank[seen] = _SEEN
        self._rank[rated] = np.arange(len(rated), dtype=np.int32)
        ranks = self._rank[dense]
        self._rank[seen] = _OPEN
        self._rank[rated] = _OPEN
        return ranks

    def _positions(self, rank: Dense, lengths: NDArray[np.int64]) -> Floats:
        ends = np.cumsum(lengths)
        latest = np.maximum.reduceat(rank, ends - lengths)
        anchors = ends - 1
        shared = np.flatnonzero((rank == np.repeat(latest, lengths)) & (rank >= 0))
        anchors[latest >= 0] = shared
        distance = np.abs(np.arange(len(rank)) - np.repeat(anchors, lengths))
        return self._position_table(int(lengths.max()))[distance]

    def _position_table(self, length: int) -> Floats:
        if len(self._position) < length:
            floor, half_life = self._rules.position_floor, self._rules.position_half_life
            self._position = floor + (1 - floor) * 0.5 ** (np.arange(2 * length) / half_life)
        return self._position

    def _numbered(self, dense: Dense) -> tuple[Dense, Dense]:
        """Local numbers of the votes' items, and the items by local number."""
        if len(self._index) <= _SMALL_CATALOGUE_VOTES * len(dense):
            # Adding up over a small catalogue is cheaper than finding out which of its items occur.
            return dense, np.arange(len(self._index), dtype=np.int32)
        return self._compact(dense)

    def _compact(self, dense: Dense) -> tuple[Dense, Dense]:
        """Number the items that occur 0, 1, 2, …: cost grows with the votes, not with the catalogue."""
        order = np.arange(len(dense), dtype=np.int32)
        self._slot[dense] = order
        items = dense[self._slot[dense] == order]
        self._slot[items] = np.arange(len(items), dtype=np.int32)
        return self._slot[dense], items

    def _fit(self) -> None:
        missing = len(self._index) - len(self._rank)
        if missing > 0:
            room = max(missing, len(self._rank))
            self._rank = np.concatenate((self._rank, np.full(room, _OPEN, np.int32)))
            self._slot = np.concatenate((self._slot, np.zeros(room, np.int32)))


def best(scores: Floats, tie_breaks: Sequence[NDArray[np.generic]], limit: int) -> NDArray[np.int64]:
    """Indices of the `limit` greatest scores, best first; equal scores by the tie breaks, each ascending."""
    chosen = np.arange(len(scores))
    if limit < len(scores):
        threshold = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        chosen = np.flatnonzero(scores >= threshold)
    keys = [tie[chosen] for tie in reversed(tie_breaks)]
    return chosen[np.lexsort((*keys, -scores[chosen]))][:limit]
