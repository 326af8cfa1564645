"""Neighbours by several ways: the combination by hand, what is said of it, and reasons that still add up."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from consumers.lists import ListWriter
from recommender.catalogue import Catalogue, CatalogueItem
from recommender.content import content_vector
from recommender.embedding import embeddings, further_vectors, stored_vectors
from recommender.explaining import Explainer
from recommender.explanation import SCORE_DIGITS, UNITS, Explanation
from recommender.factors import Factors
from recommender.memory_store import MemoryStore
from recommender.profile import EMPTY_HISTORY, NEW_USER, HistoryLimits, Rate, Update, UserState, fold
from recommender.question import Question
from recommender.recommender import Recommender
from recommender.rules import PRESETS, RankingRules
from recommender.searching import combined
from recommender.store import Neighbours, StateWrite, StoreSettings, UserWrite, point_id
from recommender.vector import DenseVector, user_vector

pytestmark = pytest.mark.usefixtures("what_is_rounded_added_up_before")

Ratings = Sequence[tuple[int, float]]
Population = Mapping[str, Ratings]

ME = "me"
ITEMS = 12
GENRES = ("Noir", "War", "Comedy")
RULES = RankingRules(list_length=8, neighbours=4, tuning_every_lists=0, personal_min_ratings=1)
WAYS = {
    "content": replace(RULES, content_weight=0.3),
    "factors": replace(RULES, factors_weight=0.4),
    "all": replace(RULES, content_weight=0.3, factors_weight=0.2),
    "factors alone": replace(RULES, factors_weight=1.0),
    "content, tutorial": replace(PRESETS["tutorial"], content_weight=0.3, list_length=8),
    "content, article": replace(PRESETS["article"], content_weight=0.3, list_length=8),
}
FACTORS = Factors(
    np.arange(0, ITEMS, 2, dtype=np.uint32), np.random.default_rng(3).standard_normal((ITEMS // 2, 3)).astype("f4")
)


def catalogue() -> Catalogue:
    """Items of one or two genres; of the last nothing is known."""
    made = Catalogue()
    for item in range(ITEMS - 1):
        genres = (GENRES[item % 3], *(GENRES[:1] if item % 4 == 0 else ()))
        made.put(item, CatalogueItem(genres=genres, year=1950 + item))
    return made


class System:
    """A store of users with the vectors that the rules ask for, and a recommender over it."""

    def __init__(self, population: Population, rules: RankingRules) -> None:
        further = further_vectors(rules, FACTORS)
        vector_name = rules.value.fingerprint
        self.store = MemoryStore(StoreSettings("integer", 0.5, 5.0, vector_name, idf=rules.idf, further=further))
        self.recommender = Recommender(self.store, rules, 1 << 20, catalogue=catalogue(), factors=FACTORS)
        for user_id, ratings in population.items():
            state = replace(state_of(user_id, ratings), tag=1)
            vector = user_vector(state.history, rules.value)
            beside = stored_vectors(self.recommender.embeddings, state.history)
            write = UserWrite(user_id, state, vector, frozenset(), missing=True, further=beside)
            self.store.write(StateWrite({}, [write]))
        while self.recommender.scan_slice(100):
            pass


def state_of(user_id: str, ratings: Ratings) -> UserState:
    updates = [Update("t.0", at, user_id, Rate(item, rating, at)) for at, (item, rating) in enumerate(ratings)]
    return fold(NEW_USER, updates, HistoryLimits())


def question_of(user_id: str, ratings: Ratings) -> Question:
    state = state_of(user_id, ratings)
    return Question(state.history, state.seen, point_id(user_id))


PROFILES = st.lists(
    st.tuples(st.integers(0, ITEMS - 1), st.integers(1, 10).map(lambda halves: halves / 2)),
    min_size=1,
    max_size=7,
    unique_by=lambda rating: rating[0],
)
OTHERS = st.dictionaries(st.sampled_from([f"u{n}" for n in range(7)]), PROFILES, min_size=1)
POPULATIONS = st.tuples(PROFILES, OTHERS).map(lambda some: {ME: some[0], **some[1]})


def dot(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(ours, theirs, strict=True))


def of_length_one(vector: list[float]) -> list[float] | None:
    length = math.sqrt(dot(vector, vector))
    return [value / length for value in vector] if length > 1e-9 else None


def values_by_hand(ratings: Ratings) -> dict[int, float]:
    """R − the user's mean + 1.5, over (Σ² + 10)^0.4."""
    mean = math.fsum(rating for _, rating in ratings) / len(ratings)
    values = {item: rating - mean + 1.5 for item, rating in ratings}
    return {item: value / (dot([*values.values()], [*values.values()]) + 10) ** 0.4 for item, value in values.items()}


