"""Explanations as lists carry them."""

from collections.abc import Callable

from consumers.item_ids import ItemId
from recommender.explanation import UNITS, Explanation, NeighbourReason, RatingReason, Rest, Without
from schemas.recommendations import OtherReasons, WhyNeighbour, WhyRating, WhyThere, WithoutRating

_SIMILARITY_DIGITS = 6
_RESIDUAL_DIGITS = 4
_POSITION_DIGITS = 4

Called = Callable[[int], tuple[ItemId, str | None]]
"""The id and the title of an item, by its dimension."""


def why_there(explanation: Explanation, called: Called) -> WhyThere:
    """Why an item stands in its list; contributions have the digits of a score, and add up as decimals do."""
    return {
        "neighbours": [_neighbour(reason) for reason in explanation.neighbours],
        "other_neighbours": _rest(explanation.other_neighbours),
        "ratings": [_rating(reason, called) for reason in explanation.ratings],
        "other_ratings": _rest(explanation.other_ratings),
        "trend": explanation.trend / UNITS,
        "popularity": explanation.popularity / UNITS,
        "without": [_without(one, called) for one in explanation.without],
    }


def _neighbour(reason: NeighbourReason) -> WhyNeighbour:
    return {
        "neighbour": reason.place,
        "similarity": round(reason.similarity, _SIMILARITY_DIGITS),
        "residual": round(reason.residual, _RESIDUAL_DIGITS),
        "position": round(reason.position, _POSITION_DIGITS),
        "contribution": reason.units / UNITS,
    }


def _rating(reason: RatingReason, called: Called) -> WhyRating:
    item_id, title = called(reason.item)
    found: WhyRating = {
        "item_id": item_id,
        "rating": reason.rating,
        "neighbours": reason.neighbours,
        "contribution": reason.units / UNITS,
    }
    if title is not None:
        found["title"] = title
    return found


def _without(one: Without, called: Called) -> WithoutRating:
    item_id, title = called(one.item)
    found: WithoutRating = {"item_id": item_id, "place": one.place}
    if title is not None:
        found["title"] = title
    return found


def _rest(rest: Rest) -> OtherReasons:
    return {"count": rest.count, "contribution": rest.units / UNITS}
