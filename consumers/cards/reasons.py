"""The explanation that an item of a list may carry, as rows of a card: what gave how much of the score."""

from collections.abc import Iterator
from dataclasses import dataclass

from consumers.reason_text import REASONS_TOLD, counterfactual
from schemas.recommendations import ListItem, WhyThere


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


def reasons_of(item: ListItem, place: int) -> Reasons | None:
    """Why an item is at its place; None where the list does not say, or says it in a form not known here."""
    score = item["score"]
    if "why" not in item or score <= 0:
        return None
    # Lists of other versions stand in the topic too: what one of them lacks must not cost the page.
    try:
        rows = tuple(Reason(text, given / score) for text, given in _given(item["why"]) if given)
        sentence = counterfactual(place, item["why"])
    except (KeyError, TypeError, ValueError):
        return None
    return Reasons(rows, f"{sentence[0].upper()}{sentence[1:]}." if sentence else "")


def _given(why: WhyThere) -> Iterator[tuple[str, float]]:
    by_weight = sorted(why["ratings"], key=lambda one: -abs(one["contribution"]))
    told, rest, others = by_weight[:REASONS_TOLD], by_weight[REASONS_TOLD:], why["other_ratings"]
    for one in told:
        title = one.get("title", f"item {one['item_id']}")
        yield f"your {one['rating']:g} for {title}", one["contribution"]
    summed = others["contribution"] + sum(one["contribution"] for one in rest)
    yield _more(others["count"] + len(rest)), summed
    yield "what many rate now", why["trend"]
    yield "what many have rated", why["popularity"]


def _more(count: int) -> str:
    return "one more of your ratings" if count == 1 else f"{count:,} more of your ratings"
