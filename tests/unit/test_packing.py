"""Packed histories: what goes in comes out, to the bit; what is none is refused."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.packing import pack_history, pack_items, unpack_history, unpack_items
from recommender.profile import EMPTY_HISTORY, NO_ITEMS, History

ENTRIES = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1)), max_size=20
)


def history_of(entries: list[tuple[int, int, int]]) -> History:
    """Ratings are given by their 64 bits, so that every NaN, infinity and −0.0 occurs."""
    return History(
        np.array([item for item, _, _ in entries], np.uint32),
        np.array([bits for _, bits, _ in entries], np.uint64).view(np.float64),
        np.array([at for _, _, at in entries], np.int64),
    )


def bits(history: History) -> tuple[bytes, bytes, bytes]:
    return history.items.tobytes(), history.ratings.tobytes(), history.rated_at.tobytes()


@given(ENTRIES)
def test_a_history_comes_back_bit_for_bit(entries: list[tuple[int, int, int]]) -> None:
    """Items, ratings (NaN and all) and times survive packing with their types."""
    history = history_of(entries)
    back = unpack_history(pack_history(history))
    assert bits(back) == bits(history)
    assert [array.dtype.str for array in (back.items, back.ratings, back.rated_at)] == ["<u4", "<f8", "<i8"]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_items_come_back(items: list[int]) -> None:
    """Packed items are the items, in order."""
    back = unpack_items(pack_items(np.array(items, np.uint32)))
    assert (back.tolist(), back.dtype.str) == (items, "<u4")


def test_nothing_packs_to_nothing() -> None:
    """An empty history and no items are empty texts, and back."""
    assert (pack_history(EMPTY_HISTORY), pack_items(NO_ITEMS)) == ("", "")
    assert (len(unpack_history("")), len(unpack_items(""))) == (0, 0)


def test_the_format_is_fixed() -> None:
    """Stores of today are read tomorrow: items, ratings, times, little-endian, one array after the other."""
    history = History(np.array([1, 2], np.uint32), np.array([1.0, -2.0]), np.array([3, -1], np.int64))
    raw = "0100000002000000000000000000f03f00000000000000c00300000000000000ffffffffffffffff"
    assert base64.b64decode(pack_history(history)).hex() == raw


@pytest.mark.parametrize("missing", range(1, 20))
def test_a_truncated_history_is_refused(missing: int) -> None:
    """A text that lacks a part of an entry is an error, never a shorter history."""
    raw = base64.b64decode(pack_history(history_of([(1, 2, 3), (4, 5, 6)])))
    with pytest.raises(ValueError, match="multiple of 20 bytes"):
        unpack_history(base64.b64encode(raw[:-missing]).decode())


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_truncated_items_are_refused(missing: int) -> None:
    """A text that lacks a part of an item is an error."""
    raw = base64.b64decode(pack_items(np.array([1, 2], np.uint32)))
    with pytest.raises(ValueError, match="multiple of 4 bytes"):
        unpack_items(base64.b64encode(raw[:-missing]).decode())


@pytest.mark.parametrize("text", ["*" * 28, "AAAA BBBB", "A", "AAAAA", "AAAA=BBB", "ÄÖÜß", "AAAA\n"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    """Foreign characters, white space and wrong padding are errors, never skipped."""
    with pytest.raises(ValueError, match=r".+"):
        unpack_history(text)
    with pytest.raises(ValueError, match=r".+"):
        unpack_items(text)
