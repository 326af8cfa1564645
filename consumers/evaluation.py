"""Prequential evaluation of the service's own path: state protocol, Edge store, caches and ranking, as a worker runs.

The data set's ratings pass in the order of a replay, one at a time; only Kafka is left out.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from consumers.settings import Settings
from consumers.settings_mapping import history_limits, ranking_rules, rating_scale, store_settings
from consumers.stores.edge import EdgeStore
from consumers.user_states import StateRules, UserStates
from producers.tables import Dataset, Ratings, time_order
from recommender.evaluation import LIST_LENGTH, HitRate, RatedEvent, Report, evaluate
from recommender.memory_store import MemoryStore
from recommender.profile import Rate, Update
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import Store

FLUSH_EVERY_EVENTS = 5_000
"""Without a flush the engine's write-ahead log would grow with every event."""
_SOURCE = "evaluation:0"
_SCAN_USERS = 500
_DIMENSIONS = 2**32

StoreKind = Literal["edge", "memory"]


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What to evaluate: the first `events` ratings (None: all); `position`: weigh votes by where they stand."""

    dataset: Dataset
    settings: Settings
    events: int | None = None
    position: bool = True
    store: StoreKind = "edge"

    @property
    def variant(self) -> str:
        """The name of the rules, as results are keyed."""
        return self.settings.ranking.preset if self.position else "no-position"

    def ratings(self) -> Ratings:
        """The ratings to pass, in time order, equal times in the order of a replay."""
        return time_order(self.dataset.ratings).take(slice(self.events))

    def own_settings(self) -> Settings:
        """The settings on the data set's scale, with lists as long as the measure looks."""
        scale = self.dataset.scale
        on_scale = {"item_ids": "integer", "scale_min": scale.minimum, "scale_max": scale.maximum}
        catalogue = self.settings.catalogue.model_copy(update=on_scale)
        ranking = self.settings.ranking.model_copy(update={"list_length": LIST_LENGTH})
        return self.settings.model_copy(update={"catalogue": catalogue, "ranking": ranking})

    def rules(self) -> RankingRules:
        """The ranking to evaluate."""
        rules = ranking_rules(self.own_settings())
        return rules if self.position else replace(rules, position_floor=1.0)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a plan, and how long it took."""

    dataset: str
    variant: str
    users: int
    items: int
    report: Report
    seconds: float

    def document(self) -> dict[str, Any]:
        """As JSON carries it; `se` are standard errors clustered by user."""
        return {
            "dataset": self.dataset,
            "events": self.report.events,
            "users": self.users,
            "items": self.items,
            "results": {self.variant: figures(self.report)},
            "seconds": round(self.seconds, 1),
        }


def figures(report: Report) -> dict[str, dict[str, float]]:
    """The measures of a report, rounded to five digits."""
    warm, liked, cold = report.warm, report.liked, report.cold
    return {
        "warm": {
            **_hits("hr10", warm),
            "ndcg10": round(warm.ndcg, 5),
            "n": warm.events,
            **_hits("hr10_liked", liked),
            "n_liked": liked.events,
        },
        "cold": {**_hits("hr10", cold), "n": cold.events},
    }


def _hits(name: str, found: HitRate) -> dict[str, float]:
    return {name: round(found.rate, 5), f"se_{name}": round(found.standard_error, 5)}


def run_evaluation(plan: EvaluationPlan, on_event: Callable[[int, int], None]) -> Evaluation:
    """Run a plan; `on_event` gets (events done, events in all).

    Raises:
        StoreError: the store failed.
    """
    ratings = plan.ratings()
    begun = time.monotonic()
    with _store(plan) as store:
        system = ServiceSystem(store, plan)
        report = evaluate(system, _events(ratings, plan), lambda found: on_event(found.events, len(ratings)))
    users, items = len(set(ratings.user.tolist())), len(set(ratings.item.tolist()))
    return Evaluation(plan.dataset.name, plan.variant, users, items, report, time.monotonic() - begun)


class ServiceSystem:
    """States and ranking over a store, driven one event at a time."""

    def __init__(self, store: Store, plan: EvaluationPlan) -> None:
        settings, rules = plan.own_settings(), plan.rules()
        limits = settings.limits
        state_rules = StateRules(rules.value, history_limits(settings), limits.own_cache_max_bytes)
        self._store = store
        self._states = UserStates(store, state_rules, writer="evaluation")
        self._recommender = Recommender(store, rules, limits.neighbour_cache_max_bytes)
        self._offset = 0
        while self._recommender.scan_slice(_SCAN_USERS):
            pass

    def recommend(self, user_id: str) -> Sequence[int]:
        """See `System.recommend`."""
        state = self._states.load([user_id], [])[user_id]
        return [item.item for item in self._recommender.recommend([(user_id, state)])[0].items]

    def learn(self, event: RatedEvent) -> None:
        """See `System.learn`."""
        user_id = event.user_id
        update = Update(_SOURCE, self._offset, user_id, Rate(event.item, event.rating, event.at_ms))
        states = self._states.load([user_id], [_SOURCE])
        transition = self._states.apply(states, {user_id: [update]}, {_SOURCE: self._offset})[user_id]
        self._recommender.changed(user_id, transition.before.history, transition.after.history)
        self._offset += 1
        if self._offset % FLUSH_EVERY_EVENTS == 0:
            self._store.flush()


@contextmanager
def _store(plan: EvaluationPlan) -> Iterator[Store]:
    settings = plan.own_settings()
    if plan.store == "memory":
        yield MemoryStore(store_settings(settings))
        return
    with tempfile.TemporaryDirectory(prefix="tastestream-evaluation-") as folder:
        store = EdgeStore(Path(folder), store_settings(settings), settings.qdrant.edge_disk_reserve_bytes)
        try:
            yield store
        finally:
            store.close()


def _events(ratings: Ratings, plan: EvaluationPlan) -> Iterator[RatedEvent]:
    slope, intercept = rating_scale(plan.own_settings()).five_star_affine()
    items = _dimensions(ratings.item).tolist()
    for (user, _, rating, at_ms), item in zip(ratings.rows(), items, strict=True):
        yield RatedEvent(str(user), item, rating, rating * slope + intercept, at_ms)


def _dimensions(items: NDArray[Any]) -> NDArray[np.int64]:
    """Items as dimensions: integers that fit are their own, all else is numbered."""
    if items.dtype == np.int64 and (not len(items) or (items.min() >= 0 and items.max() < _DIMENSIONS)):
        return items
    return np.unique(items.astype(str), return_inverse=True)[1].astype(np.int64)
