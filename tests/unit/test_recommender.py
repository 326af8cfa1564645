"""The recommender over the exact in-memory store: what a list holds, and that neither cache nor batch shows in it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.catalogue import Catalogue, CatalogueItem
from recommender.item_filters import ItemFilter
from recommender.listing import RankedList
from recommender.memory_store import MemoryStore
from recommender.profile import (
    EMPTY_HISTORY,
    NEW_USER,
    Forget,
    History,
    HistoryLimits,
    Rate,
    Retract,
    SetAttributes,
    Update,
    UserState,
    fold,
)
from recommender.question import Question
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.standing_filters import StandingFilters
from recommender.store import NeighbourQuery, Neighbours, StateWrite, StoreSettings, UserWrite, point_id
from recommender.vector import SparseVector, ValueRule, user_vector

Ratings = Sequence[tuple[int, float]]
Population = Mapping[str, Ratings]

UNBOUNDED = HistoryLimits()
RULES = RankingRules(list_length=8, personal_min_ratings=3, personal_min_neighbours=2)
SETTINGS = StoreSettings("integers", RULES.scale_min, RULES.scale_max, RULES.value.fingerprint)
MEGABYTE, GIGABYTE = 1_000_000, 1_000_000_000


def store_of(population: Population, limits: HistoryLimits = UNBOUNDED) -> MemoryStore:
    """A store that holds these users, each with ratings in time order."""
    store = MemoryStore(SETTINGS)
    fill(store, population, limits)
    return store


def fill(store: MemoryStore, population: Population, limits: HistoryLimits = UNBOUNDED) -> None:
    for user_id, ratings in population.items():
        updates = [Update("t.0", at, user_id, Rate(item, rating, at)) for at, (item, rating) in enumerate(ratings)]
        put(store, user_id, fold(NEW_USER, updates, limits))


def put(store: MemoryStore, user_id: str, state: UserState) -> None:
    """Write a state with the next tag over whatever stands there."""
    old = state_of(store, user_id).tag
    write = UserWrite(
        user_id, replace(state, tag=old + 1), user_vector(state.history, RULES.value), frozenset({old}), missing=True
    )
    store.write(StateWrite({}, [write]))


def state_of(store: MemoryStore, user_id: str) -> UserState:
    return store.read([user_id], []).states.get(user_id, NEW_USER)


def recommender_of(
    store: MemoryStore, rules: RankingRules = RULES, cache_max_bytes: int = MEGABYTE, *, scanned: bool = True
) -> Recommender:
    recommender = Recommender(store, rules, cache_max_bytes)
    while scanned and recommender.scan_slice(3):
        pass
    return recommender


def list_for(recommender: Recommender, store: MemoryStore, user_id: str) -> RankedList:
    return recommender.recommend([(user_id, state_of(store, user_id))])[0]


class Place(NamedTuple):
    """One place of a list."""

    item: int
    score: float
    predicted_rating: float
    support: int


def places_of(ranked: RankedList) -> list[Place]:
    columns = (ranked.item, ranked.score, ranked.predicted_rating, ranked.support)
    return [Place(*row) for row in zip(*columns, strict=True)]


def shown(ranked: RankedList) -> list[int]:
    return ranked.item


ITEMS = 14
PROFILES = st.lists(
    st.tuples(st.integers(0, ITEMS - 1), st.integers(5, 50).map(lambda tenths: tenths / 10)),
    min_size=1,
    max_size=9,
    unique_by=lambda rating: rating[0],
)
POPULATIONS = st.dictionaries(st.sampled_from([f"u{n}" for n in range(8)]), PROFILES, min_size=1)
TWINS = {f"twin {n}": [(1, 5.0), (2, 4.0), (3, 3.0), (4 + n, 5.0)] for n in range(3)}


@pytest.mark.parametrize(
    ("ratings", "neighbours", "tier"),
    [
        ([(1, 5.0), (2, 4.0), (3, 3.0)], 2, "personal"),
        ([(1, 5.0), (2, 4.0)], 2, "thin"),
        ([(1, 5.0), (2, 4.0), (3, 3.0)], 1, "thin"),
        ([(1, 5.0)], 0, "popular"),
        ([], 2, "popular"),
        ([(99, 5.0), (98, 4.0), (97, 3.0)], 2, "popular"),
    ],
    ids=["enough of both", "few ratings", "few neighbours", "nobody else", "no ratings", "nothing shared"],
)
def test_the_tier_says_how_well_founded_a_list_is(ratings: Ratings, neighbours: int, tier: str) -> None:
    """Personal needs enough ratings and enough neighbours, thin any neighbour; without one it is popularity."""
    store = store_of({**dict(list(TWINS.items())[:neighbours]), "me": ratings})
    assert list_for(recommender_of(store), store, "me").tier == tier


@given(POPULATIONS, st.integers(1, 9))
def test_nothing_rated_or_seen_is_shown(population: Population, entries_max: int) -> None:
    """Neither items of the history nor those that fell out of it, in no part of any list; nothing twice."""
    store = store_of(population, HistoryLimits(entries_max))
    recommender = recommender_of(store)
    for user_id, ratings in population.items():
        items = shown(list_for(recommender, store, user_id))
        assert not {item for item, _ in ratings} & set(items)
        assert len(set(items)) == len(items) <= RULES.list_length


@given(POPULATIONS)
def test_a_list_is_votes_first_then_the_most_rated_unseen(population: Population) -> None:
    """Scores fall from 1; the rest is filled, with score and support 0, by number of ratings, then item id."""
    store = store_of(population)
    recommender = recommender_of(store)
    counts = Counter(item for ratings in population.values() for item, _ in ratings)
    for user_id, ratings in population.items():
        places = places_of(list_for(recommender, store, user_id))
        voted = [place for place in places if place.support]
        filled = list(places[len(voted) :])
        scores = [place.score for place in voted]
        assert scores == sorted(scores, reverse=True)
        assert scores[:1] == [1.0] * len(scores[:1])
        assert all(scores)
        known = {item for item, _ in ratings} | {place.item for place in voted}
        rest = sorted(set(counts) - known, key=lambda item: (-counts[item], item))
        assert [place.item for place in filled] == rest[: RULES.list_length - len(voted)]
        if voted:
            assert {(place.score, place.support) for place in filled} <= {(0.0, 0)}
        assert all(RULES.scale_min <= place.predicted_rating <= RULES.scale_max for place in places)


def test_without_neighbours_the_score_is_the_share_of_the_most_rated() -> None:
    """A list by popularity alone: ratings relative to its first item, equal ones by item id."""
    store = store_of({"a": [(3, 5.0), (2, 1.0)], "b": [(3, 2.0), (1, 3.0)]})
    ranked = list_for(recommender_of(store), store, "nobody knows me")
    assert [(place.item, place.score, place.support) for place in places_of(ranked)] == [
        (3, 1.0, 0),
        (1, 0.5, 0),
        (2, 0.5, 0),
    ]


def test_a_small_example_by_hand() -> None:
    """Votes, anchor, exclusion, tie and normalisation come together as the formula says."""
    rules = RankingRules(
        ValueRule(), neighbours=9, similarity_exponent=1.0, vote_offset=2.0, position_half_life=1.0, position_floor=0
    )
    # Equal profiles, so both are equally near: items 8 and 9 both stand one event after the shared item 1.
    store = store_of({"a": [(1, 4.0), (9, 3.0), (7, 2.0)], "b": [(1, 4.0), (8, 3.0), (7, 2.0)], "me": [(1, 5.0)]})
    ranked = list_for(recommender_of(store, rules), store, "me")
    votes = {8: 2.0 * 0.5, 9: 2.0 * 0.5, 7: 2 * 1.0 * 0.25}
    assert [place.item for place in places_of(ranked)] == [8, 9, 7]
    assert [place.score for place in places_of(ranked)] == pytest.approx([votes[item] / votes[8] for item in (8, 9, 7)])
    assert [place.support for place in places_of(ranked)] == [1, 1, 2]


def test_of_equal_scores_the_better_supported_comes_first() -> None:
    """Two neighbours with half a vote each go before one with a whole vote, though its item has the smaller id."""
    rules = RankingRules(similarity_exponent=0.0, vote_offset=2.0, position_floor=1.0)
    # Item 9 gets 1.5 twice (residual −0.5), item 4 gets 3 once (residual 1).
    doubters = {name: [(1, 4.0), (9, 3.0)] for name in ("a", "b")}
    store = store_of({**doubters, "c": [(1, 3.0), (4, 5.0)], "me": [(1, 5.0)]})
    ranked = list_for(recommender_of(store, rules), store, "me")
    assert [(place.item, place.score, place.support) for place in places_of(ranked)] == [(9, 1.0, 2), (4, 1.0, 1)]


def test_what_the_neighbours_disliked_is_no_vote() -> None:
    """An item with a score of 0 or less is at best part of the fill: score and support 0, behind every voted item."""
    rules = RankingRules(vote_offset=0.5, list_length=3)
    population = {"a": [(1, 4.5), (7, 1.0), (8, 3.5), (9, 5.0)], "b": [(7, 1.0)], "me": [(1, 5.0)]}
    store = store_of(population)
    ranked = list_for(recommender_of(store, rules), store, "me")
    assert [(place.item, place.support) for place in places_of(ranked)] == [(9, 1), (8, 1), (7, 0)]
    assert places_of(ranked)[2].score == 0.0


@given(POPULATIONS)
def test_fewer_items_than_places_give_a_shorter_list(population: Population) -> None:
    """Every unseen item is shown once and nothing is made up."""
    store = store_of(population)
    recommender = recommender_of(store, replace(RULES, list_length=50))
    everything = {item for ratings in population.values() for item, _ in ratings}
    for user_id, ratings in population.items():
        items = shown(list_for(recommender, store, user_id))
        assert sorted(items) == sorted(everything - {item for item, _ in ratings})


def test_no_data_at_all_gives_an_empty_popular_list() -> None:
    """An empty store has nothing to recommend, and says so without failing; no user, no list."""
    store = store_of({})
    recommender = recommender_of(store)
    assert recommender.recommend([("me", NEW_USER)]) == [RankedList("popular", [], [], [], [])]
    assert recommender.recommend([]) == []


def test_the_only_user_has_nothing_to_discover() -> None:
    """Their own ratings are the whole catalogue: an empty list, and they are no neighbour of themselves."""
    store = store_of({"me": [(1, 5.0), (2, 3.0)]})
    assert list_for(recommender_of(store), store, "me") == RankedList("popular", [], [], [], [])


@settings(max_examples=40)
@given(st.lists(POPULATIONS, min_size=1, max_size=3))
def test_the_cache_never_shows(rounds: list[Population]) -> None:
    """No cache, a small one and a large one give the same lists to the last bit, while profiles change under them."""
    store = store_of({})
    recommenders = [recommender_of(store, cache_max_bytes=size) for size in (0, MEGABYTE, GIGABYTE, 1_000)]
    for population in rounds:
        for user_id, state in ((user_id, state_of(store_of(population), user_id)) for user_id in population):
            for recommender in recommenders:
                recommender.changed([(user_id, state_of(store, user_id), state)])
            put(store, user_id, state)
        users = [(user_id, state_of(store, user_id)) for user_id in population]
        lists = [recommender.recommend(users) for recommender in recommenders]
        assert all(other == lists[0] for other in lists[1:])
    assert recommenders[0].cache.size_bytes == 0


@settings(max_examples=40)
@given(POPULATIONS)
def test_a_batch_of_users_gives_each_the_list_they_get_alone(population: Population) -> None:
    """Who else is in the batch, users without neighbours among them, changes no list."""
    store = store_of(population)
    users = [("unknown", NEW_USER), *((user_id, state_of(store, user_id)) for user_id in population)]
    alone = [recommender_of(store).recommend([user])[0] for user in users]
    assert recommender_of(store).recommend(users) == alone


@settings(max_examples=40)
@given(POPULATIONS)
def test_a_scan_in_slices_between_lists_ends_in_the_same_lists(population: Population) -> None:
    """Lists made while the statistics are still being counted leave nothing behind."""
    store = store_of(population)
    users = [(user_id, state_of(store, user_id)) for user_id in population]
    early = recommender_of(store, scanned=False)
    for user in range(len(users)):
        early.recommend(users)
        assert early.scan_slice(1) is (user < len(users) - 1)
    assert not early.scan_slice(1)
    assert early.recommend(users) == recommender_of(store).recommend(users)


def test_a_neighbour_who_rated_again_votes_anew() -> None:
    """A cached profile is not used once the neighbour's point has another version."""
    store = store_of({**TWINS, "me": [(1, 5.0), (2, 4.0), (3, 3.0)]})
    recommender = recommender_of(store)
    assert 50 not in shown(list_for(recommender, store, "me"))
    before = state_of(store, "twin 0")
    after = fold(before, [Update("t.0", 9, "twin 0", Rate(50, 5.0, 9))], UNBOUNDED)
    put(store, "twin 0", after)
    place = next(place for place in places_of(list_for(recommender, store, "me")) if place.item == 50)
    assert place.support == 1


