"""Predicted ratings, against the formula in plain Python."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.item_index import ItemIndex
from recommender.kernels import Tally
from recommender.prediction import predict_voted, user_baseline
from recommender.profile import History
from recommender.rules import RankingRules
from recommender.statistics import ItemStatistics

ITEMS = 6
RATING = st.integers(5, 50).map(lambda tenths: tenths / 10)
POPULATIONS = st.lists(st.dictionaries(st.integers(0, ITEMS - 1), RATING, max_size=ITEMS), max_size=6)
RULES = st.builds(
    RankingRules,
    item_bias_damping=st.floats(0.5, 20),
    user_bias_damping=st.floats(0.5, 20),
    residual_damping=st.floats(0.1, 10),
    query_events=st.integers(1, 15),
    query_half_life=st.floats(0.5, 40),
)


class Vote(NamedTuple):
    """A neighbour's vote for a candidate (by its number)."""

    candidate: int
    weight: float
    residual: float


@st.composite
def votes(draw: st.DrawFn) -> list[Vote]:
    """Votes for some candidates, each of which has at least one."""
    rows = draw(st.lists(st.builds(Vote, st.integers(0, ITEMS - 1), st.floats(0, 1), st.floats(-4, 4)), max_size=20))
    present = sorted({row.candidate for row in rows})
    return [row._replace(candidate=present.index(row.candidate)) for row in rows]


class Population:
    """Statistics of some users' ratings, and the same figures in plain Python."""

    def __init__(self, users: list[dict[int, float]]) -> None:
        index = ItemIndex()
        index.dense(np.arange(ITEMS, dtype=np.uint32))
        self.statistics = ItemStatistics(index)
        for user in users:
            items = np.array(list(user), np.uint32)
            self.statistics.add(History(items, np.array(list(user.values()), float), np.zeros(len(user), np.int64)))
        self._by_item = {item: [user[item] for user in users if item in user] for item in range(ITEMS)}

    @property
    def mean(self) -> float:
        ratings = [rating for some in self._by_item.values() for rating in some]
        return sum(ratings) / len(ratings) if ratings else 0.0

    def bias(self, item: int, rules: RankingRules) -> float:
        ratings = self._by_item[item]
        return sum(rating - self.mean for rating in ratings) / (len(ratings) + rules.item_bias_damping)


def clipped(value: float, rules: RankingRules) -> float:
    return min(max(value, rules.scale_min), rules.scale_max)


def tally_of(rows: list[Vote], dense: list[int]) -> Tally:
    weight, pull = np.zeros(len(dense)), np.zeros(len(dense))
    for row in rows:
        weight[row.candidate] += row.weight
        pull[row.candidate] += row.weight * row.residual
    return Tally(np.array(dense, np.int32), np.zeros(len(dense)), np.zeros(len(dense), np.int64), weight, pull)


@given(POPULATIONS, RULES, votes(), st.floats(-1, 6), st.data())
def test_a_voted_item_is_predicted_by_the_formula(
    users: list[dict[int, float]], rules: RankingRules, rows: list[Vote], baseline: float, data: st.DataObject
) -> None:
    """Baseline, item bias and the damped mean of the votes' residuals, for any choice of candidates in any order."""
    population = Population(users)
    voted = 1 + max((row.candidate for row in rows), default=-1)
    dense = data.draw(st.permutations(range(ITEMS)))[:voted]
    chosen = data.draw(st.permutations(range(voted)))[: data.draw(st.integers(0, voted))]
    expected = []
    for number in chosen:
        bias = population.bias(dense[number], rules)
        own = [row for row in rows if row.candidate == number]
        pull = sum(row.weight * (row.residual - bias) for row in own)
        pull /= sum(row.weight for row in own) + rules.residual_damping
        expected.append(clipped(baseline + bias + pull, rules))
    ours = predict_voted(population.statistics, rules, baseline, tally_of(rows, dense).at(np.array(chosen, np.int64)))
    assert ours.tolist() == pytest.approx(expected, abs=1e-9)


@given(POPULATIONS, RULES, st.floats(-1, 6), st.lists(st.integers(0, ITEMS - 1), max_size=8))
def test_an_item_without_votes_is_predicted_by_the_biases(
    users: list[dict[int, float]], rules: RankingRules, baseline: float, items: list[int]
) -> None:
    """Baseline plus item bias; an item nobody rated has none."""
    population = Population(users)
    ours = predict_voted(population.statistics, rules, baseline, tally_of([], items))
    expected = [clipped(baseline + population.bias(item, rules), rules) for item in items]
    assert ours.tolist() == pytest.approx(expected, abs=1e-9)


@given(POPULATIONS, RULES, st.lists(st.tuples(st.integers(0, ITEMS - 1), RATING), max_size=12))
def test_a_user_is_biased_as_they_rated_lately(
    users: list[dict[int, float]], rules: RankingRules, rated: list[tuple[int, float]]
) -> None:
    """Global mean plus the damped mean of the last events' residuals, halved by age; without events no bias."""
    population = Population(users)
    weights, pull = 0.0, 0.0
    for age, (item, rating) in enumerate(reversed(rated)):
        weight = math.pow(0.5, age / rules.query_half_life) if age < rules.query_events else 0.0
        weights += weight
        pull += weight * (rating - population.mean - population.bias(item, rules))
    items, ratings = [item for item, _ in rated], [rating for _, rating in rated]
    ours = user_baseline(population.statistics, rules, np.array(items, np.int32), np.array(ratings, float))
    assert ours == pytest.approx(population.mean + pull / (weights + rules.user_bias_damping), abs=1e-9)


@pytest.mark.parametrize(("low", "high"), [(0.5, 5.0), (0.0, 10.0), (-10.0, 10.0)])
def test_predictions_stay_on_the_scale(low: float, high: float) -> None:
    """However far biases and residuals add up, the prediction is a rating the catalogue allows."""
    rules = RankingRules(scale_min=low, scale_max=high)
    statistics = Population([{0: high, 1: low}]).statistics
    rows = [Vote(0, 1.0, 100.0), Vote(1, 1.0, -100.0)]
    voted = predict_voted(statistics, rules, (low + high) / 2, tally_of(rows, [0, 1]))
    assert voted.tolist() == [high, low]
    unvoted = tally_of([], [0, 1])
    assert predict_voted(statistics, rules, high, unvoted).tolist()[0] == high
    assert predict_voted(statistics, rules, low, unvoted).tolist()[1] == low
