"""The story: one viewer's list before and after a few telling ratings, and the change in one line."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from consumers.reason_text import reason_lines
from producers.tables import CatalogueItem, Dataset
from schemas.recommendations import ListItem, RecommendationList

VIEWER = "you"
"""The user id of the viewer; the data set's own are numbers."""

FIRST_TASTE = (
    ("Toy Story (1995)", 5.0),
    ("Lion King, The (1994)", 5.0),
    ("Finding Nemo (2003)", 4.5),
    ("Beauty and the Beast (1991)", 4.5),
    ("Aladdin (1992)", 4.0),
    ("Monsters, Inc. (2001)", 4.5),
)
SECOND_TASTE = (
    ("Alien (1979)", 5.0),
    ("Blade Runner (1982)", 5.0),
    ("Terminator, The (1984)", 4.5),
    ("2001: A Space Odyssey (1968)", 4.5),
    ("Aliens (1986)", 5.0),
    ("Thing, The (1982)", 4.5),
)


@dataclass(frozen=True, slots=True)
class Telling:
    """One telling rating."""

    item: CatalogueItem
    rating: float


def telling(dataset: Dataset, taste: Sequence[tuple[str, float]]) -> list[Telling]:
    """The items of a taste, by title; those the data set has."""
    by_title = {item.title: item for item in dataset.items.values()}
    return [Telling(by_title[title], rating) for title, rating in taste if title in by_title]


def explanation(before: RecommendationList, after: RecommendationList) -> str:
    """What changed between two lists, in one line."""
    old = {item["item_id"] for item in before["items"]}
    new = [item for item in after["items"] if item["item_id"] not in old]
    gained, lost = _shifted(before["items"], after["items"])
    words = f"{len(new)} of {len(after['items'])} titles are new"
    if gained:
        words += f"; {gained[0]} rose from {gained[1]} to {gained[2]} of the list"
    if lost:
        words += f", {lost[0]} fell from {lost[1]} to {lost[2]}"
    return words


def reason(before: RecommendationList, explained: Sequence[ListItem]) -> str | None:
    """Why an item is there, in a sentence or two: the first that was not there before, or else the first."""
    old = {item["item_id"] for item in before["items"]}
    place, chosen = next(((at, one) for at, one in enumerate(explained, 1) if one["item_id"] not in old), (1, None))
    chosen = chosen or explained[0]
    lines = reason_lines(chosen, place)
    sentences = ". ".join(line[0].upper() + line[1:] for line in lines[1:])
    name = chosen.get("title", f"item {chosen['item_id']}")
    return f"{name}, {lines[0]}. {sentences}".rstrip(". ") if lines else None


def _shifted(
    before: Sequence[ListItem], after: Sequence[ListItem]
) -> tuple[tuple[str, int, int] | None, tuple[str, int, int] | None]:
    old, new = _genres(before), _genres(after)
    changes = sorted(((new[genre] - old[genre], genre) for genre in {*old, *new}), key=lambda row: (-row[0], row[1]))
    rising = [(genre, old[genre], new[genre]) for change, genre in changes if change > 0]
    falling = [(genre, old[genre], new[genre]) for change, genre in reversed(changes) if change < 0]
    return (rising[0] if rising else None), (falling[0] if falling else None)


def _genres(items: Sequence[ListItem]) -> Counter[str]:
    return Counter(genre for item in items for genre in item.get("genres", []))
