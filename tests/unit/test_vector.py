"""Vectors: what the constructors refuse, and values against the formula in plain Python."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.profile import EMPTY_HISTORY, History
from recommender.vector import (
    DIMENSIONS_MAX,
    DenseVector,
    SparseVector,
    ValueRule,
    VectorSpec,
    query_vector,
    user_vector,
)

MONTH_MS = 30 * 86_400_000


def history_of(ratings: list[float]) -> History:
    """Items 10, 11, 12, … rated month after month, beginning in 2020."""
    n = len(ratings)
    months = 1_577_836_800_000 + MONTH_MS * np.arange(n, dtype=np.int64)
    return History(np.arange(10, 10 + n, dtype=np.uint32), np.array(ratings), months)


def plain_values(ratings: list[float], rule: ValueRule) -> list[float]:
    """The formula: v = (r − centre) / spread + offset in five stars, faded by age, over √(Σv² + damping)^power."""
    stars = [rating * rule.slope + rule.intercept for rating in ratings]
    centre = sum(stars) / len(stars) if rule.centre is None else rule.centre
    raw = [(star - centre) / rule.spread + rule.offset for star in stars]
    months_ago = range(len(ratings) - 1, -1, -1)
    faded = [v * rule.decay_per_year ** (30 / 365 * ago) for v, ago in zip(raw, months_ago, strict=True)]
    norm = 1.0 if rule.damping is None else math.sqrt(sum(v * v for v in faded) + rule.damping) ** rule.norm_power
    return [value / norm for value in faded]


def seen_at_its_end(rule: ValueRule, history: History) -> float:
    """What stored values have to be multiplied with to be those of the instant of the last rating."""
    return rule.faded(int(history.rated_at[-1]))


RULES = st.builds(
    ValueRule,
    offset=st.floats(0, 3),
    damping=st.none() | st.floats(0.5, 20),
    norm_power=st.sampled_from([0.0, 0.8, 1.0]),
    slope=st.sampled_from([1.0, 0.5, 0.225]),
    intercept=st.sampled_from([0.0, 2.75]),
    centre=st.none() | st.floats(2.5, 4),
    spread=st.sampled_from([1.0, 1.04]),
    decay_per_year=st.sampled_from([1.0, 0.95, 0.5]),
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
    vector, factor = user_vector(history, rule), seen_at_its_end(rule, history)
    assert (rule.values(history) * factor).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert vector is not None
    assert vector.indices.tolist() == history.items.tolist()
    assert (vector.values * factor).tolist() == pytest.approx(expected, rel=1e-6, abs=1e-8)


@given(RATINGS, st.lists(RULES, min_size=1, max_size=4))
def test_a_history_remembers_no_other_rules_values(ratings: list[float], rules: list[ValueRule]) -> None:
    """Law: asked by several rules in turn, each gets what it would get from a history that nobody has asked yet."""
    asked = history_of(ratings)
    for rule in [*rules, *rules]:
        assert rule.values(asked).tolist() == rule.values(history_of(ratings)).tolist()


@given(RATINGS, RULES, st.floats(0.05, 0.5))
def test_what_is_pruned_leaves_the_vector_and_nothing_else(ratings: list[float], rule: ValueRule, least: float) -> None:
    """Values under the limit, before norm and fading, are not stored; the others are what they would be without it."""
    history, pruning = history_of(ratings), replace(rule, prune_below=least)
    plain = plain_values(ratings, replace(rule, damping=None, decay_per_year=1.0))
    assume(all(abs(abs(value) - least) > 1e-9 for value in plain))
    whole, vector = user_vector(history, rule), user_vector(history, pruning)
    assert whole is not None
    kept = [at for at, value in enumerate(plain) if abs(value) >= least]
    rows = [] if vector is None else list(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
    assert rows == [(10 + at, float(whole.values[at])) for at in kept]
    assert pruning.kept(history).items.tolist() == [10 + at for at in kept]


@given(RATINGS, st.integers(0, 40))
def test_fading_is_by_time_between_events_alone(ratings: list[float], months: int) -> None:
    """A vector and the same one of some months later differ by what fades in these months, in every value."""
    rule = ValueRule(offset=1.5, damping=None, decay_per_year=0.5)
    history = history_of(ratings)
    later = replace(history, rated_at=history.rated_at + months * MONTH_MS)
    factor = 0.5 ** (months * 30 / 365)
    assert (rule.values(later) * factor).tolist() == pytest.approx(rule.values(history).tolist())


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
    factor = seen_at_its_end(rule, history_of(ratings))
    assert vector.indices.tolist() == history_of(ratings).items.tolist()[-events:]
    assert (vector.values * factor).tolist() == pytest.approx(expected, rel=1e-6, abs=1e-8)


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
    assert vector.values.tolist() == pytest.approx([1.5 / (1.5**2 + 10) ** 0.4])


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
    numbers = [field.name for field in fields(rule) if field.name != "duplicates"]
    changes: list[dict[str, Any]] = [{"duplicates": "mean"}, *({name: 0.125} for name in numbers)]
    others = [replace(rule, **change) for change in changes]
    assert len({rule.fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)
    assert ValueRule().fingerprint == rule.fingerprint == "v024b97f3"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.array([1.0, 2.0]), "float32, not float64"),
        (np.array([1, 2]), "float32, not int64"),
        (floats(), "n from 1 on, not \\(0,\\)"),
        (floats(1, 2).reshape(1, 2), "n from 1 on, not \\(1, 2\\)"),
        (floats(1, math.nan), "not finite"),
        (floats(math.inf, 1), "not finite"),
    ],
)
def test_a_dense_vector_that_an_engine_could_not_take_is_refused(values: NDArray[Any], complaint: str) -> None:
    """Type, shape and finiteness are checked where the vector is made."""
    with pytest.raises(ValueError, match=complaint):
        DenseVector(values)


def test_a_vector_fits_what_it_is_an_example_of() -> None:
    """Dense ones by their length, sparse ones whatever their length and weighing."""
    short, long = DenseVector(floats(0, 0)), DenseVector(floats(1, 2, 3))
    sparse = SparseVector(indices(7), floats(1))
    specs = VectorSpec(2), VectorSpec(3), VectorSpec(), VectorSpec(idf=True)
    assert [[spec.fits(vector) for spec in specs] for vector in (short, long, sparse)] == [
        [True, False, False, False],
        [False, True, False, False],
        [False, False, True, True],
    ]


@pytest.mark.parametrize("dimensions", [0, -1, DIMENSIONS_MAX + 1])
def test_a_dense_vector_has_a_number_of_dimensions_that_qdrant_takes(dimensions: int) -> None:
    """Others are refused before a store is asked."""
    with pytest.raises(ValueError, match=f"1 to {DIMENSIONS_MAX} dimensions, not {dimensions}"):
        VectorSpec(dimensions)


def test_only_sparse_vectors_have_rare_dimensions() -> None:
    """Weighing by idf makes no sense for a dense one."""
    with pytest.raises(ValueError, match="idf is for sparse"):
        VectorSpec(3, idf=True)
