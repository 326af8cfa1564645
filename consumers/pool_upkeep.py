"""Keeps the neighbour pool at its size: as users come or the setting changes, a few users at a time change sides.

The store knows between which two bounds users may still stand on the wrong side, so that a restart goes on, and a check
of the store knows who must have a vector.
"""

from collections.abc import Callable

from consumers.user_states import UserStates
from recommender.neighbour_pool import NeighbourPool, bound
from recommender.store import Store


class PoolUpkeep:
    """Moves users in and out of the pool of `states`, by as many of them as `known` says there are."""

    def __init__(self, store: Store, states: UserStates, known: Callable[[], int]) -> None:
        self._store = store
        self._states = states
        self._known = known
        self._next_id: int | None = None
        self._end = 0
        self._pool.thinning, self._other = store.settings.thinning

    @property
    def _pool(self) -> NeighbourPool:
        return self._states.pool

    def step(self, users_max: int) -> bool:
        """Look through so many users at most; False when there is nothing to do.

        Raises:
            StoreUnavailableError: the store is away; the next step tries the same users again.
        """
        if self._next_id is None and not self._begun():
            return False
        page = self._store.scan(self._next_id, users_max)
        users = {state.user_id: state for identity, state in page.states if state.user_id and identity < self._end}
        self._states.renew(users)
        self._next_id = page.next_id
        if self._next_id is None or self._next_id >= self._end:
            self._ended()
        return True

    def _begun(self) -> bool:
        pool, wanted = self._pool, self._pool.wanted(self._known())
        sides = {pool.thinning, self._other, wanted}
        if len(sides) == 1:
            return False
        self._store.remember_thinning((max(sides), min(sides)))
        pool.thinning, self._other = wanted, min(sides)
        self._next_id, self._end = bound(max(sides)), bound(min(sides))
        return True

    def _ended(self) -> None:
        thinning = self._pool.thinning
        self._store.remember_thinning((thinning, thinning))
        self._other, self._next_id = thinning, None
