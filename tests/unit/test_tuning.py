"""The trend's tuning: shortlists of every setting, what they earn, and which one is used."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.compiled import CompiledKernels
from recommender.kernels import Kernels, NumpyKernels, Tally, TrendShare, mixed
from recommender.trend import HALF_LIVES_DAYS, Trend
from recommender.tuning import (
    HALF_LIFE_EVENTS,
    LONG_STREAM_DAYS,
    MIXES,
    POOLED_EVENTS,
    SETTINGS,
    SHORTLIST_LENGTH,
    Mix,
    TrendTuner,
)

LIVES = len(HALF_LIVES_DAYS)
VALUES = st.lists(st.integers(0, 100).map(lambda percent: percent / 100), min_size=15, max_size=15)


def shortlist_with(item: int, winner: int, place: int) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """Shortlists in which one setting alone has the item, at a place."""
    found = np.full((len(MIXES), SHORTLIST_LENGTH), -1, np.int32)
    found[winner, place] = item
    return found


@given(VALUES, st.lists(VALUES, min_size=LIVES, max_size=LIVES), st.sampled_from([NumpyKernels, CompiledKernels]))
def test_a_shortlist_is_the_best_of_its_setting(
    votes: list[float], trends: list[list[float]], kernels: type[Kernels]
) -> None:
    """(1 − w) · votes + w · trend, the ten greatest, for every setting at once."""
    pool = np.arange(100, 115, dtype=np.int32)
    ours = kernels().shortlists(pool, (np.array(votes), np.array(trends)), SETTINGS, SHORTLIST_LENGTH)
    for mix, row in zip(MIXES, ours.tolist(), strict=True):
        plain = [(1 - mix.weight) * v + mix.weight * t for v, t in zip(votes, trends[mix.half_life], strict=True)]
        assert [plain[item - 100] for item in row] == pytest.approx(sorted(plain, reverse=True)[:SHORTLIST_LENGTH])


def test_votes_alone_are_used_until_something_better_is_seen() -> None:
    """A service that has just started does as if there were no trend."""
    assert TrendTuner().choice(50, 10.0) == Mix(0, 0.0)


PERSONAL = [number for number, mix in enumerate(MIXES) if 0 < mix.weight < 1]


@given(st.sampled_from(PERSONAL), st.integers(0, SHORTLIST_LENGTH - 1))
def test_the_setting_that_foretold_a_rating_is_used(winner: int, place: int) -> None:
    """One hit, at any place, decides for all users while nothing else is known."""
    tuner = TrendTuner()
    tuner.remember(1, shortlist_with(7, winner, place))
    tuner.observe(1, 6, np.array([7], np.int32))
    is_long = MIXES[winner].half_life == LIVES - 1
    span_days = LONG_STREAM_DAYS if is_long else 0.0
    assert tuner.choice(19, span_days) == tuner.choice(4, span_days) == tuner.choice(20, span_days) == MIXES[winner]


def test_each_kind_of_users_gets_what_serves_it_once_that_is_known() -> None:
    """A single rating of a kind does not overrule those of all others; as many as theirs do, for this kind alone."""
    tuner = TrendTuner()

    def hits(winner: int, num_ratings: int, count: int) -> None:
        tuner.remember(1, shortlist_with(7, winner, 0))
        tuner.observe(1, num_ratings, np.array([7] * count, np.int32))

    hits(3, 30, 200)
    hits(4, 6, 1)
    assert tuner.choice(6, 0.0) == tuner.choice(30, 0.0) == MIXES[3]
    hits(4, 6, 200)
    assert (tuner.choice(6, 0.0), tuner.choice(30, 0.0)) == (MIXES[4], MIXES[3])


def test_what_all_users_say_gives_way_to_a_kinds_own_ratings() -> None:
    """However many others there are, so many of a kind's own as stand for all of theirs decide for it."""
    tuner = TrendTuner()
    for winner, num_ratings, count in ((3, 30, 10 * HALF_LIFE_EVENTS), (4, 6, 2 * POOLED_EVENTS)):
        tuner.remember(1, shortlist_with(7, winner, 0))
        tuner.observe(1, num_ratings, np.array([7] * count, np.int32))
    assert (tuner.choice(6, 0.0), tuner.choice(30, 0.0)) == (MIXES[4], MIXES[3])


