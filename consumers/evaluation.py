"""Prequential evaluation of presets and baselines on the ratings of a data set, in the order of a replay."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumers.service_system import StoreKind, service_system
from consumers.settings import Settings
from consumers.settings_mapping import ranking_rules
from producers.tables import Dataset, Ratings, time_order
from recommender.baselines import ItemKnn, Popularity, RecentPopularity
from recommender.evaluation import LIST_LENGTH, RatedEvent, System, evaluate
from recommender.measures import Report
from recommender.rules import PRESETS, RankingRules
from recommender.trend import HALF_LIVES_DAYS

_DIMENSIONS = 2**32


def _recent(half_life_days: int, _events: int) -> System:
    return RecentPopularity(half_life_days)


VARIATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "default-no-position": ("default", {"position_floor": 1.0}),
    "default-no-trend": ("default", {"tuning_every_lists": 0}),
}
"""Presets with a part changed or left out, to see what it is worth: of which, and the rules that differ."""
RANKINGS = (*PRESETS, *VARIATIONS)
"""Every ranking of ours, by name."""
BASELINES: dict[str, Callable[[int], System]] = {
    "popular": lambda _: Popularity(),
    **{f"popular-{days}d": partial(_recent, days) for days in HALF_LIVES_DAYS},
    "item-knn": ItemKnn,
}
"""What others do, by name, for so many events."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What to evaluate: the first `events` ratings (None: all), by a ranking or a baseline, `batch_events` at a time.

    A ranking has the lengths that the settings name, and the scale of the data set.
    """

    dataset: Dataset
    settings: Settings
    events: int | None = None
    system: str = "default"
    store: StoreKind = "edge"
    batch_events: int = 1

    def ratings(self) -> Ratings:
        """The ratings to pass, in time order, equal times in the order of a replay."""
        return time_order(self.dataset.ratings).take(slice(self.events))

    def own_settings(self) -> Settings:
        """The settings with the ranking's preset, on the data set's scale, with lists as long as the measure looks."""
        scale = self.dataset.scale
        on_scale = {"item_ids": "integer", "scale_min": scale.minimum, "scale_max": scale.maximum}
        catalogue = self.settings.catalogue.model_copy(update=on_scale)
        preset = VARIATIONS[self.system][0] if self.system in VARIATIONS else self.system
        ranking = self.settings.ranking.model_copy(update={"preset": preset, "list_length": LIST_LENGTH})
        return self.settings.model_copy(update={"catalogue": catalogue, "ranking": ranking})

    def rules(self) -> RankingRules:
        """The ranking to evaluate."""
        rules = ranking_rules(self.own_settings())
        return replace(rules, **VARIATIONS[self.system][1]) if self.system in VARIATIONS else rules


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a plan, and how long it took."""

    dataset: str
    system: str
    batch_events: int
    users: int
    items: int
    report: Report
    seconds: float


def run_evaluation(plan: EvaluationPlan, on_batch: Callable[[int, int], None]) -> Evaluation:
    """Run a plan; `on_batch` gets (events done, events in all).

    Raises:
        StoreError: the store failed.
    """
    ratings = plan.ratings()
    items = _dimensions(ratings.item)
    begun = time.monotonic()
    with _system(plan, len(ratings)) as system:
        report = evaluate(
            system,
            _events(ratings, items, plan),
            lambda found: on_batch(found.events, len(ratings)),
            _kinds(plan.dataset, ratings, items),
            plan.batch_events,
        )
    seconds = time.monotonic() - begun
    users = len(set(ratings.user.tolist()))
    return Evaluation(plan.dataset.name, plan.system, plan.batch_events, users, len(np.unique(items)), report, seconds)


@contextmanager
def _system(plan: EvaluationPlan, events: int) -> Iterator[System]:
    if plan.system in BASELINES:
        yield BASELINES[plan.system](events)
        return
    with service_system(plan.own_settings(), plan.rules(), plan.store) as system:
        yield system


def _events(ratings: Ratings, items: NDArray[np.int64], plan: EvaluationPlan) -> Iterator[RatedEvent]:
    slope, intercept = plan.dataset.scale.five_star_affine()
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
