import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_states import history, sample_state

from recommender.filters import CONDITIONS_MAX, VALUES_MAX, Between, OneOf, Step, UserFilter, near, widened
from recommender.profile import AttributeValue

AGE = near("age", 31, 10)
WOMEN = OneOf("gender", ("F",))


@pytest.mark.parametrize(
    ("condition", "met", "not_met"),
    [
        (Between("x", 21, 41), [21, 41, 31.5, 21 - 1e-12], [20, 41.001, True, "31", None]),
        (Between("x", greatest=0), [0, -5, -1e300], [1, False]),
        (Between("x", 18), [18, 2**63 - 1, 18.0], [17]),
        (OneOf("x", ("F", "31")), ["F", "31"], ["f", 31, None, True]),
        (OneOf("x", (True,)), [True], [1, 1.0, "True", False, None]),
        (OneOf("x", (1, 0.1, -3)), [1, 1.0, 0.1, 0.1 + 1e-17, -3.0], [True, "1", 2, 0.11, 0]),
        (OneOf("x", ("a", 7, False)), ["a", 7, False], [0, True, "7"]),
    ],
)
def test_a_condition_asks_for_value_and_kind(
    condition: Between | OneOf, met: list[AttributeValue], not_met: list[AttributeValue | None]
) -> None:
    """Both bounds belong to a range; text, numbers and booleans are never each other; a missing one meets nothing."""
    assert [condition.holds(value) for value in met] == [True] * len(met)
    assert [condition.holds(value) for value in not_met] == [False] * len(not_met)


def test_every_condition_of_a_filter_must_hold() -> None:
    """Attributes, ratings in the history (retractions are none) and the instant of the last one, all at once."""
    rated = history((7, 4.0, 1_000), (8, 3.0, 2_000), (9, math.nan, 3_000))
    user = sample_state("u", 1, history=rated, attributes={"age": 30, "gender": "F"})
    asked = UserFilter((AGE, WOMEN), min_ratings=2, active_since_ms=2_000)
    assert asked.matches(user)
    assert not UserFilter((AGE, OneOf("gender", ("M",)))).matches(user)
    assert not UserFilter((near("age", 60, 10), WOMEN)).matches(user)
    assert not UserFilter(min_ratings=3).matches(user)
    assert not UserFilter(active_since_ms=2_001).matches(user)
    assert not UserFilter(active_since_ms=0).matches(sample_state("v", 1, history=history()))
    assert UserFilter().matches(sample_state("v", 1, history=history()))
    assert not UserFilter()


def test_widening_goes_by_the_declared_steps() -> None:
    """Tolerances double once, attributes go from the last, then everything; each step says what was given up."""
    asked = UserFilter((WOMEN, AGE, OneOf("job", ("baker",))), min_ratings=20)
    wide = near("age", 31, 20)
    assert widened(asked) == (
        Step("as asked", asked),
        Step("age +/- 20", UserFilter((WOMEN, wide, OneOf("job", ("baker",))), 20)),
        Step("without job", UserFilter((WOMEN, wide), 20)),
        Step("without age, job", UserFilter((WOMEN,), 20)),
        Step("without attributes", UserFilter((), 20)),
        Step("without conditions", UserFilter()),
    )
    assert widened(UserFilter()) == (Step("as asked", UserFilter()),)
    assert [step.name for step in widened(UserFilter((Between("age", 18), Between("age", 5, 5))))] == [
        "as asked",
        "without age",
        "without attributes",
    ]


values = st.booleans() | st.integers(-100, 100) | st.floats(-100, 100) | st.sampled_from(["F", "M", ""])
bounds = st.floats(-100, 100) | st.sampled_from([-math.inf, math.inf])
conditions = st.builds(
    lambda name, one, other: Between(name, min(one, other), max(one, other)), st.sampled_from("abc"), bounds, bounds
) | st.builds(OneOf, st.sampled_from("abc"), st.lists(values, min_size=1, max_size=3).map(tuple))


@given(
    asked=st.builds(UserFilter, st.lists(conditions, max_size=4).map(tuple), st.integers(0, 3), st.none() | st.just(5)),
    attributes=st.dictionaries(st.sampled_from("abc"), values),
)
def test_every_step_finds_whom_the_one_before_it_finds(
    asked: UserFilter, attributes: dict[str, AttributeValue]
) -> None:
    """A user who meets a step meets all later ones; the last one, everybody meets."""
    user = sample_state("u", 1, attributes=attributes)
    met = [step.where.matches(user) for step in widened(asked)]
    assert met == sorted(met)
    assert met[-1]
    assert not widened(asked)[-1].where


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Between("age", 41, 21), "no age lies between 41 and 21"),
        (lambda: Between("age", math.nan, 21), "no age lies between nan and 21"),
        (lambda: Between("a.b", 1, 2), "the attribute name 'a.b' is not letters"),
        (lambda: OneOf('a"', ("x",)), "the attribute name 'a\"' is not letters"),
        (lambda: OneOf("job", ()), "job is one of 1 to 100 values, not of 0"),
        (lambda: OneOf("job", tuple(range(VALUES_MAX + 1))), "not of 101"),
        (lambda: OneOf("age", (math.inf,)), "age is one of numbers that are finite"),
        (lambda: UserFilter((AGE,) * (CONDITIONS_MAX + 1)), "at most 16 conditions, not 17"),
        (lambda: UserFilter(min_ratings=-1), "min_ratings is 0 or more, not -1"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(make: Callable[[], object], sentence: str) -> None:
    """The sentence names what was given."""
    with pytest.raises(ValueError, match=sentence):
        make()
