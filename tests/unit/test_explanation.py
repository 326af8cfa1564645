"""Explanations: every printed digit accounted for, and what is said of a rating is what ranking without it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.compiled import CompiledKernels
from recommender.explaining import WITHOUT_MAX, Explainer
from recommender.explanation import REASONS_MAX, SCORE_DIGITS, UNITS, Explanation, Without, apportioned
from recommender.item_index import ItemIndex
from recommender.kernels import Kernels, NumpyKernels
from recommender.listing import RankedList
from recommender.memory_store import MemoryStore
from recommender.neighbour_cache import NeighbourCache
from recommender.neighbourhood import Neighbourhood
from recommender.profile import NEW_USER, History, HistoryLimits, Rate, Update, UserState, fold
from recommender.question import Question
from recommender.recommender import Recommender
from recommender.rules import PRESETS, RankingRules
from recommender.store import StateWrite, StoreSettings, UserWrite, point_id
from recommender.tuning import Mix
from recommender.vector import query_vector, user_vector

pytestmark = pytest.mark.usefixtures("what_is_rounded_added_up_before")

Ratings = Sequence[tuple[int, float]]
Population = Mapping[str, Ratings]

MONTH_MS = 30 * 86_400_000
RULES = RankingRules(list_length=8, personal_min_ratings=3, personal_min_neighbours=2)
ALL_RULES = {
    "default": RULES,
    "without trend": replace(RULES, tuning_every_lists=0),
    "trend": replace(RULES, tuning_every_lists=1),
    "cold popularity": replace(RULES, cold_popularity=0.3, personal_min_ratings=6, cold_list_length=5),
    **{name: replace(PRESETS[name], list_length=8) for name in ("tutorial", "article")},
}
TREND = Mix(2, 0.4)
EVERYTHING = 100
ME = "me"


def store_of(population: Population, rules: RankingRules = RULES) -> MemoryStore:
    """A store of users with ratings a month apart."""
    store = MemoryStore(StoreSettings("integers", rules.scale_min, rules.scale_max, rules.value.fingerprint))
    for user_id, ratings in population.items():
        updates = [
            Update("t.0", at, user_id, Rate(item, rating, at * MONTH_MS)) for at, (item, rating) in enumerate(ratings)
        ]
        state = replace(fold(NEW_USER, updates, HistoryLimits()), tag=1)
        vector = user_vector(state.history, rules.value)
        store.write(StateWrite({}, [UserWrite(user_id, state, vector, frozenset(), missing=True)]))
    return store


def recommender_of(store: MemoryStore, rules: RankingRules = RULES, kernels: Kernels | None = None) -> Recommender:
    """A recommender that has counted everything; with the rules called trend, and these alone, it mixes trend in."""
    recommender = Recommender(store, rules, 1 << 20, kernels)
    if rules.tuning_every_lists == 1:
        recommender._lister.tuner.choice = lambda *_: TREND  # type: ignore[method-assign]
    while recommender.scan_slice(100):
        pass
    return recommender


def state_of(store: MemoryStore, user_id: str = ME) -> UserState:
    return store.read([user_id], []).states.get(user_id, NEW_USER)


def question_of(user_id: str, state: UserState) -> Question:
    return Question(state.history, state.seen, point_id(user_id))


def explained(store: MemoryStore, rules: RankingRules = RULES, user_id: str = ME) -> RankedList:
    recommender = recommender_of(store, rules)
    return Explainer(recommender, EVERYTHING).answer([question_of(user_id, state_of(store, user_id))])[0]


def readings(why: Explanation) -> tuple[int, int]:
    """What either reading of a score adds up to."""
    shared = why.trend + why.popularity
    neighbours = sum(reason.units for reason in why.neighbours) + why.other_neighbours.units
    ratings = sum(reason.units for reason in why.ratings) + why.other_ratings.units
    return neighbours + shared, ratings + shared


def printed(score: float) -> int:
    """A score as it is printed, in units of its last digit."""
    return int(Decimal(repr(round(score, SCORE_DIGITS))) * UNITS)


PROFILES = st.lists(
    st.tuples(st.integers(0, 13), st.integers(1, 10).map(lambda halves: halves / 2)),
    min_size=1,
    max_size=9,
    unique_by=lambda rating: rating[0],
)
POPULATIONS = st.dictionaries(st.sampled_from([ME, *(f"u{n}" for n in range(8))]), PROFILES, min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(-0.5, 0.5))
def test_rounding_loses_no_unit(amounts: list[float], off: float) -> None:
    """Law: whole numbers add up to the total, and each is less than two units from its amount."""
    total = round(sum(amounts) + off)
    units = apportioned(amounts, total)
    assert sum(units) == total
    assert all(abs(unit - amount) < 2 for unit, amount in zip(units, amounts, strict=True))


@pytest.mark.parametrize(
    ("amounts", "total", "units"),
    [
        ([1.6, 1.6, 0.8], 4, [2, 1, 1]),
        ([-1.5, 3.5], 2, [-1, 3]),
        ([2.9999999999, 1.0000000001], 4, [3, 1]),
        ([3.0, 2.0], 4, [3, 1]),
        ([0.0, 0.0], 0, [0, 0]),
        ([], 0, []),
    ],
)
def test_the_largest_remainder_is_rounded_up(amounts: list[float], total: int, units: list[int]) -> None:
    """Law: of equal remainders the earlier one wins; amounts that are a hair off cost no unit."""
    assert apportioned(amounts, total) == units


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POPULATIONS, st.sampled_from(sorted(ALL_RULES)))
def test_contributions_add_up_to_the_printed_score(population: Population, rules: str) -> None:
    """Law: both readings of every item of every list add up to its score, by every set of rules."""
    store = store_of(population, ALL_RULES[rules])
    for user_id in population:
        ranked = explained(store, ALL_RULES[rules], user_id)
        assert len(ranked.why) == len(ranked.item)
        for score, support, why in zip(ranked.score, ranked.support, ranked.why, strict=True):
            assert readings(why) == (printed(score), printed(score))
            assert len(why.neighbours) + why.other_neighbours.count == (support if ranked.tier != "popular" else 0)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POPULATIONS, st.sampled_from(["default", "trend"]))
def test_explaining_changes_no_list(population: Population, rules: str) -> None:
    """Law: lists with explanations are the lists without, also those made later, when the trend has been tuned."""
    store = store_of(population, ALL_RULES[rules])
    plain, asked = (recommender_of(store, ALL_RULES[rules]) for _ in range(2))
    explainer = Explainer(asked, 3)
    for user_id in [*population, *population]:
        state = state_of(store, user_id)
        expected = plain.recommend([(user_id, state)])
        assert [replace(ranked, why=()) for ranked in explainer.recommend([(user_id, state)])] == expected
        plain.changed([(user_id, NEW_USER, state)])
        explainer.changed([(user_id, NEW_USER, state)])
    assert plain._lister._lists == asked._lister._lists


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POPULATIONS, st.sampled_from(sorted(ALL_RULES)))
def test_without_a_rating_an_item_stands_where_a_user_without_it_finds_it(population: Population, rules: str) -> None:
    """Law: the place is that in the list of somebody who never rated the item, nor may be shown it; else below it."""
    store = store_of(population, ALL_RULES[rules])
    ranked, asked = explained(store, ALL_RULES[rules]), question_of(ME, state_of(store))
    for item, why in zip(ranked.item, ranked.why, strict=True):
        strongest = [reason.item for reason in why.ratings if reason.units > 0]
        assert [one.item for one in why.without] == strongest[:WITHOUT_MAX]
        for one in why.without:
            history = asked.history.at(asked.history.items != one.item)
            fewer = replace(asked, history=history, seen=np.array([one.item], np.uint32))
            (other,) = recommender_of(store, ALL_RULES[rules]).answer([fewer])
            if item in other.item:
                assert one.place == other.item.index(item) + 1
            else:
                assert one.place is None or one.place > len(other.item) == RULES.list_length


def test_a_place_below_the_list_is_told() -> None:
    """Law: an item that leaves the list for want of a rating still has its place further down."""
    others = {"b": [(2, 5.0), *((item, 4.0) for item in range(20, 30))], "c": [(1, 5.0), (2, 2.5), (9, 5.0)]}
    ranked = explained(store_of({"a": [(1, 5.0), (9, 5.0)], **others, ME: [(2, 5.0), (1, 5.0)]}))
    why = ranked.why[ranked.item.index(9)]
    assert why.without[0].item == 1
    assert (why.without[0].place or 0) > len(ranked.item)


def test_in_a_list_of_popularity_a_place_is_that_of_the_usual_length() -> None:
    """Law: where no neighbour is left, the place is the list's own: a longer one would mix the trend in otherwise."""
    early = {f"e{n}": [(1, 4.0), (2, 4.0)][: 2 if n < 3 else 1] for n in range(5)}
    late = {f"l{n}": [*((20 + 5 * n + at, 3.0) for at in range(5)), (3, 4.0)] for n in range(3)}
    rules = replace(ALL_RULES["trend"], list_length=2)
    store = store_of({**early, **late, "near": [(50, 5.0), (2, 5.0)], ME: [(50, 5.0)]}, rules)
    ranked = explained(store, rules)
    assert ranked.why[ranked.item.index(2)].without == (Without(50, 2),)


