"""The rating scale and its map to five stars."""

import math

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from schemas.scale import BOUND_MAX, WIDTH_MIN, Scale

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

bounds = st.floats(-BOUND_MAX, BOUND_MAX)


def scale_of(minimum: float, maximum: float) -> Scale:
    assume(maximum > 0 and maximum - minimum >= WIDTH_MIN)
    return Scale(minimum, maximum)


@patient
@given(minimum=bounds, maximum=bounds)
def test_the_bounds_map_into_five_stars(minimum: float, maximum: float) -> None:
    """Law: the maximum is five stars; a negative minimum is half a star, another keeps its share of the maximum."""
    scale = scale_of(minimum, maximum)
    slope, intercept = scale.five_star_affine()
    lowest = 0.5 if minimum < 0 else 5 * minimum / maximum
    assert math.isclose(maximum * slope + intercept, 5, abs_tol=1e-9)
    assert math.isclose(minimum * slope + intercept, lowest, abs_tol=1e-9)


@patient
@given(minimum=bounds, maximum=bounds, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_the_map_keeps_the_order_of_ratings(minimum: float, maximum: float, shares: tuple[float, float]) -> None:
    """Law: of two ratings in the scale the higher never maps lower."""
    scale = scale_of(minimum, maximum)
    slope, intercept = scale.five_star_affine()
    low, high = sorted(minimum + share * (maximum - minimum) for share in shares)
    assert slope > 0
    assert low * slope + intercept <= high * slope + intercept


def test_the_default_scale_is_five_stars_as_they_are() -> None:
    """Law: MovieLens ratings, 0.5 to 5, pass through untouched."""
    assert Scale().five_star_affine() == (1.0, 0.0)
    assert Scale(-1, 1).five_star_affine() == (2.25, 2.75)


@pytest.mark.parametrize(
    ("minimum", "maximum"),
    [
        (5, 0.5),
        (3, 3),
        (-5, -1),
        (-5, 0),
        (0, 1e-9),
        (math.nan, 5),
        (0.5, math.nan),
        (-math.inf, 5),
        (0.5, math.inf),
        (-1e308, 1e308),
    ],
)
def test_what_is_no_scale_is_refused(minimum: float, maximum: float) -> None:
    """Law: bounds that arithmetic cannot map are refused by a sentence that shows them."""
    with pytest.raises(ValueError, match=r"the rating scale .*\.\."):
        Scale(minimum, maximum)


def test_a_scale_is_closed() -> None:
    """Law: both bounds are legal ratings; NaN and what lies beyond are not."""
    scale = Scale()
    assert 0.5 in scale
    assert 5 in scale
    assert [rating for rating in (math.nan, math.inf, math.nextafter(5, 6), 0) if rating in scale] == []
