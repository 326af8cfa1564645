"""From neighbours to votes: weighted by similarity and by where in the neighbour's history they stand.

Score of item i = Σ over neighbours (sim / best sim)³ · (r − their mean + 2) · position, with
position = 0.1 + 0.9 · 0.5^(distance / 10), the distance in events of the neighbour's history between i and the anchor,
the shared item that is latest in the user's own order (the neighbour's last item where none is shared). The numbers are
the default's; rules may also ask for the mean of the votes, and for scores in the similarities' own unit.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense, ItemIndex
from recommender.kernels import OPEN, SEEN, Ballots, Kernels, Tally
from recommender.neighbour_cache import Profiles
from recommender.profile import Floats
from recommender.rules import RankingRules

_POSITIONS_MAX = 16
"""Rules whose position weights are kept; requests may bring their own."""


class Ranker:
    """Has the neighbours' votes added up. Keeps one array as long as the catalogue, so that no call allocates it."""

    def __init__(self, rules: RankingRules, index: ItemIndex, kernels: Kernels) -> None:
        self._rules = rules
        self._index = index
        self._kernels = kernels
        self._ranks: Dense = np.full(1024, OPEN, np.int32)
        # What an item's rank is while nobody asks: `SEEN` for what may be shown to nobody.
        self._idle: Dense = np.full(1024, OPEN, np.int32)
        self._are_some_closed = False
        self._marks: NDArray[np.bool_] = np.zeros(1024, np.bool_)
        self._positions: dict[tuple[float, float], Floats] = {}

    def close(self, items: Dense) -> None:
        """Show these items to nobody from now on, and all others again."""
        self._fit()
        self._idle.fill(OPEN)
        self._idle[items] = SEEN
        self._are_some_closed = len(items) > 0
        self._ranks[:] = self._idle

    def closed(self) -> NDArray[np.bool_]:
        """Which items may be shown to nobody, shape (len(index),)."""
        self._fit()
        found: NDArray[np.bool_] = self._idle[: len(self._index)] == SEEN
        return found

    def tally(
        self,
        rated: Dense,
        seen: Dense,
        profiles: Profiles,
        similarities: Floats,
        rules: RankingRules | None = None,
    ) -> Tally:
        """Score every item of the neighbours that the user has not seen.

        Args:
            rated: the user's rated items in history order, shape (n,).
            seen: further items that must not be shown.
            profiles: the neighbours, each with at least one rating.
            similarities: theirs, all positive, best first.
            rules: how votes count; None: as ever.
        """
        self._fit()
        rules = rules or self._rules
        self._ranks[seen] = SEEN
        self._ranks[rated] = np.arange(len(rated), dtype=np.int32)
        found = self._kernels.tally(self._ballots(self._ranks[: len(self._index)], profiles, similarities, rules))
        self._ranks[seen] = self._idle[seen]
        self._ranks[rated] = self._idle[rated]
        return _scored(found, rules, float(similarities[0]))

    def ballots(self, rated: Dense, profiles: Profiles, similarities: Floats, rules: RankingRules) -> Ballots:
        """What the neighbours vote with, for a look at single votes; nothing is marked as seen in it."""
        ranks: Dense = np.full(len(self._index), OPEN, np.int32)
        ranks[rated] = np.arange(len(rated), dtype=np.int32)
        return self._ballots(ranks, profiles, similarities, rules)

    def unlisted(self, rated: Dense, seen: Dense, listed: Dense, items: Dense) -> Dense:
        """Those of the items that the user has not seen and that are not listed yet."""
        self._fit()
        wanted = items[self._idle[items] == OPEN] if self._are_some_closed else items
        return self._kernels.without(wanted, (listed, rated, seen), self._marks)

    def _ballots(self, ranks: Dense, profiles: Profiles, similarities: Floats, rules: RankingRules) -> Ballots:
        return Ballots(
            profiles=profiles,
            weights=(similarities / similarities[0]) ** rules.similarity_exponent,
            ranks=ranks,
            positions=self._weights_by_distance(rules, int(profiles.lengths.max())),
            slope=rules.value.slope * rules.vote_slope,
            offset=rules.vote_offset,
        )

    def _weights_by_distance(self, rules: RankingRules, length: int) -> Floats:
        numbers = rules.position_floor, rules.position_half_life
        held = self._positions.get(numbers)
        if held is None or len(held) < length:
            if len(self._positions) >= _POSITIONS_MAX:
                self._positions.clear()
            floor, half_life = numbers
            held = self._positions[numbers] = floor + (1 - floor) * 0.5 ** (np.arange(2 * length) / half_life)
        return held

    def _fit(self) -> None:
        missing = len(self._index) - len(self._ranks)
        if missing > 0:
            room = np.full(max(missing, len(self._ranks)), OPEN, np.int32)
            self._ranks, self._idle = np.concatenate((self._ranks, room)), np.concatenate((self._idle, room))
            self._marks = np.zeros(len(self._ranks), np.bool_)


def _scored(tally: Tally, rules: RankingRules, best_similarity: float) -> Tally:
    """A tally as the rules want its scores: votes were added up with weights relative to the best similarity."""
    score = tally.score
    if not rules.relative_scores:
        score = score * best_similarity**rules.similarity_exponent
    if rules.score == "mean":
        score = score / tally.support
    return tally if score is tally.score else replace(tally, score=score)