# Three neighbours, nearest first: all share item 1 with me, some item 2 too; item 9 comes from all, item 8 from one.
SMALL: Population = {
    "near": [(1, 5.0), (2, 5.0), (9, 5.0), (7, 1.0)],
    "half": [(1, 5.0), (9, 4.0), (6, 2.0)],
    "far": [(1, 4.0), (2, 1.0), (8, 5.0), (9, 2.0)],
    ME: [(3, 1.0), (1, 5.0), (2, 4.5)],
}


def test_a_small_example_by_hand() -> None:
    """Law: neighbours' parts are weight · vote · position; ratings' parts split these as q · v splits a similarity."""
    store = store_of(SMALL)
    ranked = explained(store, replace(RULES, tuning_every_lists=0))
    why = ranked.why[ranked.item.index(9)]
    mine = query_vector(state_of(store).history, RULES.value, RULES.query_events, RULES.query_half_life)
    assert mine is not None
    query = dict(zip(mine.indices.tolist(), mine.values.tolist(), strict=True))
    votes, behind = {}, {1: 0.0, 2: 0.0}
    sims = {}
    for name in ("near", "half", "far"):
        vector = user_vector(state_of(store, name).history, RULES.value)
        assert vector is not None
        values = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
        products = {item: query[item] * values[item] for item in (1, 2) if item in values}
        sims[name] = sum(products.values())
        rated = [item for item, _ in SMALL[name]]
        mean = sum(rating for _, rating in SMALL[name]) / len(rated)
        anchor = max(rated.index(item) for item in products)
        distance = abs(rated.index(9) - anchor)
        vote = dict(SMALL[name])[9] - mean + RULES.vote_offset
        votes[name] = (sims[name] / max(sims.values())) ** 3 * vote * (0.1 + 0.9 * 0.5 ** (distance / 10))
        for item, product in products.items():
            behind[item] += votes[name] * product / sims[name]
    total = sum(votes.values())
    assert ranked.item[0] == 9
    assert [reason.units for reason in why.neighbours] == pytest.approx(
        sorted((vote / total * UNITS for vote in votes.values()), reverse=True), abs=1.01
    )
    assert [reason.place for reason in why.neighbours] == [1, 2, 3]
    assert [reason.similarity for reason in why.neighbours] == pytest.approx([sims[n] for n in ("near", "half", "far")])
    assert {reason.item: reason.units for reason in why.ratings} == pytest.approx(
        {item: part / total * UNITS for item, part in behind.items()}, abs=1.01
    )
    assert {reason.item: (reason.rating, reason.neighbours) for reason in why.ratings} == {1: (5.0, 3), 2: (4.5, 2)}
    assert (why.trend, why.popularity) == (0, 0)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POPULATIONS)
