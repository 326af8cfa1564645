"""The service as a system to evaluate: state protocol, Edge store, caches and ranking, as a worker runs them.

Only Kafka is left out. A batch is folded and stored as a worker does it: each user's events together, one write. What
is known of users beside their ratings can be told, and a store be filled from another one's states, as a rebuild does.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from consumers.pool_upkeep import PoolUpkeep
from consumers.ranking_kernels import RankingKernels
from consumers.settings import Settings
from consumers.settings_mapping import history_limits, store_settings
from consumers.stores.edge import EdgeStore
from consumers.user_states import StateRules, UserStates
from recommender.catalogue import Catalogue
from recommender.embedding import further_vectors
from recommender.evaluation import Assessment, RatedEvent
from recommender.factors import Factors
from recommender.memory_store import MemoryStore
from recommender.neighbour_pool import NeighbourPool
from recommender.profile import AttributeValue, Change, Rate, SetAttributes, Update, UserState
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import Store

FLUSH_EVERY_EVENTS = 5_000
"""Without a flush the engine's write-ahead log would grow with every event."""
_SOURCE = "evaluation:0"
_SCAN_USERS = 500

StoreKind = Literal["edge", "memory"]


@contextmanager
def service_system(
    settings: Settings,
    rules: RankingRules,
    store: StoreKind,
    catalogue: Catalogue | None = None,
    factors: Factors | None = None,
) -> Iterator["ServiceSystem"]:
    """The service over an empty store, which is gone afterwards; `memory` is the exact one, and slow.

    `factors`: for rules that weigh them.

    Raises:
        StoreError: the store cannot be made.
    """
    # The rules may be a variation of what the settings say.
    made_for = replace(store_settings(settings), further=further_vectors(rules, factors))
    if store == "memory":
        yield ServiceSystem(MemoryStore(made_for), settings, rules, catalogue, factors)
        return
    with tempfile.TemporaryDirectory(prefix="tastestream-evaluation-") as folder:
        edge = EdgeStore(Path(folder), made_for, settings.qdrant.edge_disk_reserve_bytes)
        try:
            yield ServiceSystem(edge, settings, rules, catalogue, factors)
        finally:
            edge.close()


class ServiceSystem:
    """States and ranking over a store, a `System` of `recommender.evaluation`."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        rules: RankingRules,
        catalogue: Catalogue | None = None,
        factors: Factors | None = None,
    ) -> None:
        limits = settings.limits
        cache_max_bytes = limits.neighbour_cache_max_bytes
        self.recommender = Recommender(store, rules, cache_max_bytes, RankingKernels(), catalogue, factors=factors)
        own_cache_max_bytes, embeddings = limits.own_cache_max_bytes, self.recommender.embeddings
        pool = NeighbourPool(settings.ranking.neighbour_pool_users)
        state_rules = StateRules(rules.value, history_limits(settings), own_cache_max_bytes, embeddings, pool=pool)
        self.states = UserStates(store, state_rules, writer="evaluation")
        self._pool = PoolUpkeep(store, self.states, self.recommender.known_users)
        self._store = store
        self._offset = 0
        self._count()

    def assess(self, user_id: str, item: int) -> Assessment:
        """See `System.assess`."""
        state = self.states.load([user_id], [])[user_id]
        ranked, predicted = self.recommender.assess(user_id, state, item)
        return Assessment(ranked.item, predicted)

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """See `System.learn`."""
        self._take([(event.user_id, Rate(event.item, event.rating, event.at_ms)) for event in events])

    def introduce(self, attributes: Mapping[str, Mapping[str, AttributeValue | None]]) -> None:
        """Take in what is known of users, by user id, before they rate: so a replay sends it."""
        changes = [(user_id, SetAttributes(known)) for user_id, known in attributes.items()]
        for begin in range(0, len(changes), _SCAN_USERS):
            self._take(changes[begin : begin + _SCAN_USERS])

    def take_over(self, earlier: "ServiceSystem") -> None:
        """Go on over this empty store with all that another system has learnt, as after a rebuild."""
        for states in earlier.stored():
            # Here nobody stands yet.
            self.states.renew({state.user_id: replace(state, tag=0) for state in states if state.user_id is not None})
        self._store.flush()
        self._offset = earlier._offset  # noqa: SLF001  # its successor
        self.recommender.rescan()
        self._count()
        self._fit_pool()
        self.recommender.inherit(earlier.recommender)

    def stored(self) -> Iterator[list[UserState]]:
        """The states of all users, a page at a time."""
        next_id: int | None = 0
        while next_id is not None:
            page = self._store.scan(next_id, _SCAN_USERS)
            yield [state for _, state in page.states]
            next_id = page.next_id

    def _count(self) -> None:
        while self.recommender.scan_slice(_SCAN_USERS):
            pass

    def _fit_pool(self) -> None:
        while self._pool.step(_SCAN_USERS):
            pass

    def _take(self, changes: Sequence[tuple[str, Change]]) -> None:
        first, updates = self._offset, dict[str, list[Update]]()
        for offset, (user_id, change) in enumerate(changes, first):
            updates.setdefault(user_id, []).append(Update(_SOURCE, offset, user_id, change))
        states = self.states.load(list(updates), [_SOURCE])
        transitions = self.states.apply(states, updates, {_SOURCE: first})
        self.recommender.changed([(user_id, t.before, t.after) for user_id, t in transitions.items()])
        self._fit_pool()
        self._offset += len(changes)
        if self._offset // FLUSH_EVERY_EVENTS > first // FLUSH_EVERY_EVENTS:
            self._store.flush()
