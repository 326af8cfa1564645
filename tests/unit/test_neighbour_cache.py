"""The cache of neighbours: bounded in bytes, oldest first out, never a profile of another version or another user."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recommender.item_index import ItemIndex
from recommender.neighbour_cache import NO_PROFILE, NeighbourCache, NeighbourProfile, decode_neighbour, joined
from recommender.profile import EMPTY_HISTORY, History

BLOCK_BYTES = 64 * 12 + 256
"""What a profile of up to 64 ratings takes."""


def profile_of(ratings: int, mark: int = 0) -> NeighbourProfile:
    """A profile that can be told apart from others by its mark."""
    return NeighbourProfile(np.arange(ratings, dtype=np.int32) + mark, np.arange(ratings) / 8 + mark)


def held(cache: NeighbourCache, identity: int, version: int) -> NeighbourProfile | None:
    slot = int(cache.find([identity], [version])[0])
    return None if slot < 0 else cache.profile(slot)


def entries(profile: NeighbourProfile | None) -> tuple[list[int], list[float]] | None:
    return None if profile is None else (profile.dense.tolist(), profile.residuals.tolist())


IDS, VERSIONS = st.integers(0, 5), st.integers(0, 2)
KEPT = st.lists(st.tuples(IDS, VERSIONS, st.integers(0, 200)), max_size=60)


@given(KEPT, st.integers(0, 9_000))
def test_what_is_found_is_what_was_kept_last(kept: list[tuple[int, int, int]], max_bytes: int) -> None:
    """Every profile found holds the very entries of that user's last one, and the limit is never exceeded."""
    cache = NeighbourCache(max_bytes)
    last: dict[int, tuple[int, NeighbourProfile]] = {}
    for mark, (identity, version, length) in enumerate(kept):
        last[identity] = version, profile_of(length, mark)
        cache.put(identity, *last[identity])
        assert cache.size_bytes <= max_bytes
        for other, (its_version, profile) in last.items():
            found = held(cache, other, its_version)
            assert found is None or entries(found) == entries(profile)
            assert held(cache, other, its_version + 1) is None


def test_the_oldest_goes_first() -> None:
    """Three fit: the fourth takes the place of the first, the fifth that of the second."""
    cache = NeighbourCache(4 * BLOCK_BYTES)
    for identity in range(6):
        cache.put(identity, 0, profile_of(10, identity))
    found = [identity for identity in range(6) if held(cache, identity, 0) is not None]
    assert found == list(range(6 - len(found), 6))
    assert 3 <= len(found) <= 4


def test_a_profile_that_grows_a_little_stays_and_drives_nobody_out() -> None:
    """A user who rates again and again must not empty the cache of the others."""
    cache = NeighbourCache(4 * BLOCK_BYTES)
    for identity in range(3):
        cache.put(identity, 0, profile_of(10, identity))
    for version in range(1, 50):
        cache.put(1, version, profile_of(10 + version, version))
    assert all(held(cache, identity, 0) is not None for identity in (0, 2))
    assert entries(held(cache, 1, 49)) == entries(profile_of(59, 49))


def test_another_version_is_a_miss_until_it_is_kept() -> None:
    """Older or newer than the one asked for, a profile of another version is not used; putting replaces it."""
    cache = NeighbourCache(10 * BLOCK_BYTES)
    cache.put(1, 5, profile_of(10))
    assert (held(cache, 1, 4), held(cache, 1, 6)) == (None, None)
    cache.put(1, 6, profile_of(11))
    assert (held(cache, 1, 5), entries(held(cache, 1, 6))) == (None, entries(profile_of(11)))


def test_a_profile_larger_than_the_cache_is_not_kept_and_drives_nobody_out() -> None:
    """What can never fit costs the others nothing, but takes its own outdated version with it."""
    cache = NeighbourCache(4 * BLOCK_BYTES)
    cache.put(1, 0, profile_of(10))
    cache.put(2, 0, profile_of(10))
    cache.put(1, 1, profile_of(10_000))
    assert (held(cache, 1, 0), held(cache, 1, 1)) == (None, None)
    assert held(cache, 2, 0) is not None
    assert cache.size_bytes == BLOCK_BYTES


def test_clearing_forgets_all() -> None:
    """Afterwards nothing is found and nothing is counted."""
    cache = NeighbourCache(4 * BLOCK_BYTES)
    cache.put(1, 0, profile_of(10))
    cache.clear()
    assert (held(cache, 1, 0), cache.size_bytes) == (None, 0)


def test_several_profiles_at_once_are_those_of_their_slots() -> None:
    """Begins and lengths point at each profile's own entries, in the order asked for, wherever they stand."""
    cache = NeighbourCache(100 * BLOCK_BYTES)
    wanted = {identity: profile_of(20 * identity, identity) for identity in (3, 1, 2)}
    for identity, profile in wanted.items():
        cache.put(identity, 7, profile)
    for found in (cache.profiles(cache.find([2, 3, 1], [7, 7, 7])), joined([wanted[2], wanted[3], wanted[1]])):
        ends = found.begins + found.lengths
        cut = [slice(*place) for place in zip(found.begins.tolist(), ends.tolist(), strict=True)]
        assert [found.dense[place].tolist() for place in cut] == [wanted[n].dense.tolist() for n in (2, 3, 1)]
        assert [found.residuals[place].tolist() for place in cut] == [wanted[n].residuals.tolist() for n in (2, 3, 1)]


def test_joined_profiles_may_be_empty() -> None:
    """A neighbour that is gone from the store has no entries, and shifts nobody else's."""
    found = joined([NO_PROFILE, profile_of(3, 5)])
    assert (found.begins.tolist(), found.lengths.tolist(), found.dense.tolist()) == ([0, 0], [0, 3], [5, 6, 7])


def test_a_decoded_neighbour_is_the_ratings_against_their_mean() -> None:
    """Retractions are left out, order is kept, residuals are on the scale of the ratings."""
    index = ItemIndex()
    history = History(np.array([7, 5, 9], np.uint32), np.array([4.0, math.nan, 1.0]), np.arange(3))
    profile = decode_neighbour(history, index)
    assert index.items[profile.dense].tolist() == [7, 9]
    assert profile.residuals.tolist() == [1.5, -1.5]
    assert len(decode_neighbour(EMPTY_HISTORY, index).dense) == 0
