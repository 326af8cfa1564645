"""Explanations in words."""

from collections.abc import Sequence

from schemas.recommendations import ListItem, WhyRating, WhyThere, WithoutRating

REASONS_TOLD = 3
"""Ratings that a sentence names."""


def reason_lines(item: ListItem, place: int) -> list[str]:
    """Why an item is at its place, in a sentence or two; none where the item does not say."""
    if "why" not in item:
        return []
    said = (because(item, item["why"]), counterfactual(place, item["why"]))
    return [line for line in said if line is not None]


def because(item: ListItem, why: WhyThere) -> str:
    """Why an item is in its list, as the rest of a sentence, with shares of its score."""
    score = item["score"]
    parts = []
    told = [reason for reason in why["ratings"] if reason["contribution"] > 0][:REASONS_TOLD]
    if told:
        named = [f"{_title(one)} {one['rating']:g} ({_share(one['contribution'], score)})" for one in told]
        parts.append(f"you rated {_listed(named)}, and {_people(item['support'])} with your taste rated it")
    elif _given(why) > 0:
        parts.append(f"{_people(item['support'])} with your taste rated it")
    if why["trend"] > 0:
        parts.append(f"many rate it now ({_share(why['trend'], score)})")
    if why["popularity"] > 0 or not parts:
        parts.append("many have rated it")
    return f"because {'; '.join(parts)}"


def counterfactual(place: int, why: WhyThere) -> str | None:
    """What the one rating is worth that decides most about an item at this place; None without any such."""
    if not why["without"]:
        return None
    decisive = max(why["without"], key=lambda one: float("inf") if one["place"] is None else one["place"])
    there = decisive["place"]
    if there is not None and there <= place:
        return f"it stays at place {place} without any one of these ratings" if there == place else None
    lot = "not be listed at all" if there is None else f"fall to place {there}"
    return f"without your rating of {_title(decisive)} it would {lot}"


def _given(why: WhyThere) -> float:
    return sum(one["contribution"] for one in (*why["neighbours"], why["other_neighbours"]))


def _title(one: WhyRating | WithoutRating) -> str:
    return one.get("title", f"item {one['item_id']}")


def _people(count: int) -> str:
    return "one person" if count == 1 else f"{count} people"


def _share(contribution: float, score: float) -> str:
    return f"{contribution / score:.0%}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
