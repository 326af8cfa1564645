"""Genres, tags and years of items in arrays, so that a filter costs no loop over the catalogue.

Rows are numbered as items appear. A genre or a tag has the set of its rows, and an array of them once it is asked for;
where an item's row is, is looked up in sorted arrays, which are made anew when somebody asks after new items came.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense
from recommender.profile import Items

Mask = NDArray[np.bool_]

NO_YEAR = np.iinfo(np.int16).min
"""Stands for an unknown year; outside every range that is asked for."""


class ItemColumns:
    """What filters ask of items."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self._items: Items = np.empty(0, np.uint32)
        self._rows_of_items: Dense = np.empty(0, np.int32)
        # One more than there are rows: the row of an item that is not known, −1, is the last one.
        self._years: NDArray[np.int16] = np.full(1024, NO_YEAR, np.int16)
        self.genres = Labels()
        self.tags = Labels()

    def put(self, item: int, genres: Iterable[str], tags: Iterable[str], year: int | None) -> None:
        """Know this of an item that is not known."""
        row = self._rows.setdefault(item, len(self._rows))
        if row + 1 >= len(self._years):
            self._years = np.concatenate((self._years, np.full(len(self._years), NO_YEAR, np.int16)))
        self._years[row] = NO_YEAR if year is None else year
        self.genres.add(row, genres)
        self.tags.add(row, tags)

    def remove(self, item: int, genres: Iterable[str], tags: Iterable[str]) -> None:
        """Know nothing of an item any more, of which this was known."""
        row = self._rows[item]
        self._years[row] = NO_YEAR
        self.genres.discard(row, genres)
        self.tags.discard(row, tags)

    def rows(self, items: Items) -> Dense:
        """Rows of the given dimensions, same shape, −1 for an item that was never known."""
        if not len(self._rows):
            return np.full(len(items), -1, np.int32)
        if len(self._items) < len(self._rows):
            self._sort()
        places = np.minimum(np.searchsorted(self._items, items), len(self._items) - 1)
        found: Dense = np.where(self._items[places] == items, self._rows_of_items[places], np.int32(-1))
        return found

    def years(self, rows: Dense) -> NDArray[np.int16]:
        """Years by row, `NO_YEAR` where there is none."""
        return self._years[rows]

    def labelled(self, labels: "Labels", names: Iterable[str], rows: Dense) -> Mask:
        """Which rows have any of these genres or tags, shape of `rows`."""
        marked = np.zeros(len(self._rows) + 1, np.bool_)
        for name in names:
            marked[labels.rows(name)] = True
        found: Mask = marked[rows]
        return found

    def _sort(self) -> None:
        items = np.fromiter(self._rows, np.uint32, len(self._rows))
        order = np.argsort(items).astype(np.int32)
        self._items, self._rows_of_items = items[order], order


class Labels:
    """The rows of each genre, or of each tag; names are compared without case."""

    def __init__(self) -> None:
        self._rows: dict[str, set[int]] = {}
        self._arrays: dict[str, Dense] = {}

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._rows

    def add(self, row: int, names: Iterable[str]) -> None:
        """Label a row."""
        for name in map(str.casefold, names):
            self._rows.setdefault(name, set()).add(row)
            self._arrays.pop(name, None)

    def discard(self, row: int, names: Iterable[str]) -> None:
        """Take labels off a row."""
        for name in {name.casefold() for name in names}:
            rows = self._rows[name]
            rows.discard(row)
            self._arrays.pop(name, None)
            if not rows:
                del self._rows[name]

    def rows(self, name: str) -> Dense:
        """The rows of a label, in no order; none where nothing has it."""
        name = name.casefold()
        found = self._arrays.get(name)
        if found is None:
            rows = self._rows.get(name)
            if rows is None:
                return np.empty(0, np.int32)
            found = self._arrays[name] = np.fromiter(rows, np.int32, len(rows))
        return found
