"""Sparse vectors: what the constructor refuses, and values against the formula in plain Python."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.profile import EMPTY_HISTORY, History
from recommender.vector import SparseVector, ValueRule, query_vector, user_vector


def history_of(ratings: list[float]) -> History:
    """Items 10, 11, 12, … rated one after the other."""
    n = len(ratings)
    return History(np.arange(10, 10 + n, dtype=np.uint32), np.array(ratings), np.arange(n, dtype=np.int64))


def plain_values(ratings: list[float], rule: ValueRule) -> list[float]:
    """The formula: v = r − mean + offset in five stars, divided by √(Σv² + damping)."""
    stars = [rating * rule.slope + rule.intercept for rating in ratings]
    raw = [star - sum(stars) / len(stars) + rule.offset for star in stars]
    return [value / math.sqrt(sum(v * v for v in raw) + rule.damping) for value in raw]


RULES = st.builds(
    ValueRule, st.floats(0, 3), st.floats(0.5, 20), st.sampled_from([1.0, 0.5, 0.225]), st.sampled_from([0.0, 2.75])
)
RATINGS = st.lists(st.integers(5, 50).map(lambda tenths: tenths / 10), min_size=1, max_size=80)


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def indices(*values: int) -> NDArray[np.uint32]:
    return np.array(values, np.uint32)


@pytest.mark.parametrize(
    ("dimensions", "values", "complaint"),
    [
        (np.array([1, 2]), floats(1, 2), "uint32 and float32, not int64"),
        (np.array([1.0, 2.0]), floats(1, 2), "uint32 and float32, not float64"),
        (indices(1, 2), np.array([1.0, 2.0]), "and float64"),
        (indices(1, 2), np.array([1, 2]), "and int64"),
        (indices(1, 2), floats(1), "differ in shape"),
        (indices(1), floats(1, 2), "differ in shape"),
        (indices(), floats(1), "differ in shape"),
        (indices(1, 2).reshape(1, 2), floats(1, 2).reshape(1, 2), "differ in shape"),
        (indices(1).reshape(()), floats(1).reshape(()), "differ in shape"),
        (indices(1, 2), floats(1, math.nan), "not finite"),
        (indices(1, 2), floats(math.inf, 1), "not finite"),
        (indices(1, 2), floats(1, -math.inf), "not finite"),
        (indices(2, 1, 2), floats(1, 2, 3), "names a dimension twice"),
        (indices(0, 0), floats(1, 1), "names a dimension twice"),
    ],
)
def test_no_bad_vector_can_be_made(dimensions: NDArray[np.uint32], values: NDArray[np.float32], complaint: str) -> None:
    """Wrong types, shapes, values that are not finite and repeated dimensions are refused, and the error says which."""
    with pytest.raises(ValueError, match=complaint):
        SparseVector(dimensions, values)


def test_good_vectors_can_be_made() -> None:
    """The whole range of dimensions, any order, zeros, the largest float32, and nothing at all are fine."""
    vector = SparseVector(indices(2**32 - 1, 0, 7), floats(-1, 0, float(np.finfo(np.float32).max)))
    assert len(vector) == 3
    assert len(SparseVector(indices(), floats())) == 0


def test_a_value_too_large_for_float32_is_refused() -> None:
    """What is finite in float64 but not in float32 does not pass."""
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="not finite"):
        SparseVector(indices(1), np.array([1e39]).astype(np.float32))


@given(RATINGS, RULES)
def test_values_follow_the_formula(ratings: list[float], rule: ValueRule) -> None:
    """A user's vector holds the items in history order and the formula's values, rounded to float32."""
    history = history_of(ratings)
    expected = plain_values(ratings, rule)
    vector = user_vector(history, rule)
    assert rule.values(history).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert vector is not None
    assert vector.indices.tolist() == history.items.tolist()
    assert vector.values.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(RATINGS, RULES, st.integers(1, 70), st.floats(0.5, 50))
def test_a_query_is_the_last_events_halved_by_age(
    ratings: list[float], rule: ValueRule, events: int, half_life: float
) -> None:
    """The query's values are those of the whole history's last events times 0.5^(age in events / half-life)."""
    expected = []
    for place, value in enumerate(plain_values(ratings, rule)):
        age = len(ratings) - 1 - place
        if age < events:
            expected.append(value * math.pow(0.5, age / half_life))
    vector = query_vector(history_of(ratings), rule, events, half_life)
    assert vector is not None
    assert vector.indices.tolist() == history_of(ratings).items.tolist()[-events:]
    assert vector.values.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_retractions_are_in_no_vector() -> None:
    """A retraction neither has a dimension nor ages the ratings before it nor moves the mean."""
    taken_back = history_of([4.0, math.nan, 2.0])
    kept = History(taken_back.items[::2], taken_back.ratings[::2], taken_back.rated_at[::2])
    rule = ValueRule()
    for ours, expected in (
        (user_vector(taken_back, rule), user_vector(kept, rule)),
        (query_vector(taken_back, rule, 64, 10.0), query_vector(kept, rule, 64, 10.0)),
    ):
        assert ours is not None
        assert expected is not None
        assert (ours.indices.tolist(), ours.values.tolist()) == (expected.indices.tolist(), expected.values.tolist())


def test_without_ratings_there_is_no_vector() -> None:
    """Neither an empty history nor one of retractions alone has a vector or a query."""
    for history in (EMPTY_HISTORY, history_of([math.nan])):
        assert user_vector(history, ValueRule()) is None
        assert query_vector(history, ValueRule(), 64, 10.0) is None


@pytest.mark.parametrize("rating", [0.5, 3.0, 5.0])
def test_a_single_rating_says_only_that_the_item_was_chosen(rating: float) -> None:
    """One rating is its own mean, so only the offset is left, whatever the rating."""
    rule = ValueRule()
    vector = user_vector(history_of([rating]), rule)
    assert vector is not None
    assert vector.values.tolist() == pytest.approx([rule.offset / math.sqrt(rule.offset**2 + rule.damping)])


@pytest.mark.parametrize(
    ("rule", "scale", "stars"),
    [
        (ValueRule(), [0.5, 3.3, 5.0], [0.5, 3.3, 5.0]),
        (ValueRule(slope=5 / 10), [0.0, 5.0, 10.0], [0.0, 2.5, 5.0]),
        (ValueRule(slope=4.5 / 20, intercept=2.75), [-10.0, 0.0, 10.0], [0.5, 2.75, 5.0]),
    ],
    ids=["0.5..5", "0..10", "-10..10"],
)
def test_other_scales_are_mapped_to_five_stars(rule: ValueRule, scale: list[float], stars: list[float]) -> None:
    """Equal opinions on different scales have equal stars, and equal vectors."""
    assert rule.five_stars(np.array(scale)).tolist() == pytest.approx(stars, abs=1e-12)
    expected = ValueRule().values(history_of(stars)).tolist()
    assert rule.values(history_of(scale)).tolist() == pytest.approx(expected, abs=1e-12)


def test_each_number_of_a_rule_changes_its_fingerprint() -> None:
    """Vectors of different rules have different names in the store; equal rules share theirs."""
    rule = ValueRule()
    others = [replace(rule, **{name: 0.125}) for name in ("offset", "damping", "slope", "intercept")]
    assert len({rule.fingerprint, *(other.fingerprint for other in others)}) == 5
    assert ValueRule().fingerprint == rule.fingerprint
