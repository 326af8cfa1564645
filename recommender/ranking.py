"""From neighbours to votes: weighted by similarity and by where in the neighbour's history they stand.

Score of item i = Σ over neighbours (sim / best sim)³ · (r − their mean + 2) · position, with
position = 0.1 + 0.9 · 0.5^(distance / 10), the distance in events of the neighbour's history between i and the anchor,
the shared item that is latest in the user's own order (the neighbour's last item where none is shared).
"""

import numpy as np

from recommender.item_index import Dense, ItemIndex
from recommender.kernels import OPEN, SEEN, Ballots, Kernels, Tally
from recommender.neighbour_cache import Profiles
from recommender.profile import Floats
from recommender.rules import RankingRules


class Ranker:
    """Has the neighbours' votes added up. Keeps one array as long as the catalogue, so that no call allocates it."""

    def __init__(self, rules: RankingRules, index: ItemIndex, kernels: Kernels) -> None:
        self._rules = rules
        self._index = index
        self._kernels = kernels
        self._ranks: Dense = np.full(1024, OPEN, np.int32)
        self._position: Floats = np.empty(0)

    def tally(self, rated: Dense, seen: Dense, profiles: Profiles, similarities: Floats) -> Tally:
        """Score every item of the neighbours that the user has not seen.

        Args:
            rated: the user's rated items in history order, shape (n,).
            seen: further items that must not be shown.
            profiles: the neighbours, each with at least one rating.
            similarities: theirs, all positive, best first.
        """
        self._fit()
        self._ranks[seen] = SEEN
        self._ranks[rated] = np.arange(len(rated), dtype=np.int32)
        ballots = Ballots(
            profiles=profiles,
            weights=(similarities / similarities[0]) ** self._rules.similarity_exponent,
            ranks=self._ranks[: len(self._index)],
            positions=self._positions(int(profiles.lengths.max())),
            slope=self._rules.value.slope,
            offset=self._rules.vote_offset,
        )
        found = self._kernels.tally(ballots)
        self._ranks[seen] = OPEN
        self._ranks[rated] = OPEN
        return found

    def unlisted(self, rated: Dense, seen: Dense, listed: Dense, items: Dense) -> Dense:
        """Those of the items that the user has not seen and that are not listed yet."""
        self._fit()
        marked = (rated, seen, listed)
        for some in marked:
            self._ranks[some] = SEEN
        found: Dense = items[self._ranks[items] == OPEN]
        for some in marked:
            self._ranks[some] = OPEN
        return found

    def _positions(self, length: int) -> Floats:
        if len(self._position) < length:
            floor, half_life = self._rules.position_floor, self._rules.position_half_life
            self._position = floor + (1 - floor) * 0.5 ** (np.arange(2 * length) / half_life)
        return self._position

    def _fit(self) -> None:
        missing = len(self._index) - len(self._ranks)
        if missing > 0:
            self._ranks = np.concatenate((self._ranks, np.full(max(missing, len(self._ranks)), OPEN, np.int32)))
