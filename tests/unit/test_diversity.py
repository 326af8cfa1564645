"""MMR: the order it gives, by hand-written plain Python beside it, and what it does to a list."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.catalogue import Catalogue, CatalogueItem
from recommender.content import Vectors
from recommender.diversity import CANDIDATES_MAX, diversified
from recommender.listing import RankedList
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, HistoryLimits, Rate, Update, fold
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.store import StateWrite, StoreSettings, UserWrite
from recommender.vector import user_vector

SCORES = st.lists(st.integers(1, 1000), min_size=1, max_size=12).map(lambda found: sorted(found, reverse=True))


def vectors_of(seed: int, n: int) -> Vectors:
    """Random vectors of length 1, every fourth of zeros: an item of which nothing is known."""
    found = np.random.default_rng(seed).normal(size=(n, 128))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found[3::4] = 0.0
    return found.astype(np.float32)


def plainly(scores: list[int], vectors: Vectors, diversity: float, length: int) -> list[int]:
    """MMR as the paper has it, with λ = 1 − diversity."""
    left, chosen = list(range(len(scores))), list[int]()
    while left and len(chosen) < length:
        best, best_value = left[0], -np.inf
        for at in left:
            nearest = max((float(vectors[at].astype(float) @ vectors[c].astype(float)) for c in chosen), default=0.0)
            value = (1 - diversity) * scores[at] / scores[0] - diversity * nearest
            if value > best_value + 1e-7:
                best, best_value = at, value
        chosen.append(best)
        left.remove(best)
    return chosen


@given(SCORES, st.integers(0, 99), st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(1, 14))
def test_the_order_is_the_papers(scores: list[int], seed: int, diversity: float, length: int) -> None:
    """Item by item the one whose score outweighs its likeness to those taken by most; ties as they stood."""
    vectors = vectors_of(seed, len(scores))
    found = diversified(np.array(scores, float), vectors, diversity, length).tolist()
    assert found == plainly(scores, vectors, diversity, length)


@given(SCORES, st.integers(0, 99), st.floats(0, 1))
def test_the_best_item_stays_first_and_none_is_lost(scores: list[int], seed: int, diversity: float) -> None:
    """A re-ranking of all is a permutation that begins with the best, and with none of it the order stays."""
    given_scores, vectors = np.array(scores, float), vectors_of(seed, len(scores))
    found = diversified(given_scores, vectors, diversity, len(scores)).tolist()
    assert sorted(found) == list(range(len(scores)))
    assert found[0] == 0
    assert diversified(given_scores, vectors, 0.0, len(scores)).tolist() == list(range(len(scores)))


def test_a_twin_makes_room_for_something_else() -> None:
    """Of two items that are alike the second comes behind one that is a little worse and unlike both."""
    vectors = vectors_of(1, 3)
    vectors[1] = vectors[0]
    scores = np.array([1.0, 0.9, 0.8])
    assert diversified(scores, vectors, 0.3, 3).tolist() == [0, 2, 1]
    assert diversified(scores, vectors, 0.01, 3).tolist() == [0, 1, 2]


def test_no_items_are_no_list() -> None:
    """An empty tally is re-ranked to nothing."""
    assert diversified(np.empty(0), np.empty((0, 128), np.float32), 0.3, 10).tolist() == []


def film(item: int) -> CatalogueItem:
    """Items 100 to 139 are of one kind, all others of another each."""
    kind = "War" if 100 <= item < 140 else f"kind {item}"
    return CatalogueItem(f"film {item}", (kind,), (), 1990)


def list_of(rules: RankingRules, films: dict[int, CatalogueItem]) -> RankedList:
    """The list of a user with one neighbour, who rated the one kind a little better than all the others."""
    rated = [(1, 5.0), (2, 4.0), *((item, 4.5 if item < 140 else 4.4) for item in range(100, 220))]
    histories = {"me": rated[:2], "near": rated}
    store = MemoryStore(StoreSettings("integer", 0.5, 5.0, rules.value.fingerprint))
    for user_id, ratings in histories.items():
        updates = [Update("t:0", at, user_id, Rate(item, stars, 0)) for at, (item, stars) in enumerate(ratings)]
        state = fold(NEW_USER, updates, HistoryLimits())
        vector = user_vector(state.history, rules.value)
        store.write(StateWrite({}, [UserWrite(user_id, state, vector, frozenset({0}), missing=True)]))
    catalogue = Catalogue()
    for item, known in films.items():
        catalogue.put(item, known)
    recommender = Recommender(store, rules, 1_000_000, catalogue=catalogue)
    return recommender.recommend([("me", store.read(["me"], []).states["me"])])[0]


RULES = RankingRules(position_floor=1.0, tuning_every_lists=0)
FILMS = {item: film(item) for item in range(220)}


def of_one_kind(ranked: RankedList) -> int:
    """How many of the first ten are of the one kind."""
    return sum(FILMS[item].genres == ("War",) for item in ranked.item[:10])


def test_a_list_shows_other_kinds_than_the_best_one() -> None:
    """With diversity the first ten are no longer all of the kind that is a little better; the best item stays."""
    plain, diverse = list_of(RULES, FILMS), list_of(replace(RULES, diversity=0.3), FILMS)
    assert (of_one_kind(plain), of_one_kind(diverse)) == (10, 1)
    assert diverse.item[0] == plain.item[0]
    assert diverse.score[0] == 1.0
    scores = dict(zip(diverse.item, diverse.score, strict=True))
    assert all(scores[item] == score for item, score in zip(plain.item, plain.score, strict=True) if item in scores)


def test_what_nobody_knows_is_not_re_ranked() -> None:
    """Without a catalogue, diversity changes nothing."""
    assert list_of(replace(RULES, diversity=0.3), {}) == list_of(RULES, {})


@pytest.mark.parametrize("length", [1, 10, 60])
def test_the_first_places_do_not_depend_on_the_length(length: int) -> None:
    """The same candidates are re-ranked for every length up to their number."""
    rules = replace(RULES, diversity=0.3)
    whole = list_of(replace(rules, list_length=CANDIDATES_MAX), FILMS)
    assert list_of(replace(rules, list_length=length), FILMS).item == whole.item[:length]
