"""The service as a system to evaluate: state protocol, Edge store, caches and ranking, as a worker runs them.

Only Kafka is left out. A batch is folded and stored as a worker does it: each user's events together, one write.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from consumers.pool_upkeep import PoolUpkeep
from consumers.ranking_kernels import RankingKernels
from consumers.settings import Settings
from consumers.settings_mapping import history_limits, store_settings, wanted_factors
from consumers.stores.edge import EdgeStore
from consumers.user_states import StateRules, UserStates
from recommender.catalogue import Catalogue
from recommender.embedding import further_vectors
from recommender.evaluation import Assessment, RatedEvent
from recommender.memory_store import MemoryStore
from recommender.neighbour_pool import NeighbourPool
from recommender.profile import Rate, Update
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
    settings: Settings, rules: RankingRules, store: StoreKind, catalogue: Catalogue | None = None
) -> Iterator["ServiceSystem"]:
    """The service over an empty store, which is gone afterwards; `memory` is the exact one, and slow.

    Raises:
        StoreError: the store cannot be made.
    """
    # The rules may be a variation of what the settings say.
    made_for = replace(store_settings(settings), further=further_vectors(rules, wanted_factors(settings, rules)))
    if store == "memory":
        yield ServiceSystem(MemoryStore(made_for), settings, rules, catalogue)
        return
    with tempfile.TemporaryDirectory(prefix="tastestream-evaluation-") as folder:
        edge = EdgeStore(Path(folder), made_for, settings.qdrant.edge_disk_reserve_bytes)
        try:
            yield ServiceSystem(edge, settings, rules, catalogue)
        finally:
            edge.close()


class ServiceSystem:
    """States and ranking over a store, a `System` of `recommender.evaluation`."""

    def __init__(
        self, store: Store, settings: Settings, rules: RankingRules, catalogue: Catalogue | None = None
    ) -> None:
        limits = settings.limits
        cache_max_bytes, factors = limits.neighbour_cache_max_bytes, wanted_factors(settings, rules)
        self.recommender = Recommender(store, rules, cache_max_bytes, RankingKernels(), catalogue, factors=factors)
        own_cache_max_bytes, embeddings = limits.own_cache_max_bytes, self.recommender.embeddings
        pool = NeighbourPool(settings.ranking.neighbour_pool_users)
        state_rules = StateRules(rules.value, history_limits(settings), own_cache_max_bytes, embeddings, pool=pool)
        self.states = UserStates(store, state_rules, writer="evaluation")
        self._pool = PoolUpkeep(store, self.states, self.recommender.known_users)
        self._store = store
        self._offset = 0
        while self.recommender.scan_slice(_SCAN_USERS):
            pass

    def assess(self, user_id: str, item: int) -> Assessment:
        """See `System.assess`."""
        state = self.states.load([user_id], [])[user_id]
        ranked, predicted = self.recommender.assess(user_id, state, item)
        return Assessment(ranked.item, predicted)

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """See `System.learn`."""
        first, updates = self._offset, dict[str, list[Update]]()
        for offset, event in enumerate(events, first):
            update = Update(_SOURCE, offset, event.user_id, Rate(event.item, event.rating, event.at_ms))
            updates.setdefault(event.user_id, []).append(update)
        states = self.states.load(list(updates), [_SOURCE])
        for user_id, transition in self.states.apply(states, updates, {_SOURCE: first}).items():
            self.recommender.changed(user_id, transition.before.history, transition.after.history)
        while self._pool.step(_SCAN_USERS):
            pass
        self._offset += len(events)
        if self._offset // FLUSH_EVERY_EVENTS > first // FLUSH_EVERY_EVENTS:
            self._store.flush()
