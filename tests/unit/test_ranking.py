"""The ranking, against a loop that says the formula in plain Python."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.compiled import CompiledKernels
from recommender.item_index import Dense, ItemIndex
from recommender.kernels import Kernels, NumpyKernels, Tally
from recommender.neighbour_cache import NeighbourProfile, joined
from recommender.ranking import Ranker
from recommender.rules import RankingRules
from recommender.vector import ValueRule


class Neighbour(NamedTuple):
    """Dense items and residuals in event-time order, and the similarity."""

    items: list[int]
    residuals: list[float]
    similarity: float


class Case(NamedTuple):
    """A user's rated items in order, further seen ones, and the neighbours, best first."""

    rated: list[int]
    seen: list[int]
    neighbours: list[Neighbour]


ITEMS = 12


@st.composite
def neighbours(draw: st.DrawFn) -> Neighbour:
    items = draw(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=8, unique=True))
    residuals = [draw(st.integers(-40, 40)) / 10 for _ in items]
    return Neighbour(items, residuals, draw(st.integers(1, 100)) / 100)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    known = draw(st.lists(st.integers(0, ITEMS - 1), max_size=8, unique=True))
    cut = draw(st.integers(0, len(known)))
    found = draw(st.lists(neighbours(), min_size=1, max_size=6))
    return Case(known[:cut], known[cut:], sorted(found, key=lambda one: -one.similarity))


RULES = st.builds(
    RankingRules,
    value=st.builds(ValueRule, slope=st.sampled_from([1.0, 0.5, 0.225])),
    similarity_exponent=st.floats(0, 4),
    vote_offset=st.floats(-1, 3),
    position_half_life=st.floats(0.5, 40),
    position_floor=st.floats(0, 1),
)


def position(rules: RankingRules, rated: list[int], items: list[int], place: int) -> float:
    """The weight of a neighbour's entry by its distance from the anchor."""
    shared = [item for item in rated if item in items]
    anchor = items.index(shared[-1]) if shared else len(items) - 1
    halvings = abs(place - anchor) / rules.position_half_life
    return rules.position_floor + (1 - rules.position_floor) * math.pow(0.5, halvings)


def plain(rules: RankingRules, case: Case) -> dict[int, tuple[float, int]]:
    """Score and support by item."""
    found: dict[int, tuple[float, int]] = {}
    for neighbour in case.neighbours:
        weight = (neighbour.similarity / case.neighbours[0].similarity) ** rules.similarity_exponent
        for place, item in enumerate(neighbour.items):
            if item in case.rated or item in case.seen:
                continue
            vote = rules.value.slope * neighbour.residuals[place] + rules.vote_offset
            score, support = found.get(item, (0.0, 0))
            score += weight * vote * position(rules, case.rated, neighbour.items, place)
            found[item] = (score, support + 1)
    return found


def dense(items: list[int]) -> Dense:
    return np.array(items, np.int32)


def tally(ranker: Ranker, case: Case) -> Tally:
    profiles = joined([NeighbourProfile(dense(one.items), np.array(one.residuals)) for one in case.neighbours])
    similarities = np.array([one.similarity for one in case.neighbours])
    return ranker.tally(dense(case.rated), dense(case.seen), profiles, similarities)


def voted(found: Tally) -> dict[int, tuple[float, int]]:
    """Score and support of the items that got votes."""
    rows = zip(found.dense.tolist(), found.score.tolist(), found.support.tolist(), strict=True)
    return {item: (score, support) for item, score, support in rows}


def assert_plain(rules: RankingRules, ranker: Ranker, case: Case) -> None:
    found = tally(ranker, case)
    ours, expected = voted(found), plain(rules, case)
    assert len(ours) == len(found.dense)
    assert {item: support for item, (_, support) in ours.items()} == {
        i: support for i, (_, support) in expected.items()
    }
    scores = {item: score for item, (score, _) in expected.items()}
    assert {item: score for item, (score, _) in ours.items()} == pytest.approx(scores, rel=1e-9, abs=1e-9)


def index_of(items: int) -> ItemIndex:
    index = ItemIndex()
    index.dense(np.arange(items, dtype=np.uint32))
    return index


CATALOGUES = st.sampled_from([ITEMS, 5_000])
"""Small beside the votes, and large: numpy adds them up in two ways."""


@given(RULES, st.lists(cases(), min_size=1, max_size=3), CATALOGUES, st.sampled_from([NumpyKernels, CompiledKernels]))
def test_votes_are_those_of_the_formula(
    rules: RankingRules, users: list[Case], catalogue: int, kernels: type[Kernels]
) -> None:
    """Score and support of every unseen item, for one user after another: no call leaves a trace for the next."""
    ranker = Ranker(rules, index_of(catalogue), kernels())
    for case in users:
        assert_plain(rules, ranker, case)


@given(RULES, st.lists(cases(), min_size=1, max_size=3), CATALOGUES)
def test_compiled_and_numpy_kernels_agree_bit_for_bit(rules: RankingRules, users: list[Case], catalogue: int) -> None:
    """Not approximately: which of them a worker has must not show in a list."""
    in_numpy, compiled = (
        Ranker(rules, index_of(catalogue), kernels) for kernels in (NumpyKernels(), CompiledKernels())
    )
    for case in users:
        assert rows(tally(in_numpy, case)) == rows(tally(compiled, case))


