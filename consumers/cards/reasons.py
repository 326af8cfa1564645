"""The explanation that an item of a list may carry, as rows of a card: what gave how much of the score."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from schemas.recommendations import ListItem

RATINGS_TOLD = 3
"""Ratings of the user's own that a card names; the others are one row."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A row: what gave it, and which share of the score; negative where it spoke against the item."""

    text: str
    share: float


@dataclass(frozen=True, slots=True)
class Reasons:
    """The rows, whose shares add up to 1, and the sentence that says what would be without a rating ("": none)."""

    rows: tuple[Reason, ...]
    without: str = ""


def reasons_of(item: ListItem) -> Reasons | None:
    """Why an item is in its list; None where the list does not say, or says it in a form not known here."""
    # Lists of other versions stand in the topic too: what one of them lacks must not cost the page.
    why = cast("Mapping[str, Any]", item).get("why")
    score = item["score"]
    if not isinstance(why, Mapping) or score <= 0:
        return None
    try:
        given = [*_ratings(why), ("what many rate now", why["trend"]), ("what many have rated", why["popularity"])]
        rows = tuple(Reason(text, float(part) / score) for text, part in given if part)
        return Reasons(rows, _without(why.get("without", ())))
    except (KeyError, TypeError, ValueError):
        return None


def _ratings(why: Mapping[str, Any]) -> list[tuple[str, float]]:
    by_weight = sorted(why["ratings"], key=lambda one: -abs(one["contribution"]))
    told, rest = by_weight[:RATINGS_TOLD], by_weight[RATINGS_TOLD:]
    rows = [(f"your {one['rating']:g} for {_title(one)}", one["contribution"]) for one in told]
    others = why["other_ratings"]
    count = others["count"] + len(rest)
    summed = others["contribution"] + sum(one["contribution"] for one in rest)
    return [*rows, (f"{count} more of your ratings" if count > 1 else "one more of your ratings", summed)]


def _without(changed: Any) -> str:
    if not changed:
        return ""
    decisive = max(changed, key=lambda one: float("inf") if one["place"] is None else one["place"])
    there = "it would not be here" if decisive["place"] is None else f"its place would be {decisive['place']}"
    return f"Without your rating of {_title(decisive)} {there}."


def _title(one: Mapping[str, Any]) -> str:
    return str(one.get("title", f"item {one['item_id']}"))