def test_a_forgotten_neighbour_vanishes() -> None:
    """Neither their votes nor their share of popularity is left, although their profile was cached."""
    store = store_of({**TWINS, "me": [(1, 5.0), (2, 4.0), (3, 3.0)]})
    recommender = recommender_of(store)
    assert 4 in shown(list_for(recommender, store, "me"))
    before = state_of(store, "twin 0")
    after = fold(before, [Update("t.0", 9, "twin 0", Forget())], UNBOUNDED)
    put(store, "twin 0", after)
    recommender.changed([("twin 0", before, after)])
    assert 4 not in shown(list_for(recommender, store, "me"))
    assert list_for(recommender, store, "me") == list_for(recommender_of(store), store, "me")


class VanishingStore(MemoryStore):
    """Some users are forgotten after the search has found them, before their histories are read."""

    def __init__(self, settings: StoreSettings) -> None:
        super().__init__(settings)
        self.removed: set[int] = set()
        self.emptied: set[int] = set()

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        found = super().histories([identity for identity in ids if identity not in self.removed])
        return {**found, **dict.fromkeys(self.emptied & set(ids), EMPTY_HISTORY)}


@pytest.mark.parametrize("gone", [1, 3])
@pytest.mark.parametrize("kind", ["removed", "emptied"])
def test_a_neighbour_forgotten_in_between_is_left_out(gone: int, kind: str) -> None:
    """Found but gone, or found and empty: the others vote, and without any the list is one of popularity."""
    store = VanishingStore(SETTINGS)
    fill(store, {**TWINS, "me": [(1, 5.0), (2, 4.0), (3, 3.0)]})
    getattr(store, kind).update(point_id(f"twin {n}") for n in range(gone))
    ranked = list_for(recommender_of(store), store, "me")
    assert ranked.tier == ("popular" if gone == len(TWINS) else "personal")
    assert [place.item for place in places_of(ranked) if place.support] == [4 + n for n in range(gone, len(TWINS))]


