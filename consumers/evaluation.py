"""Prequential evaluation of the service's own path: state protocol, Edge store, caches and ranking, as a worker runs.

The data set's ratings pass in the order of a replay, one at a time; only Kafka is left out.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from consumers.ranking_kernels import RankingKernels
from consumers.settings import Settings
from consumers.settings_mapping import history_limits, ranking_rules, rating_scale, store_settings
from consumers.stores.edge import EdgeStore
from consumers.user_states import StateRules, UserStates
from producers.tables import Dataset, Ratings, time_order
from recommender.baselines import ItemKnn, Popularity, RecentPopularity
from recommender.evaluation import LIST_LENGTH, Assessment, HitRate, RatedEvent, Report, System, evaluate
from recommender.memory_store import MemoryStore
from recommender.profile import Rate, Update
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import Store
from recommender.trend import HALF_LIVES_DAYS

FLUSH_EVERY_EVENTS = 5_000
"""Without a flush the engine's write-ahead log would grow with every event."""
_SOURCE = "evaluation:0"
_SCAN_USERS = 500
_DIMENSIONS = 2**32

StoreKind = Literal["edge", "memory"]


def _recent(half_life_days: int, _events: int) -> System:
    return RecentPopularity(half_life_days)


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "no-position": {"position_floor": 1.0},
    "no-trend": {"tuning_every_lists": 0},
}
"""What each variant changes in the ranking's rules."""
BASELINES: dict[str, Callable[[int], System]] = {
    "popular": lambda _: Popularity(),
    **{f"popular-{days}d": partial(_recent, days) for days in HALF_LIVES_DAYS},
    "item-knn": ItemKnn,
}
"""What others do, by name, for so many events."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What to evaluate: the first `events` ratings (None: all), by a variant of the ranking or a baseline.

    The variant `default` is the ranking of the settings; others are that one without one of its parts.
    """

    dataset: Dataset
    settings: Settings
    events: int | None = None
    variant: str = "default"
    store: StoreKind = "edge"

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
        return replace(ranking_rules(self.own_settings()), **VARIANTS.get(self.variant, {}))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a plan, and how long it took."""

    dataset: str
    variant: str
    users: int
    items: int
    report: Report
    seconds: float


def document(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Evaluations of the same ratings as JSON carries them; `se` are standard errors clustered by user."""
    first = evaluations[0]
    return {
        "dataset": first.dataset,
        "events": first.report.events,
        "users": first.users,
        "items": first.items,
        "results": {evaluation.variant: figures(evaluation.report) for evaluation in evaluations},
        "seconds": round(sum(evaluation.seconds for evaluation in evaluations), 1),
    }


def figures(report: Report) -> dict[str, Any]:
    """The measures of a report, rounded to five digits; None where there is none."""
    warm, liked, cold = report.warm, report.liked, report.cold
    return {
        "warm": {
            **_hits("hr10", warm),
            "ndcg10": round(warm.ndcg, 5),
            "mrr10": round(warm.mrr, 5),
            "n": warm.events,
            **_hits("hr10_liked", liked),
            "n_liked": liked.events,
        },
        "cold": {**_hits("hr10", cold), "ndcg10": round(cold.ndcg, 5), "n": cold.events},
        "mae": _rounded(report.errors.mae),
        "rmse": _rounded(report.errors.rmse),
        "coverage": round(report.variety.coverage, 5),
        "diversity": _rounded(report.variety.diversity),
        "novelty": round(report.variety.novelty, 5),
    }


def _hits(name: str, found: HitRate) -> dict[str, float]:
    return {name: round(found.rate, 5), f"se_{name}": round(found.standard_error, 5)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def run_evaluation(plan: EvaluationPlan, on_event: Callable[[int, int], None]) -> Evaluation:
    """Run a plan; `on_event` gets (events done, events in all).

    Raises:
        StoreError: the store failed.
    """
    ratings = plan.ratings()
    items = _dimensions(ratings.item)
    begun = time.monotonic()
    with _system(plan, len(ratings)) as system:
        events = _events(ratings, items, plan)
        kinds = _kinds(plan.dataset, ratings, items)
        report = evaluate(system, events, lambda found: on_event(found.events, len(ratings)), kinds)
    users = len(set(ratings.user.tolist()))
    seconds = time.monotonic() - begun
    return Evaluation(plan.dataset.name, plan.variant, users, len(np.unique(items)), report, seconds)


@contextmanager
def _system(plan: EvaluationPlan, events: int) -> Iterator[System]:
    if plan.variant in BASELINES:
        yield BASELINES[plan.variant](events)
        return
    with _store(plan) as store:
        yield ServiceSystem(store, plan)


class ServiceSystem:
    """States and ranking over a store, driven one event at a time."""

    def __init__(self, store: Store, plan: EvaluationPlan) -> None:
        settings, rules = plan.own_settings(), plan.rules()
        limits = settings.limits
        state_rules = StateRules(rules.value, history_limits(settings), limits.own_cache_max_bytes)
        self._store = store
        self._states = UserStates(store, state_rules, writer="evaluation")
        self._recommender = Recommender(store, rules, limits.neighbour_cache_max_bytes, RankingKernels())
        self._offset = 0
        while self._recommender.scan_slice(_SCAN_USERS):
            pass

    def assess(self, user_id: str, item: int) -> Assessment:
        """See `System.assess`."""
        state = self._states.load([user_id], [])[user_id]
        ranked, predicted = self._recommender.assess(user_id, state, item)
        return Assessment(ranked.item, predicted)

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


def _events(ratings: Ratings, items: NDArray[np.int64], plan: EvaluationPlan) -> Iterator[RatedEvent]:
    slope, intercept = rating_scale(plan.own_settings()).five_star_affine()
    for (user, _, rating, at_ms), item in zip(ratings.rows(), items.tolist(), strict=True):
        yield RatedEvent(str(user), item, rating, rating * slope + intercept, at_ms)


def _kinds(dataset: Dataset, ratings: Ratings, items: NDArray[np.int64]) -> dict[int, frozenset[str]]:
    """The genres of each item that has any, by dimension."""
    known = {item: frozenset(card.genres) for item, card in dataset.items.items() if card.genres}
    pairs = zip(items.tolist(), ratings.item.tolist(), strict=True)
    return {dimension: known[item] for dimension, item in pairs if item in known}


def _dimensions(items: NDArray[Any]) -> NDArray[np.int64]:
    """Items as dimensions: integers that fit are their own, all else is numbered."""
    if items.dtype == np.int64 and (not len(items) or (items.min() >= 0 and items.max() < _DIMENSIONS)):
        return items
    return np.unique(items.astype(str), return_inverse=True)[1].astype(np.int64)
