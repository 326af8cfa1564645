"""MovieLens with `::` between its fields (ml-1m, ml-10m), and MovieTweetings, which borrowed the form."""

from importlib.resources.abc import Traversable

from producers.movie_fields import Items, Record, Users, genre_names, read_records, title_year
from producers.tables import CatalogueItem, DatasetError, User

SEPARATOR = "::"
IMDB_ID_MIN_CHARS = 7
"""MovieTweetings takes IMDb's ids, padded to seven digits, for its own; MovieLens's are shorter."""

OCCUPATIONS = (
    *("other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service"),
    *("doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer"),
    *("retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman"),
    *("unemployed", "writer"),
)
"""The names behind ml-1m's occupation codes, from its README."""


def dat_items(folder: Traversable) -> Items:
    """The movies of movies.dat (`id::title::genre|genre`); none where there is no such file.

    Raises:
        DatasetError: a record that cannot be used.
    """
    items = (_item(record) for record in read_records(folder / "movies.dat", SEPARATOR))
    return {item.item_id: item for item in items}


def _item(record: Record) -> CatalogueItem:
    if len(record.fields) < 3:
        record.check_count(3, "id::title::genres")
    # A title may hold the separator: only the outer two fields are certain.
    movie, *title_parts, genres = record.fields
    title = SEPARATOR.join(title_parts).strip()
    imdb_id = movie if len(movie) >= IMDB_ID_MIN_CHARS else None
    return CatalogueItem(
        record.integer(0, "movie id"), title, genre_names(genres.split("|")), title_year(title), imdb_id
    )


def dat_users(folder: Traversable) -> Users:
    """The users of users.dat (`id::gender::age::occupation::zip`); MovieTweetings' two columns say nothing of them.

    Raises:
        DatasetError: a record that cannot be used.
    """
    records = read_records(folder / "users.dat", SEPARATOR)
    users = (_user(record) for record in records if len(record.fields) != 2)
    return {user.user_id: user for user in users}


def _user(record: Record) -> User:
    record.check_count(5, "id::gender::age::occupation::zip")
    code = record.integer(3, "occupation")
    if not 0 <= code < len(OCCUPATIONS):
        raise DatasetError(f"the occupation {code} is not 0 to {len(OCCUPATIONS) - 1}", str(record.file), record.line)
    return User(record.integer(0, "user id"), record.integer(2, "age"), record.fields[1], OCCUPATIONS[code])