def test_a_retracted_item_may_be_shown_again() -> None:
    """What was taken back is no rating, so the item is not excluded."""
    store = store_of({**TWINS, "me": [(1, 5.0), (2, 4.0), (3, 3.0), (4, 1.0)]})
    recommender = recommender_of(store)
    assert 4 not in shown(list_for(recommender, store, "me"))
    state = fold(state_of(store, "me"), [Update("t.0", 9, "me", Retract(4, 9))], UNBOUNDED)
    assert 4 in shown(recommender.recommend([("me", state)])[0])


class WatchedStore(MemoryStore):
    """Notes what is asked of it."""

    def __init__(self, settings: StoreSettings) -> None:
        super().__init__(settings)
        self.asked: list[NeighbourQuery] = []
        self.fetched: list[int] = []

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        self.asked += queries
        return super().nearest(queries)

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        self.fetched += ids
        return super().histories(ids)


def test_the_store_is_asked_as_the_rules_say() -> None:
    """As many neighbours as the rules want, without the user's own point; each profile is fetched once."""
    store = WatchedStore(SETTINGS)
    fill(store, {**TWINS, "me": [(1, 5.0), (2, 4.0), (3, 3.0)]})
    recommender = recommender_of(store, replace(RULES, neighbours=2, query_events=2))
    for _ in range(2):
        list_for(recommender, store, "me")
    assert [(query.limit, query.excluding) for query in store.asked] == [(2, point_id("me"))] * 2
    assert [vector.indices.tolist() for query in store.asked if isinstance(vector := query.vector, SparseVector)] == [
        [2, 3]
    ] * 2
    assert len(store.fetched) == len(set(store.fetched)) == 2


