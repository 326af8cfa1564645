"""The record that carries the figures of live evaluation."""

from dataclasses import dataclass

from consumers.settings import Settings
from recommender.live_figures import Hits, LiveFigures, Spread
from recommender.rules import RankingRules
from schemas.metrics import HitFigures, LiveMetrics, TimeFigures
from schemas.times import format_time

_DIGITS = 5
_MS_DIGITS = 3


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
            "judged_share": rounded(found.judged_share),
            "all": _hits(found.hits["all"]),
            "warm": _hits(found.hits["warm"]),
            "liked": _hits(found.hits["liked"]),
            "cold": _hits(found.hits["cold"]),
            "mae": rounded(found.mae),
            "rmse": rounded(found.rmse),
            "n_predicted": found.predicted,
            "lists": found.lists,
            "coverage": rounded(found.coverage),
            "diversity": rounded(found.diversity),
            "novelty": rounded(found.novelty),
            "search_ms": _times(found.search_s),
            "refresh_ms": _times(found.refresh_s),
            "users": found.users,
            "items": found.items,
            "user_coverage": rounded(found.user_coverage),
            "item_coverage": rounded(found.item_coverage),
            "vector_size": rounded(found.vector_size),
            "generated_at": format_time(now_ms),
        }


def reporter_of(settings: Settings, topic: str | None, preset: str, rules: RankingRules) -> Reporter:
    """Who reports the figures of a ranking of this worker."""
    return Reporter(
        topic,
        f"tastestream/{settings.group}",
        settings.group,
        settings.instance,
        preset,
        rules.label(preset),
        settings.evaluation.window_events,
        settings.evaluation.publish_interval_s,
    )


def _hits(found: Hits) -> HitFigures:
    return {
        "hr10": rounded(found.rate),
        "ndcg10": rounded(found.ndcg),
        "mrr10": rounded(found.mrr),
        "n": found.events,
    }


def _times(found: Spread | None) -> TimeFigures | None:
    if found is None:
        return None
    return {"p50": round(found.p50 * 1000, _MS_DIGITS), "p99": round(found.p99 * 1000, _MS_DIGITS)}


def rounded(value: float | None) -> float | None:
    """A figure in as many digits as a record has."""
    return None if value is None else round(value, _DIGITS)
