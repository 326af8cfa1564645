"""Live evaluation in the worker: what it is fed, when its figures are published, and the record that carries them.

Every batch is counted when its lists are made. The figures go to Prometheus and to the topic `metrics` from the same
moment on, in the transaction of the batch at hand, at most every `publish_interval_s`; after the last batch before a
silence in a transaction of their own.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from consumers.item_ids import Dimensions, dimension_of
from consumers.metric_names import StepName
from consumers.metrics import Metrics
from consumers.records import Record
from consumers.settings import Settings
from consumers.settings_mapping import ranking_rules
from consumers.user_states import Transition
from recommender.kinds import KindMasks
from recommender.listing import RankedList
from recommender.live import FirstRatings, LiveEvaluation, MadeList, Timings
from recommender.live_figures import Hits, LiveFigures, Spread, World, live_figures
from recommender.recommender import Recommender
from recommender.store import point_id
from schemas.decode import Decoded
from schemas.events import Rated
from schemas.messages import Message
from schemas.metrics import HitFigures, LiveMetrics, TimeFigures, metrics_message
from schemas.times import format_time

_DIGITS = 5
_MS_DIGITS = 3
_STEPS: tuple[StepName, ...] = ("decode", "read", "write", "rank")


@dataclass(frozen=True, slots=True)
class Reporter:
    """Whose figures they are, and where they go; a topic of None: to Prometheus alone."""

    topic: str | None
    origin: str
    group: str
    instance: str
    preset: str
    ranking: str
    window_events: int
    publish_interval_s: float

    def record(self, found: LiveFigures, now_ms: int) -> LiveMetrics:
        """The figures as the wire has them."""
        return {
            "schema": 1,
            "group": self.group,
            "instance": self.instance,
            "preset": self.preset,
            "ranking": self.ranking,
            "window_events": self.window_events,
            "ratings": found.ratings,
            "judged_share": _rounded(found.judged_share),
            "all": _hits(found.hits["all"]),
            "warm": _hits(found.hits["warm"]),
            "liked": _hits(found.hits["liked"]),
            "cold": _hits(found.hits["cold"]),
            "mae": _rounded(found.mae),
            "rmse": _rounded(found.rmse),
            "n_predicted": found.predicted,
            "lists": found.lists,
            "coverage": _rounded(found.coverage),
            "diversity": _rounded(found.diversity),
            "novelty": _rounded(found.novelty),
            "search_ms": _times(found.search_s),
            "refresh_ms": _times(found.refresh_s),
            "users": found.users,
            "items": found.items,
            "user_coverage": _rounded(found.user_coverage),
            "item_coverage": _rounded(found.item_coverage),
            "vector_size": _rounded(found.vector_size),
            "generated_at": format_time(now_ms),
        }


class LiveReport:
    """Takes what a batch changed and showed. `live` is soft state: losing it begins the windows anew."""

    def __init__(
        self,
        live: LiveEvaluation,
        recommender: Recommender,
        reporter: Reporter,
        metrics: Metrics,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._recommender = recommender
        self._world = World(recommender.index, recommender.catalogue)
        self._reporter = reporter
        self._metrics = metrics
        self._monotonic_s = monotonic_s
        self._rated: list[FirstRatings] = []
        self._made: list[MadeList] = []
        self._published_s = monotonic_s()
        self._is_news = self._is_due = False

    def rated(
        self,
        first: FirstRatings,
        events: Iterable[tuple[Record, Decoded]],
        transition: Transition,
        dimensions: Dimensions,
    ) -> None:
        """A user's history changed by these events; `first` are the first ratings among what came to it.

        They wait for `closed`: a store that goes away before the lists are made has the batch handled once more, and
        then these changes are no news.
        """
        if transition.after.user_id is None:
            self._live.forget(first.identity)
            return
        if len(first.items):
            first = _live_ones(first, events, transition, dimensions)
        if len(first.items):
            self._rated.append(first)

    def ranked(self, user_ids: Sequence[str], lists: Sequence[RankedList]) -> None:
        """The batch at hand has these lists."""
        self._made = [
            MadeList(point_id(user_id), found.item, found.predicted_rating)
            for user_id, found in zip(user_ids, lists, strict=True)
        ]

    def closed(self, now_ms: int) -> list[Message]:
        """Count the batch at hand, and see what is due."""
        for first in self._rated:
            self._live.judge(first)
        timings = self._timings()
        for made in self._made:
            self._live.show(made, timings)
        self._rated, self._made, self._is_news = [], [], True
        return self.due(now_ms)

    def figures(self) -> LiveFigures:
        """The figures as of now."""
        return live_figures(self._live, self._world, self._recommender.statistics)

    def due(self, now_ms: int) -> list[Message]:
        """The record to publish now, if one is due; `committed` is told when it is out."""
        if not self._is_news or self._monotonic_s() - self._published_s < self._reporter.publish_interval_s:
            return []
        record = self._reporter.record(self.figures(), now_ms)
        self._metrics.live.show(record)
        self._metrics.cache_bytes("lists", self._live.held_bytes)
        self._is_due = True
        topic = self._reporter.topic
        return [] if topic is None else [metrics_message(topic, self._reporter.origin, record)]

    def committed(self) -> None:
        """What was handed out last is committed."""
        if self._is_due:
            self._published_s = self._monotonic_s()
            self._is_news = self._is_due = False

    def forget_lists(self) -> None:
        """Other workers may have made newer lists, and may have forgotten users."""
        self._live.forget_all()

    def _timings(self) -> Timings:
        latest = self._metrics.latest
        return Timings(latest["search"], sum(latest[step] for step in _STEPS))


def live_report(settings: Settings, recommender: Recommender, metrics: Metrics, topic: str | None) -> LiveReport | None:
    """Live evaluation as the settings ask for it, None where it is off; `topic` is where its figures go."""
    rules, evaluation = ranking_rules(settings), settings.evaluation
    if not evaluation.window_events:
        return None
    kinds = KindMasks(recommender.catalogue)
    return LiveReport(
        LiveEvaluation(evaluation.window_events, evaluation.lists_max_bytes, rules, kinds),
        recommender,
        Reporter(
            topic,
            f"tastestream/{settings.group}",
            settings.group,
            settings.instance,
            settings.ranking.preset,
            rules.label(settings.ranking.preset),
            evaluation.window_events,
            evaluation.publish_interval_s,
        ),
        metrics,
    )


def _live_ones(
    first: FirstRatings, events: Iterable[tuple[Record, Decoded]], transition: Transition, dimensions: Dimensions
) -> FirstRatings:
    """Those that were not committed before, of items that have not been seen, either."""
    if len(transition.before.seen):
        first = first.at(~np.isin(first.items, transition.before.seen))
    if any(record.replayed for record, _ in events):
        rated = [d.event.item_id for r, d in events if not r.replayed and isinstance(d.event, Rated)]
        fresh = [dimension_of(item_id, dimensions) for item_id in rated]
        first = first.at(np.isin(first.items, np.array(fresh, np.uint32)))
    return first


def _hits(found: Hits) -> HitFigures:
    return {
        "hr10": _rounded(found.rate),
        "ndcg10": _rounded(found.ndcg),
        "mrr10": _rounded(found.mrr),
        "n": found.events,
    }


def _times(found: Spread | None) -> TimeFigures | None:
    if found is None:
        return None
    return {"p50": round(found.p50 * 1000, _MS_DIGITS), "p99": round(found.p99 * 1000, _MS_DIGITS)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
