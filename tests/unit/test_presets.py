"""The presets of the two articles, against what the articles compute, in plain Python over dictionaries."""

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recommender.catalogue import Catalogue, CatalogueItem
from recommender.listing import RankedList
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, HistoryLimits, Rate, Update, UserState, fold
from recommender.recommender import Recommender
from recommender.rules import PRESETS, RankingRules
from recommender.store import StateWrite, StoreSettings, UserWrite
from recommender.vector import ValueRule, user_vector

Population = dict[str, dict[int, tuple[float, int]]]
"""By user: rating and day by item."""

DAY_MS = 86_400_000
FIRST_DAY_MS = 1_262_304_000_000
ME = "me"
ARTICLE = replace(PRESETS["article"], value=replace(PRESETS["article"].value, centre=3.5, spread=1.04))
TUTORIAL = replace(PRESETS["tutorial"], idf=False)
WARM = replace(TUTORIAL, cold_popularity=0.0)
"""As for users with enough ratings, however few there are."""

RATINGS = st.tuples(st.integers(1, 10).map(lambda halves: halves / 2), st.integers(0, 4_000))
PROFILES = st.dictionaries(st.integers(1, 14), RATINGS, min_size=1, max_size=9)
POPULATIONS = st.dictionaries(st.sampled_from([ME, *"abcdefghijkl"]), PROFILES, min_size=2).filter(lambda p: ME in p)


def lists(population: Population, rules: RankingRules) -> dict[int, tuple[Any, int]]:
    """Score and support of what the recommender lists for me, what nobody voted for left out."""
    ranked = list_for_me(population, rules)
    rows = zip(ranked.item, ranked.score, ranked.support, strict=True)
    return {item: (score, support) for item, score, support in rows if support}


def list_for_me(population: Population, rules: RankingRules, catalogue: Catalogue | None = None) -> RankedList:
    store = MemoryStore(StoreSettings("integers", 0.5, 5.0, rules.value.fingerprint))
    states = {}
    for user_id, rated in population.items():
        updates = [
            Update("t:0", at, user_id, Rate(item, rating, FIRST_DAY_MS + day * DAY_MS))
            for at, (item, (rating, day)) in enumerate(rated.items())
        ]
        states[user_id] = state = fold(NEW_USER, updates, HistoryLimits())
        write_state(store, user_id, state, rules.value)
    recommender = Recommender(store, rules, 1_000_000, catalogue=catalogue)
    while recommender.scan_slice(100):
        pass
    (ranked,) = recommender.recommend([(ME, states.get(ME, NEW_USER))])
    return ranked


def write_state(store: MemoryStore, user_id: str, state: UserState, rule: ValueRule) -> None:
    write = UserWrite(user_id, replace(state, tag=1), user_vector(state.history, rule), frozenset(), missing=True)
    store.write(StateWrite({}, [write]))


def nearest(vectors: dict[str, dict[int, float]], number: int) -> list[tuple[str, float]]:
    """The users whose vectors have the greatest dot products with mine, all positive."""
    mine = vectors[ME]
    products = {
        user: math.fsum(mine[item] * value for item, value in vector.items() if item in mine)
        for user, vector in vectors.items()
        if user != ME and vector.keys() & mine.keys()
    }
    # A product that is nothing but rounding is a neighbour in one precision and none in another.
    assume(all(abs(product) > 1e-4 for product in products.values()))
    ranked = sorted(products.items(), key=lambda row: -row[1])
    return [(user, similarity) for user, similarity in ranked if similarity > 0][:number]


def centred(rated: dict[int, tuple[float, int]]) -> dict[int, float]:
    mean = math.fsum(rating for rating, _ in rated.values()) / len(rated)
    return {item: rating - mean for item, (rating, _) in rated.items()}


def tutorial_by_hand(population: Population) -> dict[int, tuple[float, int]]:
    """Centred ratings, pruned and faded, find 20 users; an item has the mean of similarity times centred rating."""
    today = max(day for rated in population.values() for _, day in rated.values())
    kept = {user: {i: v for i, v in centred(rated).items() if abs(v) >= 0.1} for user, rated in population.items()}
    faded = {
        user: {i: v * 0.95 ** ((today - population[user][i][1]) / 365) for i, v in values.items()}
        for user, values in kept.items()
    }
    votes = defaultdict(list)
    for user, similarity in nearest(faded, 20):
        for item, value in kept[user].items():
            if item not in population[ME]:
                votes[item].append(similarity * value)
    return {item: (sum(some) / len(some), len(some)) for item, some in votes.items()}


