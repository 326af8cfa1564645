"""Items like an item: by content and by who rated them, against the formulas in plain Python."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from recommender import similar_items
from recommender.catalogue import Catalogue, CatalogueItem
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, History, HistoryLimits, Rate, Update, UserState, fold
from recommender.recommender import Recommender
from recommender.rules import RankingRules
from recommender.similar_items import RATERS_MAX, ContentCandidates, Likeness, SimilarItems
from recommender.store import StateWrite, StoreSettings, UserWrite
from recommender.vector import user_vector

Ratings = Sequence[tuple[int, float]]

RULES = RankingRules()
FILMS = {
    1: CatalogueItem("a", ("Crime", "Drama"), (), 1995),
    2: CatalogueItem("b", ("Crime", "Drama"), (), 1996),
    3: CatalogueItem("c", ("Crime",), (), 1990),
    4: CatalogueItem("d", ("Comedy",), (), 1960),
    5: CatalogueItem("e", ("Crime", "Drama"), (), 1995),
}
PEOPLE: Mapping[str, Ratings] = {
    "ann": [(1, 5.0), (2, 4.5), (4, 1.0)],
    "bob": [(1, 4.0), (2, 4.0), (3, 2.0)],
    "cid": [(1, 4.5), (3, 4.0), (4, 3.0)],
    "dot": [(2, 3.0), (4, 5.0)],
}


def recommender_of(
    people: Mapping[str, Ratings] = PEOPLE, films: Mapping[int, CatalogueItem] = FILMS
) -> tuple[Recommender, Catalogue]:
    store, catalogue = MemoryStore(StoreSettings("integer", 0.5, 5.0, RULES.value.fingerprint)), Catalogue()
    for item, known in films.items():
        catalogue.put(item, known)
    for user_id, ratings in people.items():
        updates = [Update("t:0", at, user_id, Rate(item, stars, 0)) for at, (item, stars) in enumerate(ratings)]
        state = fold(NEW_USER, updates, HistoryLimits())
        vector = user_vector(state.history, RULES.value)
        store.write(StateWrite({}, [UserWrite(user_id, state, vector, frozenset({0}), missing=True)]))
    recommender = Recommender(store, RULES, 1_000_000, catalogue=catalogue)
    while recommender.scan_slice(100):
        pass
    return recommender, catalogue


def plain_cosine(people: Mapping[str, Ratings], item: int, other: int) -> float:
    """The module's formula for items that fewer than a hundred rated, written out."""
    ratings = {user: dict(rated) for user, rated in people.items()}
    means = {user: sum(rated.values()) / len(rated) for user, rated in ratings.items()}
    x = {user: {i: r - means[user] + 1.5 for i, r in rated.items()} for user, rated in ratings.items()}
    raters = [user for user in x if item in x[user]]
    shared = sum(x[user][item] * x[user][other] for user in raters if other in x[user])
    everything = [r for rated in ratings.values() for r in rated.values()]
    mu = sum(everything) / len(everything)
    theirs = [rated[other] for rated in ratings.values() if other in rated]
    bias = sum(r - mu for r in theirs) / (len(theirs) + 5)
    length = math.sqrt(sum(x[user][item] ** 2 for user in raters))
    return shared / (length * math.sqrt(len(theirs) * ((bias + 1.5) ** 2 + 1)) + 10)


def test_by_ratings_is_the_formula_written_out() -> None:
    """The damped cosine of the two columns, best first, of every item that the raters rather liked as well."""
    recommender, _ = recommender_of()
    found = recommender.similar_items(1, 10, by="ratings")
    expected = {other: plain_cosine(PEOPLE, 1, other) for other in (2, 3)}
    assert plain_cosine(PEOPLE, 1, 4) < 0
    assert dict(zip(found.item, found.similarity, strict=True)) == pytest.approx(expected)
    assert found.similarity == sorted(found.similarity, reverse=True)


def test_a_hundred_raters_stand_for_all() -> None:
    """Of an item with more raters than are asked, the similarity is what it would be with all of them."""
    crowd = {f"u{n}": [(1, 5.0), (2, 4.0), (3, 3.0)] for n in range(3 * RATERS_MAX)}
    found = recommender_of(crowd)[0].similar_items(1, 1, by="ratings")
    assert found.item == [2]
    assert found.similarity[0] == pytest.approx(plain_cosine(crowd, 1, 2))


def test_by_content_is_the_cosine() -> None:
    """The more traits two items share the more alike they are, whoever rated them; an unrated item may ask."""
    recommender, _ = recommender_of()
    found = recommender.similar_items(5, 10)
    assert found.item[:3] == [1, 2, 3]
    assert found.similarity[0] == pytest.approx(1.0)
    assert all(similarity > 0 for similarity in found.similarity)
    assert recommender.similar_items(1, 1).item == [2]


@pytest.mark.parametrize("by", ["content", "ratings"])
def test_what_left_the_catalogue_is_like_nothing(by: Likeness) -> None:
    """A removed item stands in no answer, and has none of its own by content."""
    recommender, catalogue = recommender_of()
    assert 2 in recommender.similar_items(1, 10, by=by).item
    catalogue.remove(2)
    assert 2 not in recommender.similar_items(1, 10, by=by).item
    assert recommender.similar_items(2, 10).item == []


@pytest.mark.parametrize("by", ["content", "ratings"])
def test_of_an_unknown_item_nothing_is_said(by: Likeness) -> None:
    """An item that nobody rated and no catalogue names has no similar ones, and asking leaves no trace."""
    recommender, _ = recommender_of()
    known = len(recommender.index)
    assert recommender.similar_items(77, 10, by=by).item == []
    assert len(recommender.index) == known


def test_no_answer_is_longer_than_asked_for() -> None:
    """The best ones are answered."""
    recommender, _ = recommender_of()
    everything, first = (recommender.similar_items(1, limit, by="ratings") for limit in (10, 1))
    assert (first.item, first.similarity) == (everything.item[:1], everything.similarity[:1])


@pytest.mark.parametrize("candidates_max", [1, 3, 10])
def test_what_is_kept_changes_no_answer(candidates_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratings and the catalogue move on: every answer is, bit for bit, what it is when nothing was kept.

    Items get their first ratings, overtake each other where only the most rated are compared, are described anew, and
    leave the catalogue.
    """
    monkeypatch.setattr(similar_items, "CANDIDATES_MAX", candidates_max)
    recommender, catalogue = recommender_of({"ann": [(1, 5.0)], "bob": [(4, 3.0), (1, 3.0)]})
    assert kept(recommender) == anew(recommender)
    before = kept(recommender)
    for ratings in ([2, 4], [2], [2, 3, 5], [3]):
        items, times = np.array(ratings, np.uint32), np.zeros(len(ratings), np.int64)
        rated = UserState(history=History(items, np.full(len(items), 4.0), times))
        recommender.changed([(f"user {ratings}", NEW_USER, rated)])
        assert kept(recommender) == anew(recommender)
    assert kept(recommender) != before
    catalogue.put(2, CatalogueItem("b", ("Comedy",), ("robots",), 1960))
    assert kept(recommender) == anew(recommender)
    catalogue.remove(4)
    assert kept(recommender) == anew(recommender)


def kept(recommender: Recommender) -> list[SimilarItems]:
    return [recommender.similar_items(item, 10) for item in FILMS]


def anew(recommender: Recommender) -> list[SimilarItems]:
    recommender._candidates = ContentCandidates(recommender._lister.content)  # nothing is kept
    return kept(recommender)
