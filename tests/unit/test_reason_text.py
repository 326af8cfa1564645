"""Explanations in words: nothing is said that the numbers do not say."""

from typing import Any

import pytest

from consumers.reason_text import because, counterfactual, reason_lines
from schemas.recommendations import ListItem, WhyThere


def rating(item: int, contribution: float, **more: Any) -> Any:
    return {"item_id": item, "rating": 4.5, "neighbours": 2, "contribution": contribution, **more}


def why(**changes: Any) -> WhyThere:
    neighbour = {"neighbour": 1, "similarity": 0.5, "residual": 1.0, "position": 1.0, "contribution": 0.4}
    empty: WhyThere = {
        "neighbours": [neighbour],  # type: ignore[list-item]
        "other_neighbours": {"count": 11, "contribution": 0.1},
        "ratings": [],
        "other_ratings": {"count": 0, "contribution": 0.0},
        "trend": 0.0,
        "popularity": 0.0,
        "without": [],
    }
    return {**empty, **changes}  # type: ignore[typeddict-item]


NOBODY: dict[str, Any] = {"neighbours": [], "other_neighbours": {"count": 0, "contribution": 0.0}}
ITEM: ListItem = {"item_id": 9, "score": 0.5, "predicted_rating": 4.0, "support": 12}


@pytest.mark.parametrize(
    ("explanation", "said"),
    [
        (
            why(ratings=[rating(1, 0.3, title="Alien")]),
            "you rated Alien 4.5 (60%), and 12 people with your taste rated it",
        ),
        (
            why(ratings=[rating(1, 0.25), rating(2, -0.2), rating(3, 0.15), rating(4, 0.05), rating(5, 0.01)]),
            "you rated item 1 4.5 (50%), item 3 4.5 (30%) and item 4 4.5 (10%), and 12 people with your taste rated it",
        ),
        (why(), "12 people with your taste rated it"),
        (why(trend=0.1), "12 people with your taste rated it; many rate it now (20%)"),
        (why(trend=0.5, **NOBODY), "many rate it now (100%)"),
        (why(popularity=0.5, **NOBODY), "many have rated it"),
        (why(**NOBODY), "many have rated it"),
    ],
)
def test_a_sentence_names_what_speaks_for_an_item(explanation: WhyThere, said: str) -> None:
    """The strongest ratings with their shares, how many neighbours, trend and popularity; nothing that gave nothing."""
    assert because(ITEM, explanation) == f"because {said}"


def test_one_neighbour_is_a_person() -> None:
    """One is not many."""
    assert because({**ITEM, "support": 1}, why()) == "because one person with your taste rated it"


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({1: 5, 2: 14, 3: 7}, "without your rating of item 2 it would fall to place 14"),
        ({1: 5, 2: None, 3: 7}, "without your rating of item 2 it would not be listed at all"),
        ({1: 4, 2: 3}, "it stays at place 4 without any one of these ratings"),
        ({1: 2}, None),
        ({}, None),
    ],
)
def test_the_most_decisive_rating_is_told(places: dict[int, int | None], said: str | None) -> None:
    """The one without which the item, now fourth, would stand lowest; nothing where it would rise."""
    without = [{"item_id": item, "place": place} for item, place in places.items()]
    assert counterfactual(4, why(without=without)) == said


def test_an_item_without_reasons_says_nothing() -> None:
    """No explanation, no line; with one, a line or two."""
    assert reason_lines(ITEM, 1) == []
    assert len(reason_lines({**ITEM, "why": why()}, 1)) == 1