def article_by_hand(population: Population) -> dict[int, tuple[float, int]]:
    """Ratings as z-scores of all ratings find 20 users; an item has the sum of the similarities of who rated it."""
    scores = {user: {i: (r - 3.5) / 1.04 for i, (r, _) in rated.items()} for user, rated in population.items()}
    votes = defaultdict(list)
    for user, similarity in nearest(scores, 20):
        for item in population[user]:
            if item not in population[ME]:
                votes[item].append(similarity)
    return {item: (sum(some), len(some)) for item, some in votes.items()}


@given(POPULATIONS)
def test_the_tutorial_preset_is_what_its_article_computes(population: Population) -> None:
    """The first ten by score and confidence, with the article's own scores; among equal scores any order will do."""
    assert_first_ten(lists(population, WARM), tutorial_by_hand(population))


@given(POPULATIONS)
def test_the_article_preset_is_what_its_article_computes(population: Population) -> None:
    """The first ten by summed similarities, whether their raters liked them or not."""
    assert_first_ten(lists(population, ARTICLE), article_by_hand(population))


def assert_first_ten(ours: dict[int, tuple[Any, int]], by_hand: dict[int, tuple[float, int]]) -> None:
    assert len(ours) == min(10, len(by_hand))
    assert ours == {item: (pytest.approx(by_hand[item][0], rel=1e-4, abs=1e-6), by_hand[item][1]) for item in ours}
    best = sorted((score for score, _ in by_hand.values()), reverse=True)[: len(ours)]
    assert sorted((score for score, _ in ours.values()), reverse=True) == pytest.approx(best, rel=1e-4, abs=1e-6)


def test_a_small_tutorial_by_hand() -> None:
    """Two users who rated what I rated, all on one day, in numbers that a pencil can follow."""
    population: Population = {
        ME: {1: (5.0, 0), 2: (1.0, 0)},
        "a": {1: (5.0, 0), 2: (1.0, 0), 3: (4.5, 0), 4: (3.5, 0)},
        "b": {1: (4.0, 0), 3: (2.0, 0)},
    }
    # My values: 2, -2. a: mean 3.5, so 1.5, -2.5, 1, 0 (pruned): similarity 8. b: 1, -1: similarity 2.
    found = lists(population, WARM)
    assert found == {3: (pytest.approx((8 * 1.0 + 2 * -1.0) / 2), 2)}


CROWD: Population = {
    **{f"drama {n}": {7: (4.0, 0), 1: (5.0, 0)} for n in range(4)},
    **{f"war {n}": {8: (4.0, 0)} for n in range(2)},
    **{f"both {n}": {9: (4.0, 0)} for n in range(3)},
}
GENRES = Catalogue()
for _item, _genres in {1: ("Drama",), 2: ("War",), 7: ("Drama",), 8: ("War",), 9: ("Drama", "War")}.items():
    GENRES.put(_item, CatalogueItem(genres=_genres))


def test_a_cold_user_gets_what_is_popular_within_liked_genres() -> None:
    """Genres of what was rated above the own mean; whoever likes none of them in particular gets what is popular."""
    likes_war: Population = {**CROWD, ME: {1: (1.0, 0), 2: (5.0, 0)}}
    assert list_for_me(likes_war, TUTORIAL, GENRES).item[:2] == [9, 8]
    indifferent: Population = {**CROWD, ME: {2: (3.0, 0)}}
    assert list_for_me(indifferent, TUTORIAL, GENRES).item[:3] == [1, 7, 9]


def test_a_cold_list_is_three_tenths_popularity_and_seven_tenths_votes_and_has_five_items() -> None:
    """Both relative to their best: 7 is rated by four and nobody's vote, 5 has the only vote and two ratings."""
    population: Population = {
        "a": {1: (5.0, 0), 2: (1.0, 0), 5: (4.0, 0)},
        "b": {5: (4.0, 0)},
        **{f"c{n}": {7: (4.0, 0), 10 + n: (1.0, 0)} for n in range(4)},
        ME: {1: (5.0, 0), 2: (1.0, 0)},
    }
    ranked = list_for_me(population, TUTORIAL)
    assert ranked.item[:2] == [5, 7]
    assert ranked.score[:2] == pytest.approx([0.3 * 2 / 4 + 0.7, 0.3])
    assert len(ranked.item) == 5


def test_a_small_article_by_hand() -> None:
    """The similarities of all who rated an item are added up, also of who did not like it."""
    rules = replace(ARTICLE, value=replace(ARTICLE.value, centre=3.0, spread=2.0))
    population: Population = {
        ME: {1: (5.0, 0)},
        "a": {1: (5.0, 0), 3: (1.0, 0)},
        "b": {1: (4.0, 0), 3: (5.0, 0), 4: (5.0, 0)},
        "c": {1: (1.0, 0), 5: (5.0, 0)},
    }
    # My value is 1, theirs are 1, 1/2 and -1: c is no neighbour.
    assert lists(population, rules) == {3: (pytest.approx(1.5), 2), 4: (pytest.approx(0.5), 1)}
