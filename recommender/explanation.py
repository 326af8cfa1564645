"""Why an item stands where it does: its score taken apart, to the last printed digit.

There are two readings of a score, and each adds up to it exactly: neighbours + trend + popularity, and the user's own
ratings + trend + popularity.

- A neighbour gives an item their vote times their weight (`ranking`), brought to the scale of the list's scores.
  Neighbours are named by their place among the nearest alone, so nobody learns who they are.
- Behind a neighbour stand the ratings that made them one: similarity = Σ q_j · v_j over the items j that both rated.
  What the neighbour gives is divided among these in the proportion q_j · v_j : similarity. That is a convention,
  because the weight is no linear function of the similarity. Shares have a sign: what both rated high, or both low,
  speaks for the neighbour, what they disagree on against. How rare an item is (idf) is left out of its share. Where
  neighbours are found by content or by factors too, see `reasons_behind`.
- Contributions are whole numbers of the last printed digit of a score, rounded by largest remainder (Hamilton).
- An item that only fills the list up has its whole score from popularity, as all have in a list without neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.kernels import Ballots, Tally, votes_cast
from recommender.profile import Floats, History, Items
from recommender.reasons_behind import Behind
from recommender.rules import RankingRules

SCORE_DIGITS = 6
UNITS = 10**SCORE_DIGITS
"""A score of 1 in units of the last printed digit: in these contributions are counted."""
REASONS_MAX = 5
"""Neighbours and ratings that an explanation names; the rest is summed up."""


@dataclass(frozen=True, slots=True)
class NeighbourReason:
    """What one neighbour gave: `place` 1 is the nearest; `residual` is their rating minus their mean (own scale)."""

    place: int
    similarity: float
    residual: float
    position: float
    units: int


@dataclass(frozen=True, slots=True)
class RatingReason:
    """What one of the user's own ratings gave, through so many neighbours whom it made similar."""

    item: int
    rating: float
    neighbours: int
    units: int


@dataclass(frozen=True, slots=True)
class Rest:
    """What so many others gave together."""

    count: int
    units: int


@dataclass(frozen=True, slots=True)
class Without:
    """Where the explained item would stand had the user not rated `item`; None: not among the places looked at."""

    item: int
    place: int | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one item has its score; reasons are named by weight, of either sign."""

    neighbours: tuple[NeighbourReason, ...]
    other_neighbours: Rest
    ratings: tuple[RatingReason, ...]
    other_ratings: Rest
    trend: int
    popularity: int
    without: tuple[Without, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """What the neighbours said, and why they are neighbours; valid until the next search.

    Args:
        ballots: what they voted with.
        similarities: theirs, best first, shape (k,).
        places: theirs among the nearest, from 1, shape (k,).
        asked: the items that they were found with, shape (n,).
        behind: the shares of these in how similar they are.
    """

    ballots: Ballots
    similarities: Floats
    places: NDArray[np.intp]
    asked: Items
    behind: Behind


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a list was made from.

    Args:
        rules: how it was made.
        history: the user's rated entries.
        opinions: None where no neighbour was found, so that `votes` are numbers of ratings.
        votes: the tally as it was voted; `known` has popularity mixed in, `final` the trend too, with their weights.
    """

    rules: RankingRules
    history: History
    opinions: Opinions | None
    votes: Tally
    known: Tally
    final: Tally
    popularity_weight: float
    trend_weight: float

    def is_scored(self, item: int) -> bool:
        """Whether the item of this dense number is in the list for its score, and not to fill it up."""
        at = self.final.dense == item
        return bool(at.any()) and (self.rules.score == "mean" or bool((self.final.score[at] > 0).all()))


