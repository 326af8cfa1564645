"""MovieLens's oldest form, ml-100k: u.item with a flag for each genre, and u.user."""

from importlib.resources.abc import Traversable

from producers.movie_fields import Items, Record, Users, genre_names, read_records, title_year
from producers.tables import CatalogueItem, User

SEPARATOR = "|"
GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_BEFORE_GENRES = ("id", "title", "release", "video", "url")


def tab_items(folder: Traversable) -> Items:
    """The movies of u.item; none where there is no such file.

    Raises:
        DatasetError: a record that cannot be used.
    """
    items = (_item(record) for record in read_records(folder / "u.item", SEPARATOR))
    return {item.item_id: item for item in items}


def _item(record: Record) -> CatalogueItem:
    record.check_count(len(_BEFORE_GENRES) + len(GENRES), SEPARATOR.join((*_BEFORE_GENRES, *GENRES)))
    title, release = record.fields[1].strip(), record.fields[2]
    flags = record.fields[len(_BEFORE_GENRES) :]
    genres = genre_names(name for name, flag in zip(GENRES, flags, strict=True) if flag == "1")
    return CatalogueItem(record.integer(0, "movie id"), title, genres, title_year(title) or _release_year(release))


def _release_year(release: str) -> int | None:
    year = release.rpartition("-")[2]
    return int(year) if len(year) == 4 and year.isdecimal() else None


def tab_users(folder: Traversable) -> Users:
    """The users of u.user (`id|age|gender|occupation|zip`); none where there is no such file.

    Raises:
        DatasetError: a record that cannot be used.
    """
    users = (_user(record) for record in read_records(folder / "u.user", SEPARATOR))
    return {user.user_id: user for user in users}


def _user(record: Record) -> User:
    record.check_count(5, "id|age|gender|occupation|zip")
    return User(record.integer(0, "user id"), record.integer(1, "age"), record.fields[2], record.fields[3])