def another(value: Any) -> Any:
    """Another value for a number, a switch or the filters of the rules."""
    match value:
        case StandingFilters():
            return StandingFilters(min_ratings=1)
        case bool():
            return not value
        case int() | float():
            return value + 1
        case _:
            return "mean"


def test_each_number_of_the_rules_changes_their_label() -> None:
    """Lists made by different rules can be told apart; the preset's name stands in front."""
    rules = RankingRules()
    names = [field.name for field in fields(rules) if field.name != "value"]
    others = [replace(rules, **{name: another(getattr(rules, name))}) for name in names]
    others.append(replace(rules, value=ValueRule(offset=9.0)))
    assert len({rules.label(), *(other.label() for other in others)}) == len(names) + 2
    assert rules.label().startswith("default:")
    assert rules.label("tutorial").startswith("tutorial:")


def test_predictions_do_not_need_votes() -> None:
    """Where nobody near rated an item, global mean, item bias and user bias predict it."""
    store = store_of({"a": [(1, 5.0), (2, 5.0)], "b": [(3, 1.0), (2, 3.0)]})
    ranked = list_for(recommender_of(store, replace(RULES, item_bias_damping=1.0)), store, "nobody knows me")
    mean = 3.5
    expected = {2: mean + 1.0 / 3, 1: mean + 1.5 / 2, 3: mean - 2.5 / 2}
    predictions = {place.item: place.predicted_rating for place in places_of(ranked)}
    assert predictions == pytest.approx(expected)