class Breakdown:
    """Takes the scores of one list apart."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._known_unit = _listed_unit(evidence)
        self._voted_unit = self._known_unit * _mixed_unit(evidence.votes, evidence.popularity_weight)
        self._given = None if evidence.opinions is None else _Given(evidence.opinions, evidence, self._voted_unit)

    def of(self, item: int, score: float) -> Explanation:
        """Why the item of this dense number is in the list with this score."""
        evidence, units = self._evidence, round(float(np.round(score, SCORE_DIGITS)) * UNITS)
        if not evidence.is_scored(item):
            return Explanation((), _NOBODY, (), _NOBODY, 0, units)
        known = _score_of(evidence.known, item) * self._known_unit
        voted = _score_of(evidence.votes, item) * self._voted_unit if self._given is not None else 0.0
        trend = score * UNITS - known if evidence.trend_weight else 0.0
        base, popularity, trend = apportioned([voted, known - voted, trend], units)
        if self._given is None:
            return Explanation((), _NOBODY, (), _NOBODY, trend, popularity + base)
        neighbours, other_neighbours = self._given.by_neighbour(item, base)
        ratings, other_ratings = self._given.by_rating(item, base)
        return Explanation(neighbours, other_neighbours, ratings, other_ratings, trend, popularity)


_NOBODY = Rest(0, 0)


class _Given:
    """What the neighbours gave, vote by vote, and through which of the user's ratings."""

    def __init__(self, opinions: Opinions, evidence: Evidence, unit: float) -> None:
        rules = evidence.rules
        if not rules.relative_scores:
            unit *= float(opinions.similarities[0]) ** rules.similarity_exponent
        self._opinions = opinions
        self._is_mean = rules.score == "mean"
        self._cast = votes_cast(opinions.ballots)
        self._amounts = self._cast.votes * unit
        self._ratings = dict(zip(evidence.history.items.tolist(), evidence.history.ratings.tolist(), strict=True))

    def by_neighbour(self, item: int, total: int) -> tuple[tuple[NeighbourReason, ...], Rest]:
        """Who gave the item how much; adds up to `total`."""
        at, amounts = self._votes_for(item)
        rows = zip(at.tolist(), apportioned(amounts.tolist(), total), strict=True)
        # Stable: of equal contributions the nearer neighbour's comes first.
        ordered = sorted(rows, key=lambda row: -abs(row[1]))
        named, rest = ordered[:REASONS_MAX], ordered[REASONS_MAX:]
        return tuple(self._neighbour(*row) for row in named), Rest(len(rest), sum(units for _, units in rest))

    def by_rating(self, item: int, total: int) -> tuple[tuple[RatingReason, ...], Rest]:
        """Which of the user's ratings stand behind these; adds up to `total`."""
        at, amounts = self._votes_for(item)
        given, behind, asked = np.zeros(len(self._opinions.places)), self._opinions.behind, self._opinions.asked
        given[self._cast.voter[at]] = amounts
        voted = np.isin(behind.voter, self._cast.voter[at])
        voter, entry = behind.voter[voted], behind.entry[voted]
        through = np.bincount(entry, minlength=len(asked))
        sums = np.bincount(entry, given[voter] * behind.share[voted], len(asked))
        entries = np.flatnonzero(through)[::-1]
        # A neighbour whose vector is gone by now has given all the same, and so have wishes.
        unknown = float((given * behind.unknown).sum())
        *units, rest_units = apportioned([*sums[entries].tolist(), unknown], total)
        # Stable: of equal contributions the later rating's comes first.
        ordered = sorted(zip(entries.tolist(), units, strict=True), key=lambda row: -abs(row[1]))
        named, rest = ordered[:REASONS_MAX], ordered[REASONS_MAX:]
        reasons = tuple(self._rating(entry, int(through[entry]), units) for entry, units in named)
        return reasons, Rest(len(rest), rest_units + sum(units for _, units in rest))

    def _votes_for(self, item: int) -> tuple[NDArray[np.intp], Floats]:
        at = np.flatnonzero(self._cast.dense == item)
        amounts = self._amounts[at]
        return at, amounts / len(at) if self._is_mean and len(at) else amounts

    def _neighbour(self, at: int, units: int) -> NeighbourReason:
        voter = self._cast.voter[at]
        return NeighbourReason(
            int(self._opinions.places[voter]),
            float(self._opinions.similarities[voter]),
            float(self._cast.residuals[at]),
            float(self._cast.positions[at]),
            units,
        )

    def _rating(self, entry: int, neighbours: int, units: int) -> RatingReason:
        item = int(self._opinions.asked[entry])
        return RatingReason(item, self._ratings[item], neighbours, units)


def apportioned(amounts: Sequence[float], total: int) -> list[int]:
    """Whole numbers that add up to `total`, each next to its amount; the amounts add up to about `total`.

    Every amount is rounded down, and what is missing goes to those that lost most (largest remainder).
    """
    if not amounts:
        return []
    floors = np.floor(amounts)
    # Amounts that are a hair off, such as 2.9999999 for 3, may make this less than 0, or more than there are amounts.
    each, extra = divmod(total - int(floors.sum()), len(amounts))
    units = floors.astype(np.int64) + each
    units[np.argsort(floors - amounts, kind="stable")[:extra]] += 1
    return [int(unit) for unit in units.tolist()]


def _mixed_unit(tally: Tally, weight: float) -> float:
    """What 1 of a tally is worth where something else was mixed in with this weight, by bests of 1."""
    if not weight:
        return 1.0
    best = float(tally.score.max(initial=0.0))
    return (1 - weight) / best if best > 0 else 0.0


def _listed_unit(evidence: Evidence) -> float:
    """What 1 of the scores before the trend is worth, in units of the printed score."""
    unit: float = UNITS * _mixed_unit(evidence.known, evidence.trend_weight)
    if evidence.rules.relative_scores and len(evidence.final.score):
        best = float(evidence.final.score.max())
        unit = unit / best if best else 0.0
    return unit


def _score_of(tally: Tally, item: int) -> float:
    return float(tally.score[tally.dense == item].sum())
