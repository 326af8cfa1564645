"""Which kernels a worker ranks with, and that it has them before it needs them."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.ranking_kernels import RankingKernels
from recommender.compiled import CompiledKernels
from recommender.kernels import NumpyKernels


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