def faded(number: int, half_life: float) -> list[float]:
    return [0.5 ** ((number - 1 - at) / half_life) if half_life else 1.0 for at in range(number)]


def ratings_by_hand(ratings: Ratings, half_life: float) -> list[float]:
    vector = [0.0] * ITEMS
    for (item, value), weight in zip(values_by_hand(ratings).items(), faded(len(ratings), half_life), strict=True):
        vector[item] = value * weight
    return vector


def content_by_hand(ratings: Ratings, half_life: float) -> list[float] | None:
    """The mean of what was rated, weighted by how far it stands above a star below the mean."""
    known, mean = catalogue(), math.fsum(rating for _, rating in ratings) / len(ratings)
    total = [0.0] * 128
    for (item, rating), weight in zip(ratings, faded(len(ratings), half_life), strict=True):
        told = known.get(item)
        vector = None if told is None else content_vector(told)
        if vector is not None:
            total = [a + max(0.0, rating - mean + 1) * weight * float(b) for a, b in zip(total, vector, strict=True)]
    return of_length_one(total)


def factors_by_hand(ratings: Ratings, half_life: float) -> list[float] | None:
    rows = dict(zip(FACTORS.items.tolist(), FACTORS.matrix.tolist(), strict=True))
    place = [0.0] * FACTORS.dimensions
    for (item, value), weight in zip(values_by_hand(ratings).items(), faded(len(ratings), half_life), strict=True):
        place = [a + weight * value * b for a, b in zip(place, rows.get(item, [0.0] * len(place)), strict=True)]
    return of_length_one(place)


def nearest_by_hand(population: Population, rules: RankingRules) -> dict[str, float]:
    """Every way finds its best; each gives its weight to its first, and less to the others in proportion."""
    ways = [
        (1 - rules.content_weight - rules.factors_weight, ratings_by_hand),
        (rules.content_weight, content_by_hand),
        (rules.factors_weight, factors_by_hand),
    ]
    total: dict[str, float] = {}
    for weight, vector_of in ways:
        mine = vector_of(population[ME], rules.query_half_life)
        vectors = {user: vector_of(ratings, 0.0) for user, ratings in population.items() if user != ME}
        near = {user: dot(mine, vector) for user, vector in vectors.items() if mine is not None and vector is not None}
        # What is nothing but rounding, or as near as another, may be found in one precision and not in the other.
        assume(all(abs(one) > 1e-5 for one in near.values() if one))
        assume(all(abs(a - b) > 1e-5 for a in near.values() for b in near.values() if a is not b and a > 0))
        best = sorted(((one, user) for user, one in near.items() if one > 0), reverse=True)[: rules.neighbours]
        for one, user in best if weight > 0 else ():
            total[user] = total.get(user, 0.0) + weight * one / best[0][0]
    assume(all(abs(a - b) > 1e-5 for a in total.values() for b in total.values() if a is not b))
    return dict(sorted(total.items(), key=lambda row: -row[1])[: rules.neighbours])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POPULATIONS, st.sampled_from(["content", "factors", "all", "factors alone"]))
def test_neighbours_are_those_of_the_combination_by_hand(population: Population, ways: str) -> None:
    """Law: similarity = Σ weight · similarity / the best of that way, of the K best of each; the K best of all stay."""
    expected = nearest_by_hand(population, WAYS[ways])
    recommender = System(population, WAYS[ways]).recommender
    ((found, _, parts),) = recommender.neighbours([question_of(ME, population[ME])])
    assert found.ids == [point_id(user) for user in expected]
    assert found.similarities == pytest.approx(list(expected.values()), abs=1e-4)
    given = np.zeros((0, 3)) if parts is None else parts
    assert given.sum(axis=1).tolist() == pytest.approx(found.similarities)


def test_a_tie_is_broken_by_the_point() -> None:
    """Law: of equal sums the lesser id comes first, whatever order the ways found them in; each once, at most K."""
    one, other = Neighbours([5, 3], [2.0, 1.0], [7, 8]), Neighbours([3, 5, 9], [4.0, 2.0, 1.0], [8, 7, 6])
    found = combined([(0, 0.5, one), (1, 0.5, other)], 2)
    assert (found.neighbours.ids, found.neighbours.similarities, found.neighbours.versions) == (
        [3, 5],
        [0.75] * 2,
        [8, 7],
    )


