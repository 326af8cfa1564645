"""Which kernels a worker ranks with, and that it has them before it needs them."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.ranking_kernels import RankingKernels
from recommender.compiled import CompiledKernels
from recommender.item_index import ItemIndex
from recommender.kernels import NumpyKernels, Tally, TrendShare, mixed


def best(kernels: RankingKernels) -> list[int]:
    scores, items = np.array([1.0, 3.0, 2.0]), np.array([7, 8, 9], np.uint32)
    found: list[int] = kernels.best(scores, np.zeros(3, np.int64), items, 2).tolist()
    return found


def test_compiled_where_numba_is_installed() -> None:
    """It is, where this project is developed."""
    kernels = RankingKernels()
    kernels.warm_up()
    assert isinstance(kernels._found, CompiledKernels)
    assert best(kernels) == [1, 2]


def test_numpy_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional: a worker without it ranks the same, slower."""
    monkeypatch.setitem(sys.modules, "recommender.compiled", None)
    kernels = RankingKernels()
    kernels.warm_up()
    assert isinstance(kernels._found, NumpyKernels)
    assert best(kernels) == [1, 2]


@given(st.lists(st.integers(0, 40), unique=True), st.tuples(*[st.lists(st.integers(0, 40))] * 3))
def test_what_is_left_out_is_left_out(items: list[int], others: tuple[list[int], ...]) -> None:
    """Law: in both, what is left is what is in none of the others, in its order, and the marks are as they were."""
    first, second, third = (np.array(some, np.int32) for some in others)
    for kernels in (NumpyKernels(), CompiledKernels()):
        marks = np.zeros(41, np.bool_)
        found = kernels.without(np.array(items, np.int32), (first, second, third), marks).tolist()
        assert found == [item for item in items if not any(item in some for some in others)]
        assert not marks.any()


ITEMS = 30
SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.5 + 1e-12, 1.0])
"""Few values, so that many are equal, or nearly."""


@st.composite
def tallies(draw: st.DrawFn) -> tuple[Tally, TrendShare]:
    """A tally, and popularity with leaders that got no votes."""
    order = draw(st.permutations(range(ITEMS)))
    voted, led = draw(st.integers(0, 20)), draw(st.integers(0, 10))
    columns = [np.array(draw(st.lists(SHARES, min_size=voted, max_size=voted))) for _ in range(3)]
    support = np.array(draw(st.lists(st.integers(1, 3), min_size=voted, max_size=voted)), np.int64)
    sums = np.array(draw(st.lists(SHARES, min_size=ITEMS, max_size=ITEMS)))
    leaders = np.array(order[voted : voted + led], np.int32)
    share = TrendShare(sums, leaders, draw(st.sampled_from([0.1, 0.5, 1.0])))
    return Tally(np.array(order[:voted], np.int32), columns[0], support, columns[1], columns[2]), share


@given(tallies(), st.booleans(), st.integers(1, 40))
def test_the_foremost_are_the_same_bits_in_both(case: tuple[Tally, TrendShare], is_shared: bool, limit: int) -> None:
    """Law: the best of a tally with its share of the trend, in order, equal ones by support and then by item."""
    tally, share = case
    names = np.arange(ITEMS, dtype=np.uint32)[::-1].copy()
    plain = mixed(tally, share) if is_shared else tally
    rows = list(zip(plain.score, plain.support, names[plain.dense], plain.dense, plain.weight, plain.pull, strict=True))
    best = sorted((row for row in rows if row[0] > 0), key=lambda row: (-row[0], -row[1], row[2]))[:limit]
    for kernels in (NumpyKernels(), CompiledKernels()):
        found = kernels.foremost(tally, names, limit, share if is_shared else None)
        columns = (found.score, found.support, names[found.dense], found.dense, found.weight, found.pull)
        assert list(zip(*columns, strict=True)) == best


@given(st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=600), st.lists(st.integers(0, 2**32 - 1)))
def test_both_find_what_an_index_holds(held: list[int], others: list[int]) -> None:
    """Law: an index with either has the same numbers, also where it is asked for what it does not have."""
    asked = np.array(held + others, np.uint32)
    asked.flags.writeable = False
    numbers = {item: number for number, item in enumerate(held)}
    for kernels in (NumpyKernels(), CompiledKernels()):
        index = ItemIndex(kernels.find)
        index.dense(np.array(held, np.uint32))
        assert index.find(asked).tolist() == [numbers.get(item, -1) for item in held + others]
