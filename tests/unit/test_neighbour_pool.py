"""The neighbour pool: a stable sample of the right size, and users who change sides as it is thinned."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.pool_upkeep import PoolUpkeep
from consumers.user_states import StateRules, UserStates
from recommender.memory_store import MemoryStore
from recommender.neighbour_pool import POINT_ID_BITS, NeighbourPool, bound
from recommender.profile import HistoryLimits, Rate, Update, UserState
from recommender.store import (
    NeighbourQuery,
    StateWrite,
    StoreSettings,
    StoreUnavailableError,
    point_id,
)
from recommender.vector import ValueRule, user_vector

RULE, LIMITS = ValueRule(), HistoryLimits()
SETTINGS = StoreSettings("integers", 0.5, 5.0, RULE.fingerprint)
SOURCE = "topic:0"
NAMES = tuple(f"user-{n}" for n in range(60))


@given(st.integers(1, 10**6), st.integers(0, 10**9))
def test_the_expected_sample_is_as_large_as_wanted_and_not_larger(users_max: int, users: int) -> None:
    """Law: of so many users, between 0.84 and 1 times the wanted number are expected in the pool, or all of them."""
    thinning = NeighbourPool(users_max).wanted(users)
    expected = users * bound(thinning) / 2**POINT_ID_BITS
    assert expected <= users_max * (1 + 1e-12)
    assert expected == users if users <= users_max else expected > 0.84 * users_max


@given(st.integers(1, 1_000), st.lists(st.integers(0, 10**6), max_size=20))
def test_the_sample_is_thinned_at_once_and_grows_late(users_max: int, numbers: list[int]) -> None:
    """Law: it never is too large; it grows only where it would not be too large for a fifth more users."""
    pool = NeighbourPool(users_max)
    for users in numbers:
        before, pool.thinning = pool.thinning, pool.wanted(users)
        assert users * bound(pool.thinning) / 2**POINT_ID_BITS <= users_max * (1 + 1e-12) or not pool.thinning
        if pool.thinning < before:
            assert int(1.2 * users) * bound(pool.thinning) / 2**POINT_ID_BITS <= users_max * (1 + 1e-12)


@given(st.integers(0, 200), st.integers(0, 200), st.text(min_size=1))
def test_a_thinner_sample_is_part_of_every_thicker_one(one: int, other: int, user_id: str) -> None:
    """Law: nobody comes in as a pool is thinned."""
    thick, thin = (NeighbourPool(1, thinning) for thinning in sorted((one, other)))
    assert thick.admits(point_id(user_id)) or not thin.admits(point_id(user_id))


class FailingStore(MemoryStore):
    """A store that is away every other write."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.errors: Iterator[bool] = iter(())

    def write(self, request: StateWrite) -> None:
        if next(self.errors, False):
            raise StoreUnavailableError("away")
        super().write(request)


class Service:
    """One process over a store: states, and the pool's upkeep."""

    def __init__(self, store: MemoryStore, users_max: int, known: int) -> None:
        self.store, self.known = store, known
        self.states = UserStates(store, StateRules(RULE, LIMITS, 1 << 20, pool=NeighbourPool(users_max)), "writer")
        self.upkeep = PoolUpkeep(store, self.states, lambda: self.known)

    def rate(self, name: str, offset: int) -> None:
        update = Update(SOURCE, offset, name, Rate(offset % 5 + 1, 4.0 + offset % 2, 1_000_000 + offset))
        self.states.apply(self.states.load([name], [SOURCE]), {name: [update]}, {SOURCE: offset})

    def settle(self) -> None:
        while self.upkeep.step(7):
            pass


def findable(store: MemoryStore) -> set[str]:
    """Whom others are found by."""
    everything = user_vector(store.read([NAMES[0]], []).states[NAMES[0]].history, RULE)
    assert everything is not None
    found = {identity for identity, point in store._points.items() if point.vectors}
    (nearest,) = store.nearest([NeighbourQuery(everything, len(NAMES), -1)])
    assert set(nearest.ids) <= found
    return {name for name in NAMES if point_id(name) in found}


def admitted(pool: NeighbourPool) -> set[str]:
    return {name for name in NAMES if pool.admits(point_id(name))}


@pytest.fixture
def store() -> FailingStore:
    """A store in which everybody has rated twice, without a limit to the pool."""
    made = FailingStore()
    service = Service(made, 0, 0)
    for offset in range(2 * len(NAMES)):
        service.rate(NAMES[offset % len(NAMES)], offset)
    return made


def states(store: MemoryStore) -> dict[str, tuple[int, list[int]]]:
    found: dict[str, UserState] = dict(store.read(NAMES, []).states)
    return {name: (state.count, state.history.items.tolist()) for name, state in found.items()}


def test_users_leave_the_pool_as_it_is_thinned_and_come_back(store: FailingStore) -> None:
    """Law: once settled exactly the pool's users are found, whatever was before; nobody's state changes by it."""
    before = states(store)
    for users_max in (20, 5, 40, 0, 10):
        service = Service(store, users_max, len(NAMES))
        service.settle()
        assert findable(store) == admitted(service.states.pool)
        assert store.settings.thinning == (service.states.pool.thinning,) * 2
    assert states(store) == before
    assert 0 < len(findable(store)) < len(NAMES) / 2


def test_who_rates_is_on_the_right_side_at_once(store: FailingStore) -> None:
    """Law: a write goes by the thinning of now, and what the settings say holds while the others still change sides."""
    service = Service(store, 10, len(NAMES))
    assert service.upkeep.step(1)
    most, least = store.settings.thinning
    assert (most, least) == (service.states.pool.thinning, 0)
    outside = sorted(set(NAMES) - admitted(service.states.pool), key=point_id)[-3:]
    for offset, name in enumerate(outside, 1_000):
        service.rate(name, offset)
    assert not findable(store) & set(outside)
    assert findable(store) > admitted(service.states.pool)


def test_a_restart_goes_on_where_users_may_be_on_the_wrong_side(store: FailingStore) -> None:
    """Law: a process that dies in the middle, or whose store is away, leaves nobody behind."""
    half_way = Service(store, 10, len(NAMES))
    for _ in range(3):
        assert half_way.upkeep.step(3)
    again = Service(store, 10, len(NAMES))
    store.errors = iter([False, True, True])
    while True:
        try:
            if not again.upkeep.step(5):
                break
        except StoreUnavailableError:
            continue
    assert findable(store) == admitted(again.states.pool)
    assert store.settings.thinning == (again.states.pool.thinning,) * 2


def test_without_a_limit_or_with_room_nothing_is_written(store: FailingStore) -> None:
    """Law: below its size the pool is everybody, and costs nothing."""
    for users_max in (0, len(NAMES)):
        assert not Service(store, users_max, len(NAMES)).upkeep.step(10)
    assert store.settings.thinning == (0, 0)
    assert findable(store) == set(NAMES)
