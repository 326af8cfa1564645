"""Prequential evaluation of presets and baselines on the ratings of a data set, in the order of a replay."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumers.factor_baseline import PureSvd
from consumers.factor_files import read_factors_once
from consumers.factor_system import factor_system
from consumers.factor_training import FactorError
from consumers.service_system import ServiceSystem, StoreKind, service_system
from consumers.settings import Settings
from consumers.settings_mapping import ranking_rules
from producers.replay import ReplayPlan
from producers.tables import Dataset, Ratings, time_order
from recommender.baselines import ItemKnn, Popularity, RecentPopularity
from recommender.catalogue import Catalogue, CatalogueItem
from recommender.evaluation import LIST_LENGTH, RatedEvent, System, evaluate
from recommender.factors import Factors
from recommender.measures import Report
from recommender.rules import PRESETS, RankingRules
from recommender.trend import HALF_LIVES_DAYS
from schemas.events import ProfileChanged

_DIMENSIONS = 2**32


def _recent(half_life_days: int, _events: int) -> System:
    return RecentPopularity(half_life_days)


VARIATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "default-no-position": ("default", {"position_floor": 1.0}),
    "default-no-trend": ("default", {"tuning_every_lists": 0}),
    "default-hybrid": ("default", {"content_weight": 0.3}),
    "default-factors": ("default", {"factors_weight": 0.3}),
    **{f"default-diversity-{share}": ("default", {"diversity": share}) for share in (0.1, 0.3, 0.5)},
}
"""Presets with a part changed or left out, to see what it is worth: of which, and the rules that differ."""
RANKINGS = (*PRESETS, *VARIATIONS)
"""Every ranking of ours, by name."""
BASELINES: dict[str, Callable[[int], System]] = {
    "popular": lambda _: Popularity(),
    **{f"popular-{days}d": partial(_recent, days) for days in HALF_LIVES_DAYS},
    "item-knn": ItemKnn,
    "pure-svd": PureSvd,
}
"""What others do, by name, for so many events."""


class Moments(NamedTuple):
    """Mean and standard deviation (n − 1) of ratings, on their own scale; 1 where they do not deviate."""

    mean: float
    deviation: float


def moments_of(ratings: Ratings) -> Moments:
    """Of all ratings, repeated ones included; there is at least one."""
    deviation = float(np.std(ratings.rating, ddof=1)) if len(ratings) > 1 else 0.0
    return Moments(float(np.mean(ratings.rating)), deviation or 1.0)


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What to evaluate: the first `events` ratings (None: all), by a ranking or a baseline, `batch_events` at a time.

    A ranking has the lengths and the standing filters that the settings name, and the scale of the data set, whose
    users have the attributes that it gives them. Factors that it weighs are those of the settings' file, and where they
    name none, made anew now and then of what was rated until then.
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
        """The settings with the ranking's preset, on the data set's scale, with lists as long as the measure looks.

        Where z-scores need the mean and deviation of all ratings and the settings have none, they are the data set's.
        """
        scale, moments = self.dataset.scale, moments_of(self.ratings())
        on_scale = {"item_ids": "integer", "scale_min": scale.minimum, "scale_max": scale.maximum}
        catalogue = self.settings.catalogue.model_copy(update=on_scale)
        preset = VARIATIONS[self.system][0] if self.system in VARIATIONS else self.system
        changes: dict[str, Any] = {"preset": preset, "list_length": LIST_LENGTH}
        if self.settings.ranking.global_mean is None:
            changes |= {"global_mean": moments.mean, "global_deviation": moments.deviation}
        ranking = self.settings.ranking.model_copy(update=changes)
        return self.settings.model_copy(update={"catalogue": catalogue, "ranking": ranking})

    def profiles(self) -> list[ProfileChanged]:
        """What the data set says of the users of these ratings, as a replay sends it."""
        return ReplayPlan(self.dataset, events=self.events).profile_events(self.ratings())

    def given_factors(self) -> Factors | None:
        """Those of the settings' file; None where they name none.

        Raises:
            FactorError: the file cannot be read, or cannot be about these items.
        """
        file = self.settings.ranking.factors_file
        if file is not None and self.dataset.ratings.item.dtype != np.int64:
            raise FactorError(
                f"{file} has factors of items by number, and the item ids of {self.dataset.name} are text: unset "
                "ranking.factors_file, then --preset default-factors has factors of its own"
            )
        return None if file is None else read_factors_once(file)

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
    profiles: int
    """Users of whom attributes are known."""
    items: int
    moments: Moments
    report: Report
    seconds: float


def run_evaluation(plan: EvaluationPlan, on_batch: Callable[[int, int], None]) -> Evaluation:
    """Run a plan; `on_batch` gets (events done, events in all).

    Raises:
        StoreError: the store failed.
        FactorError: factors are weighed, and there are none to be had.
    """
    ratings = plan.ratings()
    items = _dimensions(ratings.item)
    catalogue = _catalogue(plan.dataset, ratings, items)
    kinds = {item: frozenset(known.genres) for item, known in catalogue.items.items() if known.genres}
    profiles, begun = plan.profiles(), time.monotonic()
    with _system(plan, len(ratings), catalogue, profiles) as system:
        events = _events(ratings, items, plan)
        report = evaluate(system, events, lambda at: on_batch(at.events, len(ratings)), kinds, plan.batch_events)
    return Evaluation(
        dataset=plan.dataset.name,
        system=plan.system,
        batch_events=plan.batch_events,
        users=len(set(ratings.user.tolist())),
        profiles=len(profiles),
        items=len(np.unique(items)),
        moments=moments_of(ratings),
        report=report,
        seconds=time.monotonic() - begun,
    )


@contextmanager
def _system(
    plan: EvaluationPlan, events: int, catalogue: Catalogue, profiles: Sequence[ProfileChanged]
) -> Iterator[System]:
    if plan.system in BASELINES:
        yield BASELINES[plan.system](events)
        return
    settings, rules = plan.own_settings(), plan.rules()
    introduced = {one.user_id: one.attributes for one in profiles}

    @contextmanager
    def opened(factors: Factors | None) -> Iterator[ServiceSystem]:
        weighed = replace(rules, factors_weight=0.0) if factors is None else rules
        with service_system(settings, weighed, plan.store, catalogue, factors) as system:
            yield system

    if rules.factors_weight and (given := plan.given_factors()) is None:
        with factor_system(opened, rules.value, events) as trained:
            trained.service.introduce(introduced)
            yield trained
    else:
        with opened(given if rules.factors_weight else None) as system:
            system.introduce(introduced)
            yield system


def _events(ratings: Ratings, items: NDArray[np.int64], plan: EvaluationPlan) -> Iterator[RatedEvent]:
    slope, intercept = plan.dataset.scale.five_star_affine()
    for (user, _, rating, at_ms), item in zip(ratings.rows(), items.tolist(), strict=True):
        yield RatedEvent(str(user), item, rating, rating * slope + intercept, at_ms)


def _catalogue(dataset: Dataset, ratings: Ratings, items: NDArray[np.int64]) -> Catalogue:
    """What the data set says of the rated items, by dimension."""
    known = dict(zip(items.tolist(), ratings.item.tolist(), strict=True))
    catalogue = Catalogue(len(known))
    for dimension, item in known.items():
        if (told := dataset.items.get(item)) is not None:
            catalogue.put(dimension, CatalogueItem(told.title, told.genres, told.tags, told.year))
    return catalogue


def _dimensions(items: NDArray[Any]) -> NDArray[np.int64]:
    """Items as dimensions: integers that fit are their own, all else is numbered."""
    if items.dtype == np.int64 and (not len(items) or (items.min() >= 0 and items.max() < _DIMENSIONS)):
        return items
    return np.unique(items.astype(str), return_inverse=True)[1].astype(np.int64)
