"""The hash table from items to dense numbers, against a dictionary."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.item_index import ItemIndex
from recommender.profile import Items

MULTIPLIER = 2_654_435_769
INVERSE = pow(MULTIPLIER, -1, 2**32)


def hashed_to(position: int) -> int:
    """The item that the multiplicative hash sends to this position of 2³²; near positions share a slot."""
    return position * INVERSE % 2**32


def array(items: list[int]) -> Items:
    return np.array(items, np.uint32)


def number(oracle: dict[int, int], items: list[int]) -> list[int]:
    """What the index must answer: numbers in order of appearance."""
    return [oracle.setdefault(item, len(oracle)) for item in items]


def agree(index: ItemIndex, oracle: dict[int, int]) -> bool:
    known = list(oracle)
    return (len(index), index.items.tolist(), index.find(array(known)).tolist()) == (
        len(known),
        known,
        list(range(len(known))),
    )


IDS = st.one_of(
    st.sampled_from([0, 1, 2**31, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 20).map(hashed_to),
    st.integers(2**32 - 20, 2**32 - 1).map(hashed_to),
)


@given(st.lists(st.lists(IDS, max_size=20), max_size=8))
def test_numbers_are_those_of_a_dictionary(calls: list[list[int]]) -> None:
    """Numbers rise in order of appearance, repeated items within a call and between calls keep theirs."""
    index, oracle = ItemIndex(), dict[int, int]()
    for items in calls:
        assert index.dense(array(items)).tolist() == number(oracle, items)
    assert agree(index, oracle)


@given(st.lists(IDS, max_size=20), st.lists(IDS, max_size=20))
def test_finding_numbers_nothing(known: list[int], asked: list[int]) -> None:
    """An item without a number is −1, before and after it was asked for."""
    index, oracle = ItemIndex(), dict[int, int]()
    index.dense(array(known))
    number(oracle, known)
    for _ in range(2):
        assert index.find(array(asked)).tolist() == [oracle.get(item, -1) for item in asked]
    assert agree(index, oracle)


@pytest.mark.parametrize("first", [0, 2**32 - 300], ids=["first slot", "last slot, around the end"])
def test_items_that_all_collide_are_told_apart(first: int) -> None:
    """Three hundred items of one slot each get their own number, and those not yet added are not found."""
    items = [hashed_to(first + step) for step in range(300)]
    index, oracle = ItemIndex(), dict[int, int]()
    assert index.dense(array(items[::2])).tolist() == number(oracle, items[::2])
    assert set(index.find(array(items[1::2])).tolist()) == {-1}
    assert index.dense(array(items)).tolist() == number(oracle, items)
    assert agree(index, oracle)


def test_numbers_survive_growth() -> None:
    """Thousands of items in calls of uneven size, the table doubling several times: nobody's number changes."""
    random = np.random.default_rng(7)
    index, oracle = ItemIndex(), dict[int, int]()
    while len(oracle) < 5_000:
        items = random.integers(0, 2**32, random.integers(1, 700), dtype=np.uint32)
        items[::3] = random.integers(0, 500, len(items[::3]), dtype=np.uint32)
        assert index.dense(items).tolist() == number(oracle, items.tolist())
    assert agree(index, oracle)


def test_no_item_at_all() -> None:
    """No items have no numbers, in an empty index and in a filled one."""
    index = ItemIndex()
    for _ in range(2):
        assert (index.dense(array([])).tolist(), index.find(array([])).tolist()) == ([], [])
        index.dense(array([2**32 - 1]))
