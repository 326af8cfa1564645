"""Rows of text to columns of ratings, one parser for every format: a format says which column holds what.

A row that cannot be used ends the reading with its line, its column and what was expected there.
"""

import sys
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from itertools import islice
from typing import Any

import numpy as np

from producers.archives import Row, column_count_error
from producers.tables import DatasetError, IdColumn, Ratings
from schemas.identity import ITEM_ID_MAX
from schemas.scale import Scale

RATINGS_MAX = 200_000_000
"""The most rows that one file may have; the largest MovieLens has 34 million."""
_SHOWN_MAX_CHARS = 40


@dataclass(frozen=True, slots=True)
class Column:
    """Where a value stands (`place` from 0), how it is read (ValueError or OverflowError refuse it), where it goes."""

    name: str
    expected: str
    place: int
    read: Callable[[str], Any]
    values: Any = field(default_factory=list)


def integer_columns(scale: Scale | None, places: tuple[int, int, int, int] = (0, 1, 2, 3)) -> tuple[Column, ...]:
    """User, item, rating and seconds since 1970, as all of MovieLens has them; arrays bound the integers."""
    user, item, rating, time = places
    return (
        Column("user id", "an integer", user, int, array("q")),
        Column("item id", f"an integer from 0 to {ITEM_ID_MAX}", item, int, array("I")),
        rating_column(scale, rating),
        Column("time", "a number of seconds since 1970", time, int, array("I")),
    )


def rating_column(scale: Scale | None, place: int) -> Column:
    """A rating within the scale, or any finite one where none is told."""
    low, high = (scale.minimum, scale.maximum) if scale else (-sys.float_info.max, sys.float_info.max)
    expected = f"a rating from {low:g} to {high:g}: tell another scale or mend it" if scale else "a finite number"

    def read(text: str) -> float:
        rating = float(text)
        if not low <= rating <= high:
            raise ValueError
        return rating

    return Column("rating", expected, place, read, array("d"))


def fill(columns: tuple[Column, ...], rows: Iterator[Row], file: Traversable, header: list[str]) -> None:
    """Read every row into the columns' values; `header` names all columns of the file.

    Raises:
        DatasetError: a row that does not fit, none at all, or more than `RATINGS_MAX`.
    """
    width = len(header)
    for line, row in islice(rows, RATINGS_MAX):
        if len(row) != width:
            raise column_count_error(len(row), ",".join(header), file, line)
        for column in columns:
            try:
                column.values.append(column.read(row[column.place]))
            except (ValueError, OverflowError):
                raise _refusal(column, row, file, line) from None
    if next(rows, None) is not None:
        raise DatasetError(f"it holds over {RATINGS_MAX} ratings: give fewer", str(file))
    if not columns[0].values:
        raise DatasetError("it holds no ratings: give a data set that has some", str(file))


def _refusal(column: Column, row: list[str], file: Traversable, line: int) -> DatasetError:
    found = row[column.place][:_SHOWN_MAX_CHARS]
    return DatasetError(f"the {column.name} {found!r} is not {column.expected}", str(file), line)


def read_integer_ratings(rows: Iterator[Row], file: Traversable, scale: Scale | None) -> Ratings:
    """Ratings in MovieLens's four columns, whatever separates them.

    Raises:
        DatasetError: as `fill`.
    """
    columns = integer_columns(scale)
    fill(columns, rows, file, ["user", "item", "rating", "time"])
    user, item, rating, seconds = (column.values for column in columns)
    times = np.array(seconds, dtype=np.int64) * 1000
    return Ratings(_int64(user), _int64(item), np.array(rating, dtype=np.float64), times)


def _int64(values: Any) -> IdColumn:
    return np.array(values, dtype=np.int64)


def scale_of(ratings: Ratings, told: Scale | None, file: Traversable) -> Scale:
    """The scale that was told; else half to five stars where they hold every rating; else the data's own bounds.

    Raises:
        DatasetError: the data's bounds are no scale (all ratings equal, or none above 0).
    """
    low, high = float(ratings.rating.min()), float(ratings.rating.max())
    scale = told or Scale()
    if told or (low in scale and high in scale):
        return scale
    try:
        return Scale(low, high)
    except ValueError as error:
        raise DatasetError(f"its ratings do not tell their scale ({error}): tell it", str(file)) from None
