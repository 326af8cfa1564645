"""What a worker's memory keeps of a user who was forgotten: nothing here at once, nothing elsewhere for long."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.user_states import StateRules, Transition, UserStates
from recommender.memory_store import MemoryStore
from recommender.neighbour_cache import NeighbourCache, NeighbourProfile
from recommender.profile import NEW_USER, Forget, HistoryLimits, Rate, Update, fold
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import StateWrite, StoreSettings, UserWrite, point_id
from recommender.vector import user_vector

RULES = RankingRules(neighbours=5, list_length=5)
LIMITS = HistoryLimits()
BOB, ANN = "bob", "ann"
SHARED, ANNS_OWN = (1, 2, 3), 77


class SharedStore(MemoryStore):
    """A store that others write to as well."""

    exclusive = False


@pytest.fixture
def store() -> SharedStore:
    made = SharedStore(StoreSettings("integer", 0.5, 5.0, RULES.value.fingerprint))
    for user, items in ((BOB, SHARED), (ANN, (*SHARED, ANNS_OWN))):
        rows = [Update("t:0", at, user, Rate(item, 4.0, at)) for at, item in enumerate(items)]
        state = replace(fold(NEW_USER, rows, LIMITS), tag=len(items))
        vector = user_vector(state.history, RULES.value)
        made.write(StateWrite({}, [UserWrite(user, state, vector, frozenset(), missing=True)]))
    return made


def recommender_of(store: SharedStore) -> Recommender:
    made = Recommender(store, RULES, 1 << 20)
    while made.scan_slice(1):
        pass
    return made


def shown_to_bob(recommender: Recommender, store: SharedStore) -> dict[int, int]:
    """The items of Bob's list, with how many neighbours voted for each."""
    (found,) = recommender.recommend([(BOB, store.read([BOB], []).states[BOB])])
    return dict(zip(found.item, found.support, strict=True))


def forget_ann(states: UserStates) -> Transition:
    """Forget her as a worker does."""
    loaded = states.load([ANN], ["t:0"])
    return states.apply(loaded, {ANN: [Update("t:0", 9, ANN, Forget())]}, {"t:0": 9})[ANN]


def states_of(store: SharedStore) -> UserStates:
    return UserStates(store, StateRules(RULES.value, LIMITS, 1 << 20), "writer")


def test_the_worker_that_forgets_keeps_neither_profile_nor_id(store: SharedStore) -> None:
    """Directly after the write: no entry in the cache of neighbours, no key in that of its own users."""
    recommender, states = recommender_of(store), states_of(store)
    assert shown_to_bob(recommender, store)[ANNS_OWN] == 1
    held = recommender.cache.size_bytes
    done = forget_ann(states)
    recommender.changed([(ANN, done.before, done.after)])
    assert recommender.cache.size_bytes < held
    assert states.cache.get(ANN) is None
    assert ANNS_OWN not in shown_to_bob(recommender, store)


def test_another_worker_lets_nobody_vote_who_was_forgotten(store: SharedStore) -> None:
    """Its cache still holds the profile, yet from the write on no list of its is made with it."""
    other = recommender_of(store)
    assert shown_to_bob(other, store)[ANNS_OWN] == 1
    forget_ann(states_of(store))
    assert not any(shown_to_bob(other, store).values())


def test_another_workers_memory_is_clean_with_its_next_count(store: SharedStore) -> None:
    """A rescan drops the profile from the cache and the ratings from the popularity figures, slice by slice."""
    other = recommender_of(store)
    shown_to_bob(other, store)
    held = other.cache.size_bytes
    forget_ann(states_of(store))
    other.rescan()
    while other.scan_slice(1):
        pass
    assert other.cache.size_bytes < held
    assert ANNS_OWN not in shown_to_bob(other, store)
    assert point_id(ANN) in dict(store.scan(None, 10).states)


STEPS = st.lists(st.tuples(st.integers(0, 8), st.none() | st.integers(1, 150)), max_size=60)


@given(STEPS, st.integers(0, 12_000))
def test_dropping_one_profile_leaves_the_others_as_they_are(
    steps: list[tuple[int, int | None]], max_bytes: int
) -> None:
    """However profiles are kept and dropped: one that was dropped is not found, one that is found is whole."""
    cache, kept = NeighbourCache(max_bytes), dict[int, NeighbourProfile]()
    for number, (identity, length) in enumerate(steps):
        others = {i: place for i, place in held(cache, range(9)).items() if i != identity}
        if length is None:
            cache.drop(identity)
            assert held(cache, range(9)) == others
        else:
            kept[identity] = NeighbourProfile(np.arange(length, dtype=np.int32), np.full(length, float(number)))
            cache.put(identity, 0, kept[identity])
        for found in held(cache, range(9)):
            profile = cache.profile(int(cache.find([found], [0])[0]))
            assert np.array_equal(profile.residuals, kept[found].residuals)
        assert cache.size_bytes <= max_bytes


def held(cache: NeighbourCache, ids: Iterable[int]) -> dict[int, int]:
    """The slots of those that are held."""
    found = {identity: int(cache.find([identity], [0])[0]) for identity in ids}
    return {identity: slot for identity, slot in found.items() if slot >= 0}
