"""What the log says of standing filters that nobody can meet, and when."""

from dataclasses import dataclass

from structlog.testing import capture_logs

from consumers.filter_notice import LOOK_EVERY_S, FilterNotice
from recommender.catalogue import CatalogueItem
from recommender.item_filters import ItemFilter
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, AttributeValue, HistoryLimits, Rate, SetAttributes, Update, UserState, fold
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.standing_filters import StandingFilters
from recommender.store import StoreSettings

FILTERS = StandingFilters(near=(("agee", 10),), same=("gender",), items=ItemFilter(genres=("Commedy",)))


@dataclass
class Clock:
    now_s: float = 5.0

    def __call__(self) -> float:
        return self.now_s


def rated_by(user_id: str, attributes: dict[str, AttributeValue]) -> UserState:
    updates = [Update("t:0", 0, user_id, Rate(1, 4.0, 0)), Update("t:0", 1, user_id, SetAttributes(attributes))]
    return fold(NEW_USER, updates, HistoryLimits())


def said(notice: FilterNotice) -> list[str]:
    """What one look says, up to the colon."""
    with capture_logs() as lines:
        notice.look()
    return [str(line["why"]).partition(":")[0] for line in lines]


def test_what_is_missing_is_said_once_when_somebody_has_rated() -> None:
    """Not of an empty store; then all that is missing; later, at an interval's distance, what is missing newly."""
    rules = RankingRules()
    store = MemoryStore(StoreSettings("integers", 0.5, 5.0, rules.value.fingerprint))
    recommender, clock = Recommender(store, rules, 1 << 20), Clock()
    notice = FilterNotice(FILTERS, recommender, clock)
    recommender.scan_slice(100)
    recommender.catalogue.put(1, CatalogueItem(genres=("Comedy",)))
    assert said(notice) == []
    recommender.changed([("a", NEW_USER, rated_by("a", {"gender": "F"}))])
    assert said(notice) == ["no user has the attribute 'agee'", "no item has the genre 'Commedy'"]
    recommender.catalogue.put(1, CatalogueItem(genres=("Commedy",)))
    clock.now_s += LOOK_EVERY_S
    assert said(notice) == []
    recommender.catalogue.remove(1)
    clock.now_s += LOOK_EVERY_S / 2
    assert said(notice) == []


def test_filters_that_somebody_meets_are_not_mentioned() -> None:
    """Without filters, and with those of which nothing is missing, nothing is said."""
    rules = RankingRules()
    store = MemoryStore(StoreSettings("integers", 0.5, 5.0, rules.value.fingerprint))
    recommender = Recommender(store, rules, 1 << 20)
    recommender.scan_slice(100)
    recommender.changed([("a", NEW_USER, rated_by("a", {"age": 30}))])
    for filters in (StandingFilters(), StandingFilters(near=(("age", 10),), min_ratings=99)):
        assert said(FilterNotice(filters, recommender)) == []