def test_whoever_rated_enough_never_gets_the_trend_alone() -> None:
    """However right it proves: a list that is the same for all moves with nothing that its user does."""
    tuner = TrendTuner()
    alone, next_best = MIXES.index(Mix(0, 1.0)), MIXES.index(Mix(0, 0.75))
    for num_ratings in (1, 5, 50):
        found = shortlist_with(7, alone, 0)
        found[next_best, 5] = 7
        tuner.remember(1, found)
        tuner.observe(1, num_ratings, np.array([7], np.int32))
    assert tuner.choice(1, 0.0) == MIXES[alone]
    assert tuner.choice(5, 0.0) == tuner.choice(50, 0.0) == MIXES[next_best]


def test_a_hit_further_up_earns_more() -> None:
    """As nDCG counts it: 1 / log₂(rank + 1), so two hits at the tenth place are worth less than one at the first."""
    tuner = TrendTuner()
    for winner, places in ((3, [0]), (5, [9, 9])):
        for place in places:
            tuner.remember(1, shortlist_with(7, winner, place))
            tuner.observe(1, 30, np.array([7], np.int32))
    assert 2 / math.log2(11) < 1
    assert tuner.choice(30, 0.0) == MIXES[3]


def test_what_was_earned_long_ago_counts_half() -> None:
    """After one half-life of other events a single new hit outweighs one and a half old ones."""
    tuner = TrendTuner()
    tuner.remember(1, shortlist_with(7, 3, 0))
    tuner.observe(1, 30, np.array([7], np.int32))
    tuner.observe(1, 30, np.array([8] * HALF_LIFE_EVENTS, np.int32))
    tuner.remember(1, shortlist_with(7, 4, 4))
    tuner.observe(1, 30, np.array([7], np.int32))
    assert 1 / math.log2(6) < 0.5 < 2 / math.log2(6)
    assert tuner.choice(30, 0.0) == MIXES[3]
    tuner.observe(1, 30, np.array([7], np.int32))
    assert tuner.choice(30, 0.0) == MIXES[4]


def test_a_user_without_shortlists_teaches_nothing() -> None:
    """Lists are sampled; whoever was not sampled, or was dropped, is passed over."""
    tuner = TrendTuner()
    tuner.remember(1, shortlist_with(7, 3, 0))
    tuner.forget(1)
    tuner.observe(1, 30, np.array([7], np.int32))
    assert tuner.choice(30, 0.0) == Mix(0, 0.0)


@pytest.mark.parametrize("days", [0.0, LONG_STREAM_DAYS])
def test_the_half_life_suits_the_length_of_the_stream(days: float) -> None:
    """Days on a stream of weeks, half a year on one of decades; never the other way round."""
    tuner = TrendTuner()
    shortest, longest = MIXES.index(Mix(0, 0.5)), MIXES.index(Mix(LIVES - 1, 0.5))
    found = shortlist_with(7, shortest, 0)
    found[longest, 0] = 7
    tuner.remember(1, found)
    tuner.observe(1, 30, np.array([7], np.int32))
    assert tuner.choice(30, days) == MIXES[longest if days else shortest]


def test_the_mix_lets_unvoted_items_in_and_keeps_what_votes_say() -> None:
    """A leader without votes gets its trend's share, and support, weight and pull of nothing."""
    trend = Trend()
    trend.count(np.array([0, 1], np.int32), np.array([0, 86_400_000 * 7]), 1)
    tally = Tally(np.array([0], np.int32), np.array([4.0]), np.array([3]), np.array([2.0]), np.array([1.0]))
    found = mixed(tally, TrendShare(trend.sums(1, 2), np.array([1], np.int32), 0.25))
    assert found.dense.tolist() == [0, 1]
    assert found.score.tolist() == pytest.approx([0.75 + 0.25 * 0.5, 0.25])
    assert (found.support.tolist(), found.weight.tolist(), found.pull.tolist()) == ([3, 0], [2.0, 0.0], [1.0, 0.0])
