"""The arithmetic that costs a refresh most, behind a port: votes added up, and the best of many scores.

Two implementations give the same bits: this module's in numpy, and `compiled`, which passes over the votes once instead
of sixteen times. Sums run in the order of the entries in both.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense, found_in
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

    def at(self, places: NDArray[np.bool_] | NDArray[np.int64]) -> "Tally":
        """The items at these places."""
        score, weight, pull = self.score[places], self.weight[places], self.pull[places]
        return Tally(self.dense[places], score, self.support[places], weight, pull)


class TrendShare(NamedTuple):
    """Popularity that is mixed into a tally, with a weight in (0, 1].

    `sums` is popularity by item number, shape (catalogue,); `leaders` are items without votes that may rise by it.
    """

    sums: Floats
    leaders: Dense
    weight: float


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

    def foremost(self, tally: Tally, items: Items, limit: int, share: TrendShare | None) -> Tally:
        """The best of a tally with its share of the trend (see `mixed`), in the order of `best`.

        `items` are dimensions by item number.
        """

    def shortlists(
        self, pool: Dense, parts: tuple[Floats, Floats], settings: tuple[Slots, Floats], limit: int
    ) -> Dense:
        """The first `limit` of a pool of items under several settings at once, equal ones as they stand in the pool.

        Args:
            pool: item numbers, shape (p,).
            parts: votes, shape (p,), and trends, shape (half-lives, p), as shares of the best.
            settings: half-life and weight of the trend, each of shape (settings,); see `mixed`.
            limit: at least 1.

        Returns:
            Item numbers, shape (settings, min(p, limit)).
        """

    def without(self, items: Dense, others: tuple[Dense, Dense, Dense], marks: NDArray[np.bool_]) -> Dense:
        """Those of `items`, each given once, that are none of the others; `marks` are all False before and after."""

    def find(self, table: Dense, known: Items, items: Items) -> tuple[Dense, bool]:
        """The entries of a hash table of item numbers (see `item_index`), and whether there is one for every item.

        Args:
            table: item numbers by slot, −1 where a slot is free; shape (2^bits,), more than half of them free.
            known: dimensions by item number.
            items: dimensions, shape (n,).

        Returns:
            Item numbers, shape (n,), −1 for what has none.
        """


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

    def foremost(self, tally: Tally, items: Items, limit: int, share: TrendShare | None) -> Tally:
        """See `Kernels.foremost`."""
        found = tally if share is None else mixed(tally, share)
        return found.at(self.best(found.score, found.support, items[found.dense], limit))

    def shortlists(
        self, pool: Dense, parts: tuple[Floats, Floats], settings: tuple[Slots, Floats], limit: int
    ) -> Dense:
        """See `Kernels.shortlists`."""
        (votes, trends), (lives, weights) = parts, settings
        weight = weights[:, None]
        mixed_scores = (1 - weight) * votes + weight * trends[lives]
        return pool[np.argsort(-mixed_scores, axis=1, kind="stable")[:, :limit]]

    def find(self, table: Dense, known: Items, items: Items) -> tuple[Dense, bool]:
        """See `Kernels.find`."""
        return found_in(table, known, items)

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


def mixed(tally: Tally, share: TrendShare) -> Tally:
    """Score = (1 − w) · score / best score + w · trend / best trend, for a tally and leaders without votes."""
    leaders, weight = share.leaders, share.weight
    dense = np.concatenate((tally.dense, leaders))
    votes, none = np.concatenate((scaled(tally.score), np.zeros(len(leaders)))), np.zeros(len(leaders))
    return Tally(
        dense,
        (1 - weight) * votes + weight * scaled(share.sums[dense]),
        np.concatenate((tally.support, none.astype(np.int64))),
        np.concatenate((tally.weight, none)),
        np.concatenate((tally.pull, none)),
    )


def scaled(values: Floats) -> Floats:
    """Values as shares of the best one; 0 where none is above 0."""
    best = float(values.max(initial=0.0))
    shares: Floats = values / best if best > 0 else np.zeros(len(values))
    return shares


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
