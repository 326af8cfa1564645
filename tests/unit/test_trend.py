"""The trend: decayed popularity against the plain sum, and its leaders."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.trend import HALF_LIVES_DAYS, LEADERS_MAX, Trend

DAY_MS = 86_400_000
ITEMS = 6
# Days up to a century apart, so that sums move on to a new origin.
EVENTS = st.lists(st.tuples(st.integers(0, ITEMS - 1), st.integers(0, 36_500)), min_size=1, max_size=40)


def rate(trend: Trend, item: int, day: float, sign: int = 1) -> None:
    trend.count(np.array([item], np.int32), np.array([int(day * DAY_MS)]), sign)


def everything(trend: Trend, life: int, items: int = ITEMS) -> list[float]:
    found: list[float] = trend.of(np.arange(items, dtype=np.int32), life).tolist()
    return found


@given(EVENTS, st.integers(0, len(HALF_LIVES_DAYS) - 1))
def test_items_stand_to_each_other_as_the_decayed_sums_do(events: list[tuple[int, int]], life: int) -> None:
    """Σ 0.5^(age / half-life) per item, divided by the best one, whatever order the ratings came in."""
    trend = Trend()
    for item, day in events:
        rate(trend, item, day)
    latest = max(day for _, day in events)
    plain = [0.0] * ITEMS
    for item, day in events:
        plain[item] += 0.5 ** ((latest - day) / HALF_LIVES_DAYS[life])
    ours = everything(trend, life)
    assert [value / max(ours) for value in ours] == pytest.approx([value / max(plain) for value in plain], abs=1e-9)


# Within a month, where the sums are of one size: what is taken back leaves rounding errors of the largest sum.
RECENT = st.lists(st.tuples(st.integers(0, ITEMS - 1), st.integers(0, 30)), min_size=2, max_size=40)


@given(RECENT, st.data())
def test_what_is_taken_back_is_as_if_it_had_never_been(events: list[tuple[int, int]], data: st.DataObject) -> None:
    """A rating that its user replaced no longer counts for its item."""
    trend, without = Trend(), Trend()
    taken = data.draw(st.integers(1, len(events) - 1))
    rest = [event for at, event in enumerate(events) if at != taken]
    for item, day in events:
        rate(trend, item, day)
    rate(trend, *events[taken], -1)
    for item, day in rest:
        rate(without, item, day)
    for life in range(len(HALF_LIVES_DAYS)):
        ours, plain = everything(trend, life), everything(without, life)
        where = plain.index(max(plain))
        assert [value / ours[where] for value in ours] == pytest.approx(
            [value / plain[where] for value in plain], abs=1e-9
        )


def test_all_items_lead_while_there_are_few() -> None:
    """A small catalogue's items may all enter a list for their trend."""
    trend = Trend()
    for item in range(100):
        rate(trend, item, item)
    assert sorted(trend.leaders(0).tolist()) == list(range(100))


def test_the_leaders_hold_the_most_popular_of_many() -> None:
    """Among thousands of items rated over months in a shuffled order, none of the best is missing."""
    rng = np.random.default_rng(0)
    trend, items = Trend(), 5_000
    popularity = 1 / np.arange(1, items + 1)
    for day in range(120):
        dense = rng.choice(items, 40, replace=False, p=popularity / popularity.sum()).astype(np.int32)
        trend.count(dense, np.full(40, day * DAY_MS), 1)
    for life in range(len(HALF_LIVES_DAYS)):
        sums = np.array(everything(trend, life, items))
        best = np.argsort(-sums)[: LEADERS_MAX // 2]
        assert set(best.tolist()) <= set(trend.leaders(life).tolist())
        assert len(trend.leaders(life)) <= 2 * LEADERS_MAX


def test_the_span_is_that_of_the_ratings() -> None:
    """From the earliest to the latest, in whatever order they come."""
    trend = Trend()
    for day in (10, 3, 7):
        rate(trend, 0, day)
    assert trend.span_days == 7
