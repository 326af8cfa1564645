"""MovieLens as CSV (ml-latest, ml-20m and later): movies.csv, links.csv and tags.csv beside ratings.csv."""

from collections import Counter, defaultdict
from importlib.resources.abc import Traversable

from producers.movie_fields import Items, genre_names, read_table, title_year
from producers.tables import CatalogueItem

RATINGS_HEADER = ["userId", "movieId", "rating", "timestamp"]
TAGS_PER_ITEM_MAX = 50

_Links = tuple[str | None, int | None]


def csv_items(folder: Traversable) -> Items:
    """The movies of a folder, with their links and tags; none where it has no movies.csv.

    Raises:
        DatasetError: a file that is there and cannot be used.
    """
    links, tags = _links(folder), _tags(folder)
    items: Items = {}
    for record in read_table(folder / "movies.csv", ("movieId", "title", "genres")):
        movie = record.integer(0, "movie id")
        title = record.fields[1].strip()
        genres = genre_names(record.fields[2].split("|"))
        items[movie] = CatalogueItem(
            movie, title, genres, title_year(title), *links.get(movie, (None, None)), tags.get(movie, ())
        )
    return items


def _links(folder: Traversable) -> dict[int, _Links]:
    links: dict[int, _Links] = {}
    for record in read_table(folder / "links.csv", ("movieId", "imdbId", "tmdbId")):
        tmdb_id = record.integer(2, "tmdbId") if record.fields[2] else None
        links[record.integer(0, "movie id")] = (record.fields[1] or None, tmdb_id)
    return links


def _tags(folder: Traversable) -> dict[int, tuple[str, ...]]:
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for record in read_table(folder / "tags.csv", ("movieId", "tag")):
        counts[record.integer(0, "movie id")][record.fields[1].strip().casefold()] += 1
    return {movie: _most_used(tags) for movie, tags in counts.items()}


def _most_used(tags: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(tags, key=lambda tag: (-tags[tag], tag))[:TAGS_PER_ITEM_MAX])
