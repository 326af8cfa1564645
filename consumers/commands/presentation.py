"""How lists, histories and lengths of time look on a terminal. Titles are data: none is taken for markup."""

from collections.abc import Iterable, Sequence
from itertools import islice

from rich.table import Table
from rich.text import Text

from consumers.catalogue_reading import NamedCatalogue
from consumers.item_ids import ItemId
from consumers.reason_text import reason_lines
from consumers.user_reading import UserReading
from recommender.profile import History
from schemas.recommendations import ListItem, RecommendationList
from schemas.replies import KnownItem, SimilarItem
from schemas.times import format_time

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))


def length_text(length_ms: int) -> str:
    """A length of time in its greatest unit: 12 ms, 3.4 s, 5.0 min, 2.1 h, 8.0 d."""
    for unit, unit_ms in _UNITS:
        if length_ms >= unit_ms:
            return f"{length_ms / unit_ms:.1f} {unit}"
    return f"{length_ms} ms"


def item_title(item: ListItem | KnownItem) -> str:
    """What an item is called: by its list, else by its id."""
    return item.get("title", f"item {item['item_id']}")


def known_title(catalogue: NamedCatalogue, item: ItemId) -> str:
    """What an item is called: by the catalogue, else by its id."""
    known = catalogue.get(item)
    return f"item {item}" if known is None or known.title is None else known.title


def found_by(item: ListItem) -> str:
    """An item's `type` and `source` in short (`both: ratings + content`); nothing where its list does not say."""
    kind, sources = item.get("type", ""), " + ".join(item.get("source", []))
    return f"{kind}: {sources}" if sources not in {"", kind} else kind


def list_titles(value: RecommendationList, top: int) -> list[str]:
    """The titles of the first items of a list, with what they were found by where the list says it."""
    items = value["items"][:top]
    return [f"{item_title(item)} ({ways})" if (ways := found_by(item)) else item_title(item) for item in items]


def list_table(value: RecommendationList, top: int) -> Table:
    """The first items of a list: title, genres, predicted rating, how many rated it; what found these, if said."""
    items = value["items"][:top]
    ways = _found_by(items)
    table = _table("", "title", "genres", *ways, "predicted", "rated by", "score")
    for place, item in enumerate(items, 1):
        table.add_row(
            str(place),
            Text(item_title(item)),
            Text(" ".join(item.get("genres", []))),
            *(found_by(item) for _ in ways),
            f"{item['predicted_rating']:.2f}",
            str(item["support"]),
            f"{item['score']:.3f}",
        )
    return table


def reasons_table(items: Sequence[ListItem]) -> Table:
    """The first items of a list and, in words, why they are there."""
    ways = _found_by(items)
    table = _table("", "title", *ways, "why")
    for place, item in enumerate(items, 1):
        reasons = Text("\n".join(reason_lines(item, place)))
        table.add_row(str(place), Text(item_title(item)), *(found_by(item) for _ in ways), reasons)
    return table


def similar_items_table(items: Sequence[SimilarItem]) -> Table:
    """Items like an item: title, genres, similarity."""
    table = _table("", "title", "genres", "similarity")
    for place, item in enumerate(items, 1):
        genres = Text(" ".join(item.get("genres", [])))
        table.add_row(str(place), Text(item_title(item)), genres, f"{item['similarity']:.3f}")
    return table


def history_table(reading: UserReading, catalogue: NamedCatalogue, limit: int) -> Table:
    """The newest entries of a user's history: when, rating, title; a retraction has no rating."""
    table = _table("rated at", "rating", "title")
    for item, rating, at_ms in islice(newest_first(reading.state.history), limit):
        shown = "retracted" if rating is None else f"{rating:g}"
        table.add_row(format_time(at_ms), shown, Text(known_title(catalogue, reading.items[item])))
    return table


def newest_first(history: History) -> list[tuple[int, float | None, int]]:
    """(dimension, rating or None where it was retracted, epoch ms), the newest first."""
    return entries(history)[::-1]


def entries(history: History) -> list[tuple[int, float | None, int]]:
    """(dimension, rating or None where it was retracted, epoch ms), in event-time order."""
    # Only NaN differs from itself: JSON has no word for it, so a retraction is null there.
    ratings = [rating if rating == rating else None for rating in history.ratings.tolist()]  # noqa: PLR0124
    return list(zip(history.items.tolist(), ratings, history.rated_at.tolist(), strict=True))


def _found_by(items: Iterable[ListItem]) -> list[str]:
    """The column for what items were found by; none where no item says it."""
    return ["found by"] if any(map(found_by, items)) else []


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in {"", "predicted", "rated by", "score", "rating", "similarity"} else "left",
        )
    return table
