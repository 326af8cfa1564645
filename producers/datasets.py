"""Data sets by their path: which form a folder, zip or file has, and the small MovieLens that ships with the project.

| what is there | read as |
|---|---|
| ratings.csv with MovieLens's header | ml-latest, with movies.csv, links.csv and tags.csv where they are |
| ratings.dat | ml-1m's `::` form, with movies.dat and users.dat where they are |
| u.data | ml-100k, with u.item and u.user where they are |
| one CSV file with another header | `rating_csv` |
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from producers.archives import open_folder, read_rows
from producers.movie_fields import Items, Users
from producers.movielens_100k import tab_items, tab_users
from producers.movielens_csv import RATINGS_HEADER, csv_items
from producers.movielens_dat import dat_items, dat_users
from producers.rating_csv import read_named_ratings
from producers.rating_rows import read_integer_ratings, scale_of
from producers.tables import Dataset, DatasetError
from schemas.scale import Scale

_BUNDLED = "ml-latest-small.zip"
_SHOWN_MAX_NAMES = 10


@dataclass(frozen=True, slots=True)
class _Form:
    ratings: str
    separator: str
    items: Callable[[Traversable], Items]
    users: Callable[[Traversable], Users]


_FORMS = (_Form("ratings.dat", "::", dat_items, dat_users), _Form("u.data", "\t", tab_items, tab_users))


def bundled_dataset() -> Dataset:
    """MovieLens ml-latest-small: 100,836 ratings of 9,742 movies by 610 users; its README holds its licence."""
    with resources.as_file(resources.files("producers") / "data" / _BUNDLED) as path:
        return load_dataset(path)


def bundled_items() -> Items:
    """The movies of that data set, without its ratings."""
    with resources.as_file(resources.files("producers") / "data" / _BUNDLED) as path:
        return load_items(path)


def load_items(path: Path) -> Items:
    """The movies of the MovieLens data set at `path`, a folder or its zip, without its ratings.

    Raises:
        DatasetError: nothing there, no form known here, or a line that cannot be used.
    """
    with open_folder(path) as folder:
        for read in (csv_items, dat_items, tab_items):
            if items := read(folder):
                return items
    raise DatasetError("no movies.csv, movies.dat or u.item in it: give a data set that has one", str(path))


def load_dataset(path: Path, scale: Scale | None = None) -> Dataset:
    """The data set at `path`: a folder, its zip, or a CSV file; every rating must lie on `scale` where it is given.

    Raises:
        DatasetError: nothing there, no form known here, or a line that cannot be used.
    """
    if path.suffix.lower() == ".csv" and path.is_file():
        return _load_csv(path, path.parent, path.stem, scale)
    with open_folder(path) as folder:
        name = path.resolve().name.removesuffix(".zip")
        for form in _FORMS:
            if (folder / form.ratings).is_file():
                return _load_form(form, folder, name, scale)
        return _load_csv(_csv_file(folder), folder, name, scale)


def _load_form(form: _Form, folder: Traversable, name: str, scale: Scale | None) -> Dataset:
    file = folder / form.ratings
    ratings = read_integer_ratings(read_rows(file, form.separator), file, scale)
    return Dataset(name, ratings, scale_of(ratings, scale, file), form.items(folder), form.users(folder))


def _load_csv(file: Traversable, folder: Traversable, name: str, scale: Scale | None) -> Dataset:
    rows = read_rows(file, ",")
    _, header = next(rows, (1, []))
    if header == RATINGS_HEADER:
        ratings, items = read_integer_ratings(rows, file, scale), csv_items(folder)
    else:
        ratings, items = read_named_ratings(header, rows, file, scale), {}
    return Dataset(name, ratings, scale_of(ratings, scale, file), items)


def _csv_file(folder: Traversable) -> Traversable:
    if (folder / "ratings.csv").is_file():
        return folder / "ratings.csv"
    tables = [entry for entry in folder.iterdir() if entry.name.lower().endswith(".csv")]
    if len(tables) != 1:
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:_SHOWN_MAX_NAMES]) or "nothing"
        raise DatasetError(f"no ratings.csv, ratings.dat or u.data in it, only {found}: give one that has", str(folder))
    return tables[0]