def rows(found: Tally) -> list[tuple[float, ...]]:
    columns = (found.dense, found.score, found.support, found.weight, found.pull)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@given(RULES, cases(), CATALOGUES)
def test_predictions_get_the_sums_they_need(rules: RankingRules, case: Case, catalogue: int) -> None:
    """Per item the neighbours' weights, and weight times raw residual, without votes' offset and position."""
    ours = tally(Ranker(rules, index_of(catalogue), NumpyKernels()), case)
    weight, pull = dict.fromkeys(ours.dense.tolist(), 0.0), dict.fromkeys(ours.dense.tolist(), 0.0)
    for one in case.neighbours:
        for item, residual in zip(one.items, one.residuals, strict=True):
            if item in weight:
                weight[item] += (one.similarity / case.neighbours[0].similarity) ** rules.similarity_exponent
                pull[item] += residual * (one.similarity / case.neighbours[0].similarity) ** rules.similarity_exponent
    assert dict(zip(ours.dense.tolist(), ours.weight.tolist(), strict=True)) == pytest.approx(weight)
    assert dict(zip(ours.dense.tolist(), ours.pull.tolist(), strict=True)) == pytest.approx(pull, abs=1e-9)


def test_the_anchor_is_the_latest_shared_item_of_the_user() -> None:
    """Not the neighbour's latest: what stands beside it in the neighbour's history counts most."""
    rules = RankingRules(position_floor=0.0, position_half_life=1.0)
    neighbour = Neighbour([1, 2, 3, 4, 5], [0.0] * 5, 1.0)
    ours = tally(Ranker(rules, index_of(ITEMS), NumpyKernels()), Case([5, 9, 2], [], [neighbour]))
    scores = {item: score / rules.vote_offset for item, (score, _) in voted(ours).items()}
    assert scores == pytest.approx({1: 0.5, 3: 0.5, 4: 0.25})


def test_without_a_shared_item_the_last_one_is_the_anchor() -> None:
    """A seen item is no anchor: what fell out of the user's history says nothing about now."""
    rules = RankingRules(position_floor=0.0, position_half_life=1.0)
    ours = tally(Ranker(rules, index_of(ITEMS), NumpyKernels()), Case([9], [1], [Neighbour([1, 2, 3], [0.0] * 3, 1.0)]))
    scores = {item: score / rules.vote_offset for item, (score, _) in voted(ours).items()}
    assert scores == pytest.approx({2: 0.5, 3: 1.0})


def test_a_user_who_has_seen_everything_has_no_candidates() -> None:
    """Nothing is left, and nothing fails."""
    ours = tally(
        Ranker(RankingRules(), index_of(ITEMS), NumpyKernels()), Case([1], [2], [Neighbour([2, 1], [0.0, 0.0], 1.0)])
    )
    assert voted(ours) == {}


@pytest.mark.parametrize("kernels", [NumpyKernels, CompiledKernels])
def test_catalogue_and_histories_may_grow_between_calls(kernels: type[Kernels]) -> None:
    """A ranker made for a few items ranks thousands later, and longer histories than any before."""
    rules = RankingRules()
    index = index_of(5)
    ranker = Ranker(rules, index, kernels())
    assert_plain(rules, ranker, Case([0], [1], [Neighbour([0, 1, 2], [0.5, 0.0, -0.5], 0.5)]))
    for size in (1_024, 1_025, 5_000):
        index.dense(np.arange(size, dtype=np.uint32))
        items = list(range(0, size, size // 50))
        long = Neighbour(items, [item % 7 / 2 for item in items], 0.5)
        assert_plain(rules, ranker, Case([items[3], size - 1], [items[9]], [long, Neighbour([0], [1.0], 0.1)]))


# Few different values, so that most of a case's scores and supports are ties.
ROWS = st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 2)), max_size=30)


@given(ROWS, st.integers(1, 35), st.permutations(range(30)), st.sampled_from([NumpyKernels, CompiledKernels]))
def test_the_best_are_those_of_a_full_sort(
    rows: list[tuple[int, int]], limit: int, ids: list[int], kernels: type[Kernels]
) -> None:
    """Positive scores, the greatest first, equal ones by greater support, equal support by smaller item id."""
    items = ids[: len(rows)]
    everything = sorted(range(len(rows)), key=lambda at: (-rows[at][0], -rows[at][1], items[at]))
    expected = [at for at in everything if rows[at][0] > 0][:limit]
    scores = np.array([score for score, _ in rows], float)
    support = np.array([count for _, count in rows], np.int64)
    assert kernels().best(scores, support, np.array(items, np.uint32), limit).tolist() == expected


def test_every_vote_counts_where_the_whole_catalogue_got_one() -> None:
    """As many items as the scratch arrays have room for, all voted for by one neighbour."""
    items = list(range(1_024))
    ranker = Ranker(RankingRules(), index_of(1_024), CompiledKernels())
    assert_plain(RankingRules(), ranker, Case([], [], [Neighbour(items, [0.5] * 1_024, 1.0)]))
