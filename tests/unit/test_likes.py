"""Likes of somebody without a profile: what they name, and what they are worth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from consumers.answering.item_names import ItemNames
from consumers.answering.likes import LikeReader
from consumers.item_ids import ItemIds
from recommender.catalogue import Catalogue, CatalogueItem
from recommender.profile import Items
from recommender.registry import ItemRegistry, MemoryTable
from recommender.rules import PRESETS, RankingRules
from schemas.questions import Like
from schemas.request_errors import RequestError
from schemas.scale import Scale

HEAT, HAMLET, OTHER_HAMLET, UNSEEN, RATED = 6, 10, 11, 12, 13
RULES = RankingRules()


def rated(items: Items) -> NDArray[np.bool_]:
    return np.isin(items, np.array([HEAT, HAMLET, RATED], np.uint32))


@pytest.fixture
def reader() -> LikeReader:
    catalogue = Catalogue()
    catalogue.put(HEAT, CatalogueItem("Heat (1995)", links={"imdb": "tt0113277", "tmdb": "949"}))
    catalogue.put(HAMLET, CatalogueItem("Hamlet (1990)"))
    catalogue.put(OTHER_HAMLET, CatalogueItem("Hamlet (1996)"))
    catalogue.put(UNSEEN, CatalogueItem("Nobody Saw It (2001)"))
    return LikeReader(ItemNames(catalogue), Scale(), rated)


def code(reader: LikeReader, *likes: Like) -> str:
    with pytest.raises(RequestError) as error:
        reader.read(likes, RULES)
    return error.value.code


@pytest.mark.parametrize(
    "like",
    [
        Like(item_id=HEAT, like=1),
        Like(title="heat", like=1),
        Like(imdb="0113277", like=1),
        Like(imdb="tt0113277", like=1),
        Like(tmdb="949", like=1),
    ],
)
def test_an_item_is_found_by_each_of_its_names(reader: LikeReader, like: Like) -> None:
    """Its id here, its title, and its ids elsewhere, where the like says whose they are."""
    assert reader.read([like], RULES).history.items.tolist() == [HEAT]


def test_an_id_is_never_taken_for_another_catalogue_s(reader: LikeReader) -> None:
    """949 is Heat at TMDB, and here it is what nobody knows."""
    assert code(reader, Like(item_id=949, like=1)) == "unknown_items"
    assert code(reader, Like(imdb="949", like=1)) == "not_found"


def test_a_title_of_several_items_is_answered_with_them(reader: LikeReader) -> None:
    """The candidates are named, none is chosen."""
    with pytest.raises(RequestError) as error:
        reader.read([Like(title="Hamlet", like=1)], RULES)
    assert error.value.details["candidates"] == {
        "Hamlet": [
            {"item_id": HAMLET, "title": "Hamlet (1990)"},
            {"item_id": OTHER_HAMLET, "title": "Hamlet (1996)"},
        ]
    }


def test_likes_keep_their_order_and_lose_what_nobody_knows(reader: LikeReader) -> None:
    """Rated or in the catalogue is known; the rest is told."""
    found = reader.read([Like(item_id=item, like=1) for item in (UNSEEN, 99, RATED, HEAT)], RULES)
    assert found.history.items.tolist() == [UNSEEN, RATED, HEAT]
    assert found.unknown == (99,)


def test_a_like_is_the_end_of_the_scale_measured_from_its_middle(reader: LikeReader) -> None:
    """1 and −1 lie equally far from nothing, whatever else is liked; all are of the same age."""
    found = reader.read([Like(item_id=HEAT, like=1), Like(item_id=RATED, like=-1)], RULES)
    assert found.history.ratings.tolist() == [5.0, 0.5]
    assert len(set(found.history.rated_at.tolist())) == 1
    assert found.rules.value.centre == 2.75
    assert (found.rules.query_events, found.rules.query_half_life) == (0, 0.0)


def test_ratings_are_what_a_user_s_own_would_be(reader: LikeReader) -> None:
    """Without a like of 1 or −1 among them they are measured from their own mean."""
    found = reader.read([Like(item_id=HEAT, rating=4.5), Like(item_id=RATED, rating=2)], RULES)
    assert found.history.ratings.tolist() == [4.5, 2.0]
    assert found.rules.value.centre is None


def test_with_a_fixed_mean_a_like_is_worth_one_deviation(reader: LikeReader) -> None:
    """Where every rating is measured from one mean, the values of the query are 1 and −1."""
    found = reader.read([Like(item_id=HEAT, like=1), Like(item_id=RATED, like=-1)], PRESETS["article"])
    assert found.rules.value.values(found.history).tolist() == pytest.approx([1.0, -1.0])


def test_another_scale_has_its_own_ends(reader: LikeReader) -> None:
    """Likes are on the catalogue's scale, the middle in five stars."""
    scale = Scale(-10, 10)
    slope, intercept = scale.five_star_affine()
    rules = RankingRules(value=type(RULES.value)(slope=slope, intercept=intercept))
    found = LikeReader(reader.names, scale, rated).read([Like(item_id=HEAT, like=-1)], rules)
    assert found.history.ratings.tolist() == [-10]
    assert found.rules.value.centre == pytest.approx(2.75)


@pytest.mark.parametrize(
    ("likes", "expected"),
    [
        ([Like(item_id=HEAT, rating=6)], "rating_out_of_scale"),
        ([Like(item_id=HEAT, like=1), Like(title="Heat", like=-1)], "contradiction"),
        ([Like(item_id="tt0113277", like=1)], "bad_item_id"),
        ([Like(title="Heat 2", like=1), Like(item_id=HEAT, like=1)], "not_found"),
    ],
)
def test_what_cannot_be_meant_is_refused(reader: LikeReader, likes: list[Like], expected: str) -> None:
    """Off the scale, the same item twice, an id of another catalogue, a title that no item has."""
    assert code(reader, *likes) == expected


def test_text_ids_are_looked_up_and_none_is_registered() -> None:
    """Law: a like of a text id is of its dimension; one that nobody knows is left out by its id, and given none."""
    items = ItemIds(ItemRegistry(MemoryTable()))
    heat = items.assigned(["SKU heat"])["SKU heat"]
    reader = LikeReader(ItemNames(Catalogue(), items), Scale(), lambda asked: asked == heat)
    found = reader.read([Like(item_id="SKU heat", like=1), Like(item_id="nothing", like=1)], RULES)
    assert (found.history.items.tolist(), found.unknown) == ([heat], ("nothing",))
    assert items.known("nothing") is None
    assert code(reader, Like(item_id=7, like=1)) == "bad_item_id"
    assert code(reader, Like(item_id="nothing", like=1), Like(item_id="nothing", like=-1)) == "contradiction"
