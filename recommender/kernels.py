"""The arithmetic that costs a refresh most, behind a port: votes added up, and the best of many scores.

Two implementations give the same bits: this module's in numpy, and `compiled`, which passes over the votes once instead
of sixteen times. Sums run in the order of the entries in both.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense
from recommender.neighbour_cache import Profiles, Slots
from recommender.profile import Floats, Items

OPEN, SEEN = -1, -2
"""Ranks of items that may be shown, and of items that may not but are no part of the user's history either."""
_SMALL_CATALOGUE_VOTES = 2


@dataclass(frozen=True, slots=True)
class Ballots:
    """What the neighbours vote with: their profiles, each with at least one rating, and their weights, shape (k,).

    `ranks` holds, by item number, the item's place in the user's own order, `OPEN` or `SEEN`; `positions` holds an
    entry's weight by its distance from the anchor. A vote is slope · residual + offset.
    """

    profiles: Profiles
    weights: Floats
    ranks: Dense
    positions: Floats
    slope: float
    offset: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Items that got votes and may be shown, each once, all of shape (u,).

    `score` is the sum of the votes, `support` their number, `weight` the sum of their neighbours' weights, and `pull`
    that of weight · residual.
    """

    dense: Dense
    score: Floats
    support: NDArray[np.int64]
    weight: Floats
    pull: Floats

    def at(self, places: NDArray[np.bool_]) -> "Tally":
        """The items at these places."""
        score, weight, pull = self.score[places], self.weight[places], self.pull[places]
        return Tally(self.dense[places], score, self.support[places], weight, pull)


class CastVotes(NamedTuple):
    """Every entry of the neighbours, one neighbour behind the other, all of shape (m,).

    `voter` is the number of the entry's neighbour, `ranks` what `Ballots.ranks` says of its item, `positions` and
    `weights` are factors of its vote in `votes`.
    """

    dense: Dense
    residuals: Floats
    voter: NDArray[np.int64]
    ranks: Dense
    positions: Floats
    weights: Floats
    votes: Floats


class Kernels(Protocol):
    """What an implementation offers."""

    def warm_up(self) -> None:
        """Do now what the first use would have to wait for."""

    def tally(self, ballots: Ballots) -> Tally:
        """Add the votes up, in the order of the entries; the order of the items is the implementation's own."""

    def best(self, scores: Floats, support: NDArray[np.int64], items: Items, limit: int) -> NDArray[np.int64]:
        """Indices of the `limit` ≥ 1 greatest positive scores: score, then support, both descending, then item."""

    def without(self, items: Dense, others: tuple[Dense, Dense, Dense], marks: NDArray[np.bool_]) -> Dense:
        """Those of `items`, each given once, that are none of the others; `marks` are all False before and after."""


class NumpyKernels:
    """The port in numpy. Keeps a scratch array as long as the catalogue, so that no call allocates or clears one."""

    def __init__(self) -> None:
        self._slot: Dense = np.zeros(1024, np.int32)

    def warm_up(self) -> None:
        """See `Kernels.warm_up`."""

    def tally(self, ballots: Ballots) -> Tally:
        """See `Kernels.tally`."""
        cast = votes_cast(ballots)
        open_ = np.flatnonzero(cast.ranks == OPEN)
        local, items = self._numbered(cast.dense[open_], len(ballots.ranks))
        n, weights = len(items), cast.weights[open_]
        score = np.bincount(local, cast.votes[open_], n).astype(np.float64, copy=False)
        support = np.bincount(local, minlength=n)
        weight = np.bincount(local, weights, n).astype(np.float64, copy=False)
        pull = np.bincount(local, weights * cast.residuals[open_], n).astype(np.float64, copy=False)
        voted = np.flatnonzero(support)
        return Tally(items[voted], score[voted], support[voted], weight[voted], pull[voted])

    def best(self, scores: Floats, support: NDArray[np.int64], items: Items, limit: int) -> NDArray[np.int64]:
        """See `Kernels.best`."""
        chosen = np.flatnonzero(scores > 0)
        if limit < len(chosen):
            eligible = scores[chosen]
            threshold = np.partition(eligible, len(chosen) - limit)[len(chosen) - limit]
            chosen = chosen[eligible >= threshold]
        order = np.lexsort((items[chosen], -support[chosen], -scores[chosen]))
        return chosen[order][:limit]

    def without(self, items: Dense, others: tuple[Dense, Dense, Dense], marks: NDArray[np.bool_]) -> Dense:
        """See `Kernels.without`."""
        marks[items] = True
        for some in others:
            marks[some] = False
        found: Dense = items[marks[items]]
        marks[items] = False
        return found

    def _numbered(self, dense: Dense, catalogue: int) -> tuple[Dense, Dense]:
        """Local numbers of the votes' items, and the items by local number."""
        if catalogue <= _SMALL_CATALOGUE_VOTES * len(dense):
            # Adding up over a small catalogue is cheaper than finding out which of its items occur.
            return dense, np.arange(catalogue, dtype=np.int32)
        return self._compact(dense, catalogue)

    def _compact(self, dense: Dense, catalogue: int) -> tuple[Dense, Dense]:
        """Number the items that occur 0, 1, 2, …: cost grows with the votes, not with the catalogue."""
        if len(self._slot) < catalogue:
            self._slot = np.zeros(2 * catalogue, np.int32)
        order = np.arange(len(dense), dtype=np.int32)
        self._slot[dense] = order
        items = dense[self._slot[dense] == order]
        self._slot[items] = np.arange(len(items), dtype=np.int32)
        return self._slot[dense], items


def votes_cast(ballots: Ballots) -> CastVotes:
    """What every neighbour says of every item of theirs; items that may not be shown among them."""
    (dense, residuals), lengths = ballots.profiles.entries(), ballots.profiles.lengths
    ranks = ballots.ranks[dense]
    voter = np.repeat(np.arange(len(lengths)), lengths)
    weights, positions = ballots.weights[voter], ballots.positions[_distances(ranks, lengths)]
    votes = ballots.slope * residuals + ballots.offset
    votes *= weights
    votes *= positions
    return CastVotes(dense, residuals, voter, ranks, positions, weights, votes)


def _distances(ranks: Dense, lengths: Slots) -> NDArray[np.int64]:
    """Of every entry from its neighbour's anchor, in entries."""
    ends = np.cumsum(lengths)
    latest = np.maximum.reduceat(ranks, ends - lengths)
    anchors = ends - 1
    shared = np.flatnonzero((ranks == np.repeat(latest, lengths)) & (ranks >= 0))
    anchors[latest >= 0] = shared
    return np.abs(np.arange(len(ranks)) - np.repeat(anchors, lengths))