def test_a_new_count_takes_in_what_other_workers_wrote() -> None:
    """After `rescan` the old figures serve on, kept up, until all users are counted anew."""
    store = store_of({"1": [(1, 4.0), (2, 3.0)]})
    recommender = recommender_of(store)
    fill(store, {"2": [(2, 5.0)]})
    recommender.rescan()
    assert counted(recommender) == {1: 1, 2: 1}
    recommender.changed([("3", NEW_USER, state_of(store_of({"3": [(1, 2.0)]}), "3"))])
    assert counted(recommender) == {1: 2, 2: 1}
    while recommender.scan_slice(1):
        pass
    assert counted(recommender) == {1: 1, 2: 2}


def counted(recommender: Recommender) -> dict[int, int]:
    """How many ratings each item has, as the recommender knows."""
    counts = recommender.statistics.counts.astype(int).tolist()
    return dict(zip(recommender.index.items.tolist(), counts, strict=True))


CAST = {"a": [(1, 5.0), (2, 4.0), (3, 5.0), (4, 3.0)], "b": [(1, 4.0), (3, 4.0), (5, 5.0)], "me": [(1, 5.0)]}


def cast_with(catalogue: Catalogue) -> tuple[MemoryStore, Recommender]:
    store = store_of(CAST)
    recommender = Recommender(store, RULES, MEGABYTE, catalogue=catalogue)
    while recommender.scan_slice(10):
        pass
    return store, recommender


@pytest.mark.parametrize("user_id", ["me", "a", "nobody"])
def test_what_the_catalogue_lost_leaves_the_lists_and_comes_back_with_it(user_id: str) -> None:
    """Removed items are neither voted for nor trending nor filled in; rated ones still find the place in a history."""
    catalogue = Catalogue()
    store, recommender = cast_with(catalogue)
    before = list_for(recommender, store, user_id)
    for removed in ([3], [3, 5], [1], []):
        for item in (1, 3, 5):
            catalogue.put(item, CatalogueItem())
        for item in removed:
            catalogue.remove(item)
        assert set(list_for(recommender, store, user_id).item) == set(before.item) - set(removed)
    assert list_for(recommender, store, user_id) == before


@pytest.mark.parametrize("user_id", ["me", "nobody"])
def test_a_question_may_want_some_items_alone(user_id: str) -> None:
    """Votes, trend and fillers all pass the filter; scores are relative to the best of what passed."""
    catalogue = Catalogue()
    for item, genre in ((2, "Drama"), (3, "War"), (4, "Drama"), (5, "War")):
        catalogue.put(item, CatalogueItem(genres=(genre,)))
    store, recommender = cast_with(catalogue)
    history = state_of(store, user_id).history
    for wanted, left in ((ItemFilter(genres=("drama",)), {2, 4}), (ItemFilter(exclude=(3,)), {1, 2, 4, 5})):
        (found,) = recommender.answer([Question(history, items=wanted)])
        assert set(found.item) == left - set(history.items.tolist())
        assert found.score[0] == 1.0


def test_a_filter_by_popularity_now_goes_by_the_latest_rating_of_an_item() -> None:
    """Ages are measured from the newest rating of all, and an item is as old as its latest one."""
    day = 86_400_000
    store = MemoryStore(SETTINGS)
    for user_id, ratings in {"a": [(1, 0), (2, 5), (3, 9)], "b": [(2, 1), (1, 3), (4, 10)]}.items():
        updates = [Update("t.0", at, user_id, Rate(item, 4.0, days * day)) for at, (item, days) in enumerate(ratings)]
        put(store, user_id, fold(NEW_USER, updates, UNBOUNDED))
    recommender = recommender_of(store)
    for days, left in ((0.5, {4}), (1, {3, 4}), (5, {2, 3, 4}), (7, {1, 2, 3, 4})):
        (found,) = recommender.answer([Question(EMPTY_HISTORY, items=ItemFilter(popular_now_days=days))])
        assert set(found.item) == left