def test_profiles_say_what_the_vectors_say(population: Population) -> None:
    """Law: values from profiles at hand are those from the histories, but for one factor per neighbour."""
    store, index = store_of(population), ItemIndex()
    hood = Neighbourhood(store, RULES, index, NeighbourCache(1 << 20))
    found = hood.nearest([question_of(ME, state_of(store))])[0].neighbours
    voters = hood.voters(hood.gathered([found])[0])
    if not found.ids:
        return
    quick, read = (hood.vectors(found, voters, whole=whole) for whole in (True, False))
    assert (quick.voter.tolist(), quick.items.tolist()) == (read.voter.tolist(), read.items.tolist())
    for voter in range(len(found.ids)):
        ours, theirs = (some.values[some.voter == voter] for some in (quick, read))
        assert ours * np.abs(theirs).sum() == pytest.approx(theirs * np.abs(ours).sum(), rel=1e-5, abs=1e-5)


def test_a_list_without_neighbours_is_popularity() -> None:
    """Law: nobody to name: the whole score is popularity, and no rating of mine stands behind it."""
    ranked = explained(store_of({"a": [(3, 5.0), (2, 1.0)], "b": [(3, 2.0)]}), user_id="nobody")
    assert [why.popularity for why in ranked.why] == [UNITS, UNITS // 2]
    assert all(not why.neighbours and not why.ratings and not why.without for why in ranked.why)


class ForgettingStore(MemoryStore):
    """Everybody's history is gone when it is read for the second time."""

    reads = 0

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        self.reads += 1
        return super().histories(ids) if self.reads == 1 else {}


def test_what_nobody_can_be_asked_about_any_more_is_summed_up() -> None:
    """Law: where neighbours' vectors are gone by now, no rating is named, and both readings add up all the same."""
    rules = replace(PRESETS["article"], list_length=8)
    store = ForgettingStore(store_of(SMALL, rules).settings)
    store._points = store_of(SMALL, rules)._points
    (ranked,) = Explainer(recommender_of(store, rules), EVERYTHING).answer([question_of(ME, state_of(store))])
    for score, why in zip(ranked.score, ranked.why, strict=True):
        assert (why.ratings, why.without, why.other_ratings.units) == ((), (), printed(score))
        assert readings(why) == (printed(score), printed(score))


def test_many_reasons_are_named_by_weight_and_the_rest_summed_up() -> None:
    """Law: at most so many are named, no unnamed one alone outweighs a named one, and both readings still add up."""
    crowd = {f"u{n}": [(n % 7, 5.0), ((n + 1) % 7, 4.0), (50, 5.0), (51 + n % 3, 1.0)] for n in range(30)}
    ranked = explained(store_of({**crowd, ME: [(item, 3.0 + item % 3) for item in range(7)]}))
    why = ranked.why[ranked.item.index(50)]
    assert (len(why.neighbours), why.other_neighbours.count) == (REASONS_MAX, 30 - REASONS_MAX)
    assert (len(why.ratings), why.other_ratings.count) == (REASONS_MAX, 7 - REASONS_MAX)
    sizes = [abs(reason.units) for reason in why.neighbours]
    assert sizes == sorted(sizes, reverse=True)
    assert abs(why.other_neighbours.units) <= why.other_neighbours.count * (sizes[-1] + 1)
    assert readings(why) == (UNITS, UNITS)


def test_kernels_explain_alike() -> None:
    """Law: which arithmetic ranked shows in no explanation."""
    store, answers = store_of(SMALL), []
    for kernels in (NumpyKernels(), CompiledKernels()):
        explainer = Explainer(recommender_of(store, RULES, kernels), EVERYTHING)
        answers.append(explainer.answer([question_of(ME, state_of(store))]))
    assert answers[0] == answers[1]


def test_only_the_first_so_many_are_explained() -> None:
    """Law: as many explanations as were asked for, from the top; none when none are."""
    store = store_of(SMALL)
    for items in (0, 1, 2):
        (ranked,) = Explainer(recommender_of(store), items).recommend([(ME, state_of(store))])
        assert len(ranked.why) == items