def readings(why: Explanation) -> tuple[int, int]:
    """What either reading of a score adds up to."""
    shared = why.trend + why.popularity
    neighbours = sum(reason.units for reason in why.neighbours) + why.other_neighbours.units
    ratings = sum(reason.units for reason in why.ratings) + why.other_ratings.units
    return neighbours + shared, ratings + shared


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(POPULATIONS, st.sampled_from(sorted(WAYS)), st.booleans())
def test_reasons_add_up_whatever_found_the_neighbours(population: Population, ways: str, wishing: bool) -> None:
    """Law: both readings of every item add up to its printed score; explaining changes no list."""
    system = System(population, WAYS[ways])
    wishes = content_vector(CatalogueItem(genres=("War",)))
    assert wishes is not None
    question = replace(question_of(ME, population[ME]), wishes=DenseVector(wishes) if wishing else None)
    (ranked,) = Explainer(system.recommender, 100).answer([question])
    for score, why in zip(ranked.score, ranked.why, strict=True):
        printed = int(Decimal(repr(round(score, SCORE_DIGITS))) * UNITS)
        assert readings(why) == (printed, printed)
    assert replace(ranked, why=()) == system.recommender.answer([question])[0]


# Nobody shares an item with me, but one likes what I like: items of one genre (0, 3, 6, 9), rated apart.
APART: Population = {ME: [(4, 5.0), (1, 5.0)], "alike": [(7, 5.0), (10, 5.0)], "unlike": [(2, 5.0), (5, 5.0)]}


def test_who_shares_no_item_is_found_by_content_and_the_own_ratings_stand_behind_it() -> None:
    """Law: the vote of a neighbour by content alone is divided among the ratings by what each adds to the likeness."""
    rules = replace(RULES, content_weight=0.3)
    (ranked,) = Explainer(System(APART, rules).recommender, 100).answer([question_of(ME, APART[ME])])
    assert ranked.item[0] in {7, 10}
    assert ranked.found_by[0] == ("content",)
    assert {reason.item for reason in ranked.why[0].ratings} == {1, 4}
    taste = content_by_hand(APART["alike"], 0.0)
    assert taste is not None
    parts = {}
    for (item, _), weight in zip(APART[ME], faded(2, rules.query_half_life), strict=True):
        known = catalogue().get(item)
        vector = None if known is None else content_vector(known)
        assert vector is not None
        parts[item] = weight * dot(vector.tolist(), taste)
    voted = sum(reason.units for reason in ranked.why[0].ratings)
    shares = {reason.item: reason.units / voted for reason in ranked.why[0].ratings}
    assert shares == pytest.approx({item: part / sum(parts.values()) for item, part in parts.items()}, abs=0.02)


def test_wishes_stand_in_place_of_the_taste() -> None:
    """Law: with wishes, and nobody known, neighbours are those who like such items; no rating stands behind them."""
    system = System(APART, replace(RULES, content_weight=0.3))
    wishes = content_vector(CatalogueItem(genres=("Comedy",)))
    assert wishes is not None
    nobody = Question(EMPTY_HISTORY, wishes=DenseVector(wishes))
    (ranked,) = Explainer(system.recommender, 1).answer([nobody])
    assert ranked.item[0] in {2, 5}
    assert (ranked.why[0].ratings, ranked.why[0].other_ratings.units) == ((), UNITS)
    assert system.recommender.answer([replace(nobody, wishes=None)])[0].tier == "popular"


def test_items_say_by_what_their_voters_were_found() -> None:
    """Law: the type names the search, the source the vectors; what nobody voted for has neither, nor has any if off."""
    population = {**APART, "same": [(1, 5.0), (8, 5.0)]}
    question, told = question_of(ME, APART[ME]), {}
    for name, rules in {"on": WAYS["all"], "off": RULES}.items():
        (ranked,) = System(population, rules).recommender.answer([question])
        items = ListWriter("lists", "test", "x", 1).items(ranked)
        told[name] = {item["item_id"]: (item.get("type"), item.get("source")) for item in items}
    assert told["on"][7][0] == "content" or told["on"][7] == ("both", ["content", "factors"])
    assert told["on"][8] == ("both", ["ratings", "content", "factors"])
    assert all(words == (None, None) for words in told["off"].values())


def test_weights_that_need_factors_need_factors() -> None:
    """Law: no store is asked for a vector that nobody can make."""
    store = MemoryStore(StoreSettings("integer", 0.5, 5.0, RULES.value.fingerprint))
    with pytest.raises(ValueError, match="factors"):
        Recommender(store, WAYS["factors"], 0)
    with pytest.raises(ValueError, match="factors"):
        further_vectors(WAYS["factors"], None)


def test_vectors_are_named_by_what_they_mean() -> None:
    """Law: what the store has is what states are written with; another scale makes another content vector."""
    recommender = System({}, WAYS["all"]).recommender
    declared = further_vectors(WAYS["all"], FACTORS)
    assert {one.name for one in recommender.embeddings} == set(declared)
    other = replace(WAYS["all"], value=replace(RULES.value, slope=0.5))
    assert set(declared) & set(further_vectors(other, FACTORS)) == {FACTORS.fingerprint}
    assert embeddings(RULES, recommender._lister.content, recommender.index, FACTORS) == ()
