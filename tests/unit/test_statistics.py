"""Item statistics: scanned in slices while histories change, they equal a fresh count."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.item_index import ItemIndex
from recommender.profile import EMPTY_HISTORY, History
from recommender.statistics import CountedUsers, HistoryChange, ItemStatistics

Ratings = dict[int, float]

HISTORIES = st.dictionaries(st.integers(0, 6), st.integers(5, 50).map(lambda tenths: tenths / 10), max_size=5)
USERS = st.integers(0, 9)
# A step is a slice of so many users, or users' new ratings at once (none: forgotten).
STEPS = st.lists(st.one_of(st.integers(1, 4), st.dictionaries(USERS, HISTORIES, max_size=3)), max_size=20)


def history_of(ratings: Ratings) -> History:
    n = len(ratings)
    return History(np.array(list(ratings), np.uint32), np.array(list(ratings.values()), float), np.zeros(n, np.int64))


def figures(ratings: Iterable[Ratings]) -> dict[int, tuple[int, float]]:
    """Number and sum of ratings by item, counted afresh."""
    found: dict[int, tuple[int, float]] = {}
    for one in ratings:
        for item, rating in one.items():
            count, total = found.get(item, (0, 0.0))
            found[item] = (count + 1, total + rating)
    return found


def assert_counted(statistics: ItemStatistics, index: ItemIndex, ratings: Iterable[Ratings], damping: float) -> None:
    expected = figures(ratings)
    total = sum(count for count, _ in expected.values())
    mean = sum(rated for _, rated in expected.values()) / total if total else 0.0
    items = index.items.tolist()
    counts = [expected.get(item, (0, 0.0))[0] for item in items]
    sums = [expected.get(item, (0, 0.0))[1] for item in items]
    bias = [(s - n * mean) / (n + damping) for n, s in zip(counts, sums, strict=True)]
    assert set(expected) <= set(items)
    assert statistics.counts.tolist() == counts
    assert statistics.global_mean == pytest.approx(mean, abs=1e-9)
    ours = statistics.item_bias(np.arange(len(items), dtype=np.int32), damping)
    assert ours.tolist() == pytest.approx(bias, abs=1e-9)


@given(st.dictionaries(USERS, HISTORIES), STEPS, st.floats(0.5, 20))
def test_a_scan_among_changes_equals_a_fresh_count(
    stored: dict[int, Ratings], steps: list[int | dict[int, Ratings]], damping: float
) -> None:
    """Whatever changes between which slices, of users counted or not yet, in the end everyone counts once."""
    index = ItemIndex()
    counted = CountedUsers(index)

    def take(limit: int) -> None:
        ids = sorted(user for user in stored if counted.next_id is not None and user >= counted.next_id)
        counted.take([history_of(stored[user]) for user in ids[:limit]], ids[limit] if len(ids) > limit else None)

    for step in steps:
        if not isinstance(step, int):
            befores = {user: history_of(stored.get(user, {})) for user in step}
            counted.changed([HistoryChange.between(u, befores[u], history_of(ratings)) for u, ratings in step.items()])
            stored |= step
        elif counted.next_id is not None:
            take(step)
    while counted.next_id is not None:
        take(2)
    assert_counted(counted.statistics, index, stored.values(), damping)
    users = counted.statistics.users
    for least in (1, 3):
        assert users.with_at_least(least) == sum(len(ratings) >= least for ratings in stored.values())


@given(st.lists(HISTORIES, max_size=6), st.lists(HISTORIES, max_size=6))
def test_what_is_taken_back_leaves_no_trace(kept: list[Ratings], removed: list[Ratings]) -> None:
    """Histories added and removed again count for nothing."""
    index = ItemIndex()
    statistics = ItemStatistics(index)
    for ratings in [*removed, *kept]:
        statistics.add(history_of(ratings))
    for ratings in removed:
        statistics.remove(history_of(ratings))
    assert_counted(statistics, index, kept, 5.0)


def test_retractions_are_not_counted() -> None:
    """An entry without rating is no rating: neither counted nor in the mean."""
    index = ItemIndex()
    statistics = ItemStatistics(index)
    statistics.add(history_of({1: 4.0, 2: math.nan}))
    statistics.add(history_of({2: math.nan}))
    assert_counted(statistics, index, [{1: 4.0}], 5.0)


def test_without_ratings_everything_is_zero() -> None:
    """Nothing counted: the mean is 0, and so is the bias of an item that others have numbered."""
    index = ItemIndex()
    statistics = ItemStatistics(index)
    statistics.add(EMPTY_HISTORY)
    dense = index.dense(np.array([5], np.uint32))
    assert (statistics.global_mean, statistics.counts.tolist()) == (0.0, [0.0])
    assert statistics.item_bias(dense, 5.0).tolist() == [0.0]


@pytest.mark.parametrize("others", [1_023, 1_024, 1_025, 5_000])
def test_items_numbered_elsewhere_count_as_unrated(others: int) -> None:
    """The figures cover the whole index, however many items others added to it, and survive that growth."""
    index = ItemIndex()
    statistics = ItemStatistics(index)
    statistics.add(history_of({1: 4.0}))
    index.dense(np.arange(100, 100 + others, dtype=np.uint32))
    last = index.dense(np.array([99 + others], np.uint32))
    assert statistics.item_bias(last, 5.0).tolist() == [0.0]
    assert statistics.counts.tolist() == [1.0] + [0.0] * others
    statistics.add(history_of({99 + others: 2.0}))
    assert_counted(statistics, index, [{1: 4.0, 99 + others: 2.0}], 5.0)
