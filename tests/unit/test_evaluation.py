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
from recommender.evaluation import Assessment, RatedEvent, System, evaluate
from recommender.measures import ClusteredMean, PredictionError, Report, paired_z

DAY_MS = 86_400_000


def rated(user_id: str, item: int, rating: float = 4.0, day: float = 0) -> RatedEvent:
    return RatedEvent(user_id, item, rating, rating, int(day * DAY_MS))


class Fixed:
    """Always the same answer."""

    def __init__(self, shown: Sequence[int], predicted: float | None = None) -> None:
        self.answer = Assessment(shown, predicted)

    def assess(self, _user_id: str, _item: int) -> Assessment:
        return self.answer

    def learn(self, events: Sequence[RatedEvent]) -> None:
        pass


class Known:
    """Shows each item that anybody has rated, the latest first."""

    def __init__(self) -> None:
        self._items: list[int] = []

    def assess(self, _user_id: str, _item: int) -> Assessment:
        return Assessment(self._items[::-1])

    def learn(self, events: Sequence[RatedEvent]) -> None:
        self._items += [event.item for event in events]


def measured(system: System, events: list[RatedEvent], kinds: dict[int, frozenset[str]] | None = None) -> Report:
    return evaluate(system, events, lambda _: None, kinds)


def test_rates_gains_and_ranks_are_those_of_the_places() -> None:
    """Hits at places 1 and 3 of 4 measured events; a first rating and a re-rating are not measured."""
    events = [rated("ann", item) for item in (99, 10, 30, 77, 78, 10)]
    cold = measured(Fixed([10, 20, 30]), events).cold
    assert (cold.events, cold.hit.total) == (4, 2)
    assert cold.gain.mean == pytest.approx((1 + 1 / math.log2(4)) / 4)
    assert cold.reciprocal.mean == pytest.approx((1 + 1 / 3) / 4)


def test_only_ten_places_count() -> None:
    """What stands eleventh is no hit."""
    events = [rated("ann", 0), rated("ann", 11), rated("ann", 10)]
    assert measured(Fixed(list(range(1, 12))), events).cold.hit.total == 1


def test_errors_are_against_the_given_rating() -> None:
    """3.5 predicted, 4 and 1.5 given: mean absolute error 1.25, root of the mean square √2.125."""
    events = [rated("ann", 0), rated("ann", 1, 4.0), rated("ann", 2, 1.5)]
    errors = measured(Fixed([], 3.5), events).errors
    assert errors.absolute.mean == pytest.approx(1.25)
    assert errors.rmse == pytest.approx(math.sqrt(2.125))


def test_variety_is_of_the_places_shown() -> None:
    """Two of three rated items shown; one has half of all ratings when first asked, and two thirds the next time."""
    events = [rated("ann", 1), rated("bob", 2), rated("ann", 3), rated("bob", 1)]
    kinds = {1: frozenset({"a", "b"}), 2: frozenset({"b", "c"})}
    variety = measured(Fixed([1, 2]), events, kinds).variety
    assert variety.coverage == pytest.approx(2 / 3)
    assert variety.novelty.mean == pytest.approx((2 * math.log2(2) + 2 * math.log2(3)) / 4)
    assert variety.diversity.mean == pytest.approx(1 - 1 / 3)


def test_standard_errors_are_of_users_not_of_events() -> None:
    """Two users, who hit 3 of 4 and 1 of 6: rate .4, residuals 1.4 and −1.4, so √(2 · (1.4² + 1.4²)) / 10 = .28."""
    mean = ClusteredMean()
    for hit in (1, 1, 1, 0):
        mean.add("ann", hit)
    mean.add("bob", 1, 6)
    assert (mean.mean, mean.count) == (0.4, 10)
    assert mean.standard_error == pytest.approx(0.28)


def test_one_user_or_none_tell_no_standard_error() -> None:
    """It is 0 of one user; without values there is no mean; whoever gave none is no user."""
    mean = ClusteredMean()
    assert (mean.mean, mean.standard_error) == (None, 0.0)
    mean.add("ann", 2.5)
    mean.add("bob", 0.0, 0)
    assert (mean.mean, mean.standard_error) == (2.5, 0.0)


def test_the_error_of_a_root_is_that_of_its_square_halved_and_divided() -> None:
    """Errors of 1 and 3, one a user: mean square 5, its standard error 4, the root's 4 / (2√5)."""
    errors = PredictionError()
    errors.add("ann", 3.0, 4.0)
    errors.add("bob", 1.0, 4.0)
    assert errors.squared.standard_error == pytest.approx(4.0)
    assert errors.rmse_standard_error == pytest.approx(4 / (2 * math.sqrt(5)))


def hitting(*hits: int) -> Report:
    report = Report()
    for at_ms, hit in enumerate(hits):
        report.add_warm("ann", 0 if hit else None, at_ms)
    return report


def test_pairs_are_compared_where_they_differ() -> None:
    """Three events that only the one hit against one that only the other did: z = 2 / √4; the other way round −1."""
    one, other = hitting(1, 1, 1, 0, 1, 0), hitting(0, 0, 0, 1, 1, 0)
    assert (paired_z(one, other), paired_z(other, one)) == (1.0, -1.0)
    assert paired_z(one, one) is None
    with pytest.raises(ValueError, match="shorter"):
        paired_z(one, hitting(1))


def test_the_warm_events_are_kept_one_by_one() -> None:
    """Each with its time and whether it was hit, in order; they add up to the rate."""
    events = [rated("ann", item, day=item) for item in range(9)]
    report = measured(Fixed([6, 8]), events)
    assert list(report.warm_hits) == [0, 1, 0, 1]
    assert list(report.warm_at_ms) == [day * DAY_MS for day in (5, 6, 7, 8)]
    assert report.warm.rate == 0.5


def test_lists_of_a_batch_are_from_before_it() -> None:
    """What is learnt in one batch is asked for only in the next: of four events by two users the last two are hit."""
    events = [rated("ann", 1), rated("bob", 2), rated("ann", 2), rated("bob", 1)]
    told: list[int] = []

    def hits(batch_events: int) -> float:
        return evaluate(Known(), events, lambda report: told.append(report.events), None, batch_events).cold.hit.total

    assert (hits(1), hits(2), hits(3), hits(4)) == (2, 2, 1, 0)
    assert told == [1, 2, 3, 4, 2, 4, 3, 4, 4]


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cat"]), st.integers(0, 7), st.integers(0, 40)), min_size=1, max_size=40
).map(lambda rows: [rated(user, item, day=day) for user, item, day in sorted(rows, key=lambda row: row[2])])


def first_ten(scores: dict[int, float], seen: set[int]) -> list[int]:
    open_ = {item: score for item, score in scores.items() if item not in seen and score > 0}
    return sorted(open_, key=lambda item: (-open_[item], item))[:10]


def after(system: System, events: list[RatedEvent]) -> System:
    system.learn(events)
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


@given(EVENTS, st.integers(1, 50))
def test_batches_do_not_change_what_is_measured(events: list[RatedEvent], batch_events: int) -> None:
    """The same events count as warm, liked and cold, and a fixed list has the same hits, however batches are cut."""
    one_by_one = measured(Fixed([1, 2, 3], 3.0), events)
    cut = evaluate(Fixed([1, 2, 3], 3.0), events, lambda _: None, None, batch_events)
    for measure in ("warm", "liked", "cold", "errors", "events", "warm_hits", "warm_at_ms"):
        assert getattr(cut, measure) == getattr(one_by_one, measure)
