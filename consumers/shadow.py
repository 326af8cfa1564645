"""The shadow: a second ranking over the same store and stream, whose lists are judged and never published.

It shares the states and the catalogue with the published ranking and keeps all else apart: what it tunes, what it
counts, its cache. It finds neighbours by its own vectors, which are written with the states; a user who has not rated
since the shadow began has none and is nobody's neighbour here, until a rebuild with the setting makes them.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from consumers.live_record import Reporter, reporter_of, rounded
from consumers.metric_names import StepName
from consumers.metrics import Metrics
from consumers.ranking_kernels import RankingKernels
from consumers.settings import Settings
from consumers.settings_mapping import shadow_plan
from consumers.user_states import Transition
from recommender.catalogue import Catalogue
from recommender.further_store import FurtherVectorStore
from recommender.kinds import KindMasks
from recommender.live import FirstRatings, LiveEvaluation, MadeList, Timings
from recommender.live_figures import World, live_figures
from recommender.pairing import paired
from recommender.profile import UserState
from recommender.recommender import Recommender
from recommender.store import Store, StoreUnavailableError, point_id
from schemas.metrics import LiveMetrics

_STEPS_BEFORE: tuple[StepName, ...] = ("decode", "read", "write", "shadow")

log = structlog.get_logger()


class Shadow:
    """Makes lists for the users who are `due`, and judges them by what is rated next; soft state throughout."""

    def __init__(
        self, recommender: Recommender, live: LiveEvaluation, reporter: Reporter, against: str, metrics: Metrics
    ) -> None:
        """`against` is the preset of the published lists."""
        self.recommender = recommender
        self.due: Sequence[tuple[str, UserState]] = ()
        self._live = live
        self._reporter = reporter
        self._against = against
        self._metrics = metrics
        self._world = World(recommender.index, recommender.catalogue)

    def changed(self, transitions: Mapping[str, Transition]) -> None:
        """Keep up with stored histories that changed, by user id."""
        self.recommender.changed([(user_id, t.before, t.after) for user_id, t in transitions.items()])
        for user_id, transition in transitions.items():
            if transition.after.user_id is None:
                self._live.forget(point_id(user_id))

    def judge(self, first: FirstRatings) -> None:
        """Count what a user rated, by the list that is held."""
        self._live.judge(first)

    def rank(self) -> bool:
        """Make the lists that are due. Where the store is away they are not made, and no older ones are judged.

        Returns:
            Whether the figures are others than before.
        """
        users, self.due = self.due, ()
        if not users:
            return False
        try:
            with self._metrics.timed("shadow"):
                lists = self.recommender.recommend(users)
        except StoreUnavailableError as error:
            for user_id, _ in users:
                self._live.forget(point_id(user_id))
            log.warning("lists of the shadow were not made", users=len(users), error=str(error))
            return True
        latest = self._metrics.latest
        timings = Timings(latest["shadow_search"], sum(latest[step] for step in _STEPS_BEFORE))
        for (user_id, _), found in zip(users, lists, strict=True):
            self._live.show(MadeList(point_id(user_id), found.item, found.predicted_rating), timings)
        return True

    def record(self, published: LiveEvaluation, now_ms: int) -> LiveMetrics:
        """The figures as of now, beside those of the published lists, as the wire has them; serves them, too."""
        found = live_figures(self._live, self._world, self.recommender.statistics)
        record, pairing = self._reporter.record(found, now_ms), paired(self._live, published)
        record["against"] = self._against
        record["paired_z"] = rounded(pairing.z)
        record["paired_ratings"] = pairing.ratings
        self._metrics.live.show_paired(record)
        self._metrics.cache_bytes("shadow", self.recommender.cache.size_bytes + self._live.held_bytes)
        return record

    def forget_lists(self) -> None:
        """Other workers may have made newer lists, and may have forgotten users."""
        self.due = ()
        self._live.forget_all()


def open_shadow(
    settings: Settings, store: Store, catalogue: Catalogue, metrics: Metrics, topic: str | None
) -> Shadow | None:
    """The shadow that the settings ask for, None without one; `topic` is where its figures go."""
    plan, evaluation = shadow_plan(settings), settings.evaluation
    if plan is None:
        return None
    searched = store if plan.vector is None else FurtherVectorStore(store, plan.vector)
    searching = partial(metrics.timed, "shadow_search")
    cache_max_bytes = evaluation.shadow_cache_max_bytes
    recommender = Recommender(searched, plan.rules, cache_max_bytes, RankingKernels(), catalogue, searching)
    live = LiveEvaluation(evaluation.window_events, evaluation.lists_max_bytes, plan.rules, KindMasks(catalogue))
    reporter = reporter_of(settings, topic, plan.preset, plan.rules)
    return Shadow(recommender, live, reporter, settings.ranking.preset, metrics)
