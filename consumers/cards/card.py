"""A list and the catalogue to cards: everything that is told of one item, before it is drawn."""

import re
from dataclasses import dataclass

from consumers.cards.reasons import Reasons, reasons_of
from consumers.catalogue_reading import NamedCatalogue
from recommender.catalogue import CatalogueItem
from schemas.recommendations import ListItem, RecommendationList

UNKNOWN_TITLE = "Unknown Title"

_IMDB_ID = re.compile(r"(?:tt)?([0-9]{1,10})", re.ASCII)
_IMDB_DIGITS = 7
_NOTHING = CatalogueItem()


@dataclass(frozen=True, slots=True)
class Card:
    """One item of a list; `place` counts from 1, `imdb_id` is as OMDb wants it, None where the catalogue has none."""

    place: int
    title: str
    genres: tuple[str, ...]
    year: int | None
    imdb_id: str | None
    score: float
    predicted_rating: float
    support: int
    reasons: Reasons | None = None


def cards_of(value: RecommendationList, catalogue: NamedCatalogue) -> list[Card]:
    """The cards of a list, in its order, without the items that the catalogue has removed since."""
    removed = frozenset(catalogue.removed())
    placed = enumerate(value["items"], 1)
    return [_card(place, item, catalogue) for place, item in placed if item["item_id"] not in removed]


def imdb_id(link: str) -> str | None:
    """An IMDb id with its prefix and its leading zeros, "tt0114709" of "114709"; None where it is none."""
    found = _IMDB_ID.fullmatch(link)
    return None if found is None else f"tt{int(found[1]):0{_IMDB_DIGITS}}"


def _card(place: int, item: ListItem, catalogue: NamedCatalogue) -> Card:
    item_id = item["item_id"]
    known = catalogue.get(item_id) or _NOTHING
    return Card(
        place,
        _without_year(known.title or item.get("title") or UNKNOWN_TITLE, known.year),
        known.genres or tuple(item.get("genres", ())),
        known.year,
        imdb_id(known.links.get("imdb", "")),
        item["score"],
        item["predicted_rating"],
        item["support"],
        reasons_of(item, place),
    )


def _without_year(title: str, year: int | None) -> str:
    # MovieLens writes the year into the title, and a card shows it on a line of its own.
    return title.removesuffix(f"({year})").rstrip() or title
