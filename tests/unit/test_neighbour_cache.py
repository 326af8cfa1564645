"""The cache of neighbours: bounded in bytes, least recently used first out, never a profile of another version."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recommender.item_index import ItemIndex
from recommender.neighbour_cache import NeighbourCache, NeighbourProfile, decode_neighbour
from recommender.profile import EMPTY_HISTORY, History


def profile_of(ratings: int) -> NeighbourProfile:
    return NeighbourProfile(np.arange(ratings, dtype=np.int32), np.zeros(ratings))


ONE = profile_of(10).size_bytes
IDS, VERSIONS = st.integers(0, 5), st.integers(0, 2)
# A step without length asks for a profile, one with length keeps one of so many ratings.
STEPS = st.lists(st.tuples(IDS, VERSIONS, st.none() | st.integers(1, 150)), max_size=40)


@given(STEPS, st.integers(0, 4_000))
def test_the_cache_is_the_plain_one(steps: list[tuple[int, int, int | None]], max_bytes: int) -> None:
    """Every answer is that of a list in order of use, cut to `max_bytes`, which is never exceeded in between."""
    cache = NeighbourCache(max_bytes)
    used: list[tuple[int, int, NeighbourProfile]] = []
    for identity, version, length in steps:
        held = [entry for entry in used if entry[0] == identity]
        if length is None:
            expected = next((entry[2] for entry in held if entry[1] == version), None)
            assert cache.get(identity, version) is expected
            used = [entry for entry in used if entry[0] != identity] + held
        else:
            profile = profile_of(length)
            cache.put(identity, version, profile)
            used = [entry for entry in used if entry[0] != identity]
            if profile.size_bytes <= max_bytes:
                used.append((identity, version, profile))
            while sum(entry[2].size_bytes for entry in used) > max_bytes:
                used.pop(0)
        assert cache.size_bytes == sum(entry[2].size_bytes for entry in used) <= max_bytes


def test_the_least_recently_used_goes_first() -> None:
    """Asking for a profile keeps it longer than one kept later but never asked for."""
    cache = NeighbourCache(2 * ONE)
    cache.put(1, 0, profile_of(10))
    cache.put(2, 0, profile_of(10))
    cache.get(1, 0)
    cache.put(3, 0, profile_of(10))
    assert [cache.get(identity, 0) is not None for identity in (1, 2, 3)] == [True, False, True]


def test_another_version_is_a_miss_until_it_is_kept() -> None:
    """Older or newer than the one asked for, a profile of another version is not used; putting replaces it."""
    cache = NeighbourCache(10 * ONE)
    old, new = profile_of(10), profile_of(11)
    cache.put(1, 5, old)
    assert (cache.get(1, 4), cache.get(1, 6)) == (None, None)
    cache.put(1, 6, new)
    assert (cache.get(1, 5), cache.get(1, 6)) == (None, new)
    assert cache.size_bytes == new.size_bytes


def test_a_profile_larger_than_the_cache_is_not_kept_and_drives_nobody_out() -> None:
    """What can never fit costs the others nothing, but takes its own outdated version with it."""
    cache = NeighbourCache(2 * ONE)
    cache.put(1, 0, profile_of(10))
    cache.put(2, 0, profile_of(10))
    cache.put(1, 1, profile_of(10_000))
    assert (cache.get(1, 0), cache.get(1, 1)) == (None, None)
    assert cache.get(2, 0) is not None
    assert cache.size_bytes == ONE


def test_a_profile_exactly_as_large_as_the_cache_is_kept() -> None:
    """The limit itself is allowed; a byte less is not enough."""
    for max_bytes, kept in ((ONE, True), (ONE - 1, False)):
        cache = NeighbourCache(max_bytes)
        cache.put(1, 0, profile_of(10))
        assert (cache.get(1, 0) is not None) is kept


def test_clearing_forgets_all() -> None:
    """Afterwards nothing is found and nothing is counted."""
    cache = NeighbourCache(2 * ONE)
    cache.put(1, 0, profile_of(10))
    cache.clear()
    assert (cache.get(1, 0), cache.size_bytes) == (None, 0)


def test_a_decoded_neighbour_is_the_ratings_against_their_mean() -> None:
    """Retractions are left out, order is kept, residuals are on the scale of the ratings."""
    index = ItemIndex()
    history = History(np.array([7, 5, 9], np.uint32), np.array([4.0, math.nan, 1.0]), np.arange(3))
    profile = decode_neighbour(history, index)
    assert index.items[profile.dense].tolist() == [7, 9]
    assert profile.residuals.tolist() == [1.5, -1.5]
    assert len(decode_neighbour(EMPTY_HISTORY, index).dense) == 0