def test_only_votes_since_an_instant_count() -> None:
    """Ratings before it neither vote nor count as support, and are still what neighbours are found by."""
    store = store_of({"a": [(1, 5.0), (2, 4.0), (3, 5.0)], "me": [(1, 5.0)]})
    recommender = recommender_of(store, replace(RULES, tuning_every_lists=0))
    state = state_of(store, "me")
    for since_ms, supported in ((0, {2, 3}), (2, {3}), (3, set())):
        (found,) = recommender.answer([Question(state.history, excluding=point_id("me"), votes_since_ms=since_ms)])
        assert {item for item, support in zip(found.item, found.support, strict=True) if support} == supported


def test_asking_leaves_no_trace_in_later_lists() -> None:
    """Any number of questions in between, and lists and tuning are what they would have been."""
    store = store_of(CAST)
    quiet, asked = (recommender_of(store, replace(RULES, tuning_every_lists=2)) for _ in range(2))
    for _ in range(4):
        asked.answer([Question(state_of(store, "me").history, rules=replace(RULES, neighbours=1), excluding=1)] * 3)
        assert list_for(quiet, store, "me") == list_for(asked, store, "me")
    assert quiet._lister._lists == asked._lister._lists


def test_a_question_of_a_user_is_answered_with_their_list() -> None:
    """`recommend` is the simple case of `answer`."""
    store = store_of(CAST)
    recommender = recommender_of(store)
    state = state_of(store, "me")
    (answer,) = recommender.answer([Question(state.history, state.seen, point_id("me"))])
    assert answer == list_for(recommender, store, "me")


AGES = {"young": 20, "younger": 18, "old": 70, "older": 75, "me": 21}


def population_with_ages(num_ratings: int) -> MemoryStore:
    """Everybody rated item 1 alike; then each an item of their own age, and further ones if there are to be more."""
    store = MemoryStore(SETTINGS)
    for user_id, age in AGES.items():
        rated = [(1, 5.0), (1_000 + age, 4.0), *((2_000 + n, 3.0) for n in range(num_ratings - 2))]
        rated = rated[:1] if user_id == "me" else rated
        updates = [Update("t.0", at, user_id, Rate(item, rating, at)) for at, (item, rating) in enumerate(rated)]
        attributes = SetAttributes({"age": age, "gender": "F" if age < 50 else "M"})
        put(store, user_id, fold(NEW_USER, [*updates, Update("t.0", 99, user_id, attributes)], UNBOUNDED))
    return store


@pytest.mark.parametrize(
    ("filters", "voted", "widened"),
    [
        (StandingFilters(), {1018, 1020, 1070, 1075}, None),
        (StandingFilters(near=(("age", 5),)), {1018, 1020}, "as asked"),
        (StandingFilters(near=(("age", 2),)), {1018, 1020}, "age +/- 4"),
        (StandingFilters(near=(("age", 0.1),)), {1018, 1020, 1070, 1075}, "without attributes"),
        (StandingFilters(same=("gender",)), {1018, 1020}, "as asked"),
        (StandingFilters(near=(("age", 0.1),), same=("gender",)), {1018, 1020, 1070, 1075}, "without attributes"),
        (StandingFilters(same=("planet",)), {1018, 1020, 1070, 1075}, None),
        (StandingFilters(min_ratings=3), {1018, 1020, 1070, 1075}, "without conditions"),
    ],
)
def test_standing_filters_choose_neighbours_and_say_how_far_they_were_widened(
    filters: StandingFilters, voted: set[int], widened: str | None
) -> None:
    """Relative to the user's own attributes; two neighbours are enough here; an attribute of nobody's asks nothing."""
    store = population_with_ages(2)
    found = list_for(recommender_of(store, replace(RULES, filters=filters, tuning_every_lists=0)), store, "me")
    assert {item for item, support in zip(found.item, found.support, strict=True) if support} == voted
    assert found.widened == widened


def test_standing_filters_on_items_hold_in_every_list() -> None:
    """Whatever the deployment wants to show alone is all that is shown."""
    catalogue = Catalogue()
    catalogue.put(1018, CatalogueItem(year=1990))
    catalogue.put(1070, CatalogueItem(year=2010))
    store = population_with_ages(3)
    rules = replace(RULES, filters=StandingFilters(items=ItemFilter(year_from=2000)))
    recommender = Recommender(store, rules, MEGABYTE, catalogue=catalogue)
    assert list_for(recommender, store, "me").item == [1070]
