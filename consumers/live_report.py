"""Live evaluation in the worker: what it is fed, and when its figures are published.

Every batch is counted when its lists are made. The figures go to Prometheus and to the topic `metrics` from the same
moment on, in the transaction of the batch at hand, at most every `publish_interval_s`; after the last batch before a
silence in a transaction of their own.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from consumers.item_ids import Dimensions, dimension_of
from consumers.live_record import Reporter, reporter_of
from consumers.metric_names import StepName
from consumers.metrics import Metrics
from consumers.records import Record
from consumers.settings import Settings
from consumers.settings_mapping import ranking_rules
from consumers.shadow import Shadow
from consumers.user_states import Transition
from recommender.kinds import KindMasks
from recommender.listing import RankedList
from recommender.live import FirstRatings, LiveEvaluation, MadeList, Timings
from recommender.live_figures import LiveFigures, World, live_figures
from recommender.profile import UserState
from recommender.recommender import Recommender
from recommender.store import point_id
from schemas.decode import Decoded
from schemas.events import Rated
from schemas.messages import Message
from schemas.metrics import metrics_message

_STEPS: tuple[StepName, ...] = ("decode", "read", "write", "rank")


class LiveReport:
    """Takes what a batch changed and showed. `live` is soft state: losing it begins the windows anew.

    A `shadow` judges the same ratings; its lists are made once the batch is committed, so that none waits for them.
    """

    def __init__(
        self,
        live: LiveEvaluation,
        recommender: Recommender,
        reporter: Reporter,
        metrics: Metrics,
        monotonic_s: Callable[[], float] = time.monotonic,
        shadow: Shadow | None = None,
    ) -> None:
        self._live = live
        self._recommender = recommender
        self._world = World(recommender.index, recommender.catalogue)
        self._reporter = reporter
        self._metrics = metrics
        self._monotonic_s = monotonic_s
        self._shadow = shadow
        self._rated: list[FirstRatings] = []
        self._made: list[MadeList] = []
        self._published_s = monotonic_s()
        self._is_news = self._is_due = False

    def rated(
        self,
        firsts: Sequence[FirstRatings],
        events: Mapping[str, Sequence[tuple[Record, Decoded]]],
        transitions: Mapping[str, Transition],
        dimensions: Dimensions,
    ) -> None:
        """Users' histories changed by these events, by user id; `firsts`, in order, are their first ratings of items.

        They wait for `closed`: a store that goes away before the lists are made has the batch handled once more, and
        then these changes are no news.
        """
        if self._shadow is not None:
            self._shadow.changed(transitions)
        for first, (user_id, transition) in zip(firsts, transitions.items(), strict=True):
            if transition.after.user_id is None:
                self._live.forget(first.identity)
            elif len(first.items) and len((fresh := _live_ones(first, events[user_id], transition, dimensions)).items):
                self._rated.append(fresh)

    def ranked(self, users: Sequence[tuple[str, UserState]], lists: Sequence[RankedList]) -> None:
        """The batch at hand has these lists, for users with these states."""
        self._made = [
            MadeList(point_id(user_id), found.item, found.predicted_rating)
            for (user_id, _), found in zip(users, lists, strict=True)
        ]
        if self._shadow is not None:
            self._shadow.due = users

    def closed(self, now_ms: int) -> list[Message]:
        """Count the batch at hand, and see what is due."""
        for first in self._rated:
            self._live.judge(first)
            if self._shadow is not None:
                self._shadow.judge(first)
        timings = self._timings()
        for made in self._made:
            self._live.show(made, timings)
        self._rated, self._made, self._is_news = [], [], True
        return self.due(now_ms)

    def figures(self) -> LiveFigures:
        """The figures as of now."""
        return live_figures(self._live, self._world, self._recommender.statistics)

    def due(self, now_ms: int) -> list[Message]:
        """The records to publish now, if any are due; `committed` is told when they are out."""
        if not self._is_news or self._monotonic_s() - self._published_s < self._reporter.publish_interval_s:
            return []
        records = [self._reporter.record(self.figures(), now_ms)]
        self._metrics.live.show(records[0])
        self._metrics.cache_bytes("lists", self._live.held_bytes)
        if self._shadow is not None:
            records.append(self._shadow.record(self._live, now_ms))
        self._is_due = True
        topic, origin = self._reporter.topic, self._reporter.origin
        return [] if topic is None else [metrics_message(topic, origin, record) for record in records]

    def committed(self) -> None:
        """What was handed out last is committed."""
        if self._is_due:
            self._published_s = self._monotonic_s()
            self._is_news = self._is_due = False
        # What went out with the batch had not its shadow's lists yet.
        if self._shadow is not None and self._shadow.rank():
            self._is_news = True

    def forget_lists(self) -> None:
        """Other workers may have made newer lists, and may have forgotten users."""
        self._live.forget_all()
        if self._shadow is not None:
            self._shadow.forget_lists()

    def _timings(self) -> Timings:
        latest = self._metrics.latest
        return Timings(latest["search"], sum(latest[step] for step in _STEPS))


def live_report(
    settings: Settings,
    recommender: Recommender,
    metrics: Metrics,
    topic: str | None,
    shadow: Shadow | None = None,
) -> LiveReport | None:
    """Live evaluation as the settings ask for it, None where it is off; `topic` is where its figures go."""
    rules, evaluation = ranking_rules(settings), settings.evaluation
    if not evaluation.window_events:
        return None
    kinds = KindMasks(recommender.catalogue)
    live = LiveEvaluation(evaluation.window_events, evaluation.lists_max_bytes, rules, kinds)
    reporter = reporter_of(settings, topic, settings.ranking.preset, rules)
    return LiveReport(live, recommender, reporter, metrics, shadow=shadow)


def _live_ones(
    first: FirstRatings, events: Sequence[tuple[Record, Decoded]], transition: Transition, dimensions: Dimensions
) -> FirstRatings:
    """Those that were not committed before, nor are loaded history, of items that have not been seen, either."""
    if len(transition.before.seen):
        first = first.at(~np.isin(first.items, transition.before.seen))
    if any(record.replayed or record.is_loaded for record, _ in events):
        live = (decoded.event for record, decoded in events if not (record.replayed or record.is_loaded))
        rated = [event.item_id for event in live if isinstance(event, Rated)]
        fresh = [dimension_of(item_id, dimensions) for item_id in rated]
        first = first.at(np.isin(first.items, np.array(fresh, np.uint32)))
    return first
