"""The measures, against figures worked out by hand, and the baselines, against plain Python."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.baselines import (
    KNN_DAMPING,
    RECENT_HALF_LIFE,
    ItemKnn,
    Popularity,
    RecentPopularity,
)
from recommender.evaluation import Assessment, RatedEvent, Report, System, evaluate

DAY_MS = 86_400_000


def rated(user_id: str, item: int, rating: float = 4.0, day: float = 0) -> RatedEvent:
    return RatedEvent(user_id, item, rating, rating, int(day * DAY_MS))


class Fixed:
    """Always the same answer."""

    def __init__(self, shown: Sequence[int], predicted: float | None = None) -> None:
        self.answer = Assessment(shown, predicted)

    def assess(self, _user_id: str, _item: int) -> Assessment:
        return self.answer

    def learn(self, event: RatedEvent) -> None:
        pass


def measured(system: System, events: list[RatedEvent], kinds: dict[int, frozenset[str]] | None = None) -> Report:
    return evaluate(system, events, lambda _: None, kinds)


def test_rates_gains_and_ranks_are_those_of_the_places() -> None:
    """Hits at places 1 and 3 of 4 measured events; a first rating and a re-rating are not measured."""
    events = [rated("ann", item) for item in (99, 10, 30, 77, 78, 10)]
    cold = measured(Fixed([10, 20, 30]), events).cold
    assert (cold.events, cold.hits) == (4, 2)
    assert cold.ndcg == pytest.approx((1 + 1 / math.log2(4)) / 4)
    assert cold.mrr == pytest.approx((1 + 1 / 3) / 4)


def test_only_ten_places_count() -> None:
    """What stands eleventh is no hit."""
    events = [rated("ann", 0), rated("ann", 11), rated("ann", 10)]
    assert measured(Fixed(list(range(1, 12))), events).cold.hits == 1


def test_errors_are_against_the_given_rating() -> None:
    """3.5 predicted, 4 and 1.5 given: mean absolute error 1.25, root of the mean square √2.125."""
    events = [rated("ann", 0), rated("ann", 1, 4.0), rated("ann", 2, 1.5)]
    errors = measured(Fixed([], 3.5), events).errors
    assert errors.mae == pytest.approx(1.25)
    assert errors.rmse == pytest.approx(math.sqrt(2.125))


def test_variety_is_of_the_places_shown() -> None:
    """Two of three rated items shown; one has half of all ratings when first asked, and two thirds the next time."""
    events = [rated("ann", 1), rated("bob", 2), rated("ann", 3), rated("bob", 1)]
    kinds = {1: frozenset({"a", "b"}), 2: frozenset({"b", "c"})}
    variety = measured(Fixed([1, 2]), events, kinds).variety
    assert variety.coverage == pytest.approx(2 / 3)
    assert variety.novelty == pytest.approx((2 * math.log2(2) + 2 * math.log2(3)) / 4)
    assert variety.diversity == pytest.approx(1 - 1 / 3)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cat"]), st.integers(0, 7), st.integers(0, 40)), min_size=1, max_size=40
).map(lambda rows: [rated(user, item, day=day) for user, item, day in sorted(rows, key=lambda row: row[2])])


def first_ten(scores: dict[int, float], seen: set[int]) -> list[int]:
    open_ = {item: score for item, score in scores.items() if item not in seen and score > 0}
    return sorted(open_, key=lambda item: (-open_[item], item))[:10]


def after(system: System, events: list[RatedEvent]) -> System:
    for event in events:
        system.learn(event)
    return system


def seen_by(user_id: str, events: list[RatedEvent]) -> list[int]:
    """In the order of the last rating of each."""
    return list(dict.fromkeys(event.item for event in reversed(events) if event.user_id == user_id))[::-1]


@given(EVENTS)
def test_popular_is_the_number_of_ratings(events: list[RatedEvent]) -> None:
    """Of what the user has not rated, equal numbers by item."""
    counts = Counter(event.item for event in events)
    shown = after(Popularity(), events).assess("ann", 0).shown
    assert list(shown) == first_ten(dict(counts), set(seen_by("ann", events)))


@given(EVENTS)
@settings(max_examples=50)
def test_recently_popular_is_the_decayed_number(events: list[RatedEvent]) -> None:
    """Each rating halves every seven days: the order of the list is that of the sums."""
    scores: defaultdict[int, float] = defaultdict(float)
    for event in events:
        scores[event.item] += 0.5 ** ((events[-1].at_ms - event.at_ms) / (7 * DAY_MS))
    shown = after(RecentPopularity(7), events).assess("ann", 0).shown
    assert set(shown) == set(first_ten(scores, set(seen_by("ann", events))))
    found = [scores[item] for item in shown]
    assert found == pytest.approx(sorted(found, reverse=True))


@given(EVENTS)
@settings(max_examples=50)
def test_item_knn_is_cosine_over_co_ratings(events: list[RatedEvent]) -> None:
    """Retrained on every event, it scores by damped cosine to the user's items, the latest ones more."""
    users = {user: set(seen_by(user, events)) for user in ("ann", "bob", "cat")}
    raters = {item: {user for user, seen in users.items() if item in seen} for item in {e.item for e in events}}
    history = seen_by("ann", events)
    scores: dict[int, float] = {}
    for item, who in raters.items():
        for age, mine in enumerate(reversed(history)):
            together = len(who & raters[mine])
            if item != mine and together:
                cosine = together / (math.sqrt(len(who) * len(raters[mine])) + KNN_DAMPING)
                scores[item] = scores.get(item, 0.0) + cosine * 0.5 ** (age / RECENT_HALF_LIFE)
    shown = after(ItemKnn(1), events).assess("ann", 0).shown
    assert set(shown) == set(first_ten(scores, set(history)))
    found = [scores[item] for item in shown]
    assert found == pytest.approx(sorted(found, reverse=True))
