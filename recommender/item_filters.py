"""Which items may be in a list: by genre, tag, year, by name, or only what is rated now."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recommender.catalogue import Catalogue
from recommender.item_columns import NO_YEAR, Labels, Mask
from recommender.profile import Items, Times

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Every condition that is given must hold; of several genres (tags, items) one is enough.

    Genres and tags are compared without case; years are inclusive, and an item of unknown year is in no range of them.
    `include` lets only these dimensions through, `exclude` none of those. `popular_now_days`: only items whose latest
    rating is at most so many days older than the newest one of the whole stream.

    Raises:
        ValueError: no year, or no item, can pass.
    """

    genres: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    include: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    popular_now_days: float | None = None

    def __post_init__(self) -> None:
        if self.year_from is not None and self.year_to is not None and self.year_from > self.year_to:
            raise ValueError(f"no year lies between year_from {self.year_from} and year_to {self.year_to}: swap them")
        if self.include and not set(self.include) - set(self.exclude):
            raise ValueError("every item of include is in exclude: no item can pass")
        if self.popular_now_days is not None and not self.popular_now_days > 0:
            raise ValueError(f"popular_now_days is more than 0, not {self.popular_now_days}")

    def allowed(self, catalogue: Catalogue, items: Items, ages_ms: Times | None = None) -> Mask:
        """Which of the items pass.

        Args:
            catalogue: what is known of items.
            items: dimensions, shape (n,).
            ages_ms: how much older each item's latest rating is than the newest of all (n,); for `popular_now_days`.

        Raises:
            ValueError: `popular_now_days` is given and `ages_ms` is not.
        """
        passed = np.ones(len(items), np.bool_)
        if self.include:
            passed &= np.isin(items, np.array(self.include, np.uint32))
        if self.exclude:
            passed &= np.isin(items, np.array(self.exclude, np.uint32), invert=True)
        if self.popular_now_days is not None:
            if ages_ms is None:
                raise ValueError("popular_now_days needs the age of each item's latest rating")
            passed &= ages_ms <= self.popular_now_days * _DAY_MS
        return passed & self._described(catalogue, items) if self._asks_the_catalogue() else passed

    def unknown(self, catalogue: Catalogue) -> list[str]:
        """What is asked for and no item has, in words: a misspelt genre is not just an empty list."""
        return [
            *_missing("genre", self.genres, catalogue.columns.genres),
            *_missing("tag", self.tags, catalogue.columns.tags),
        ]

    def _asks_the_catalogue(self) -> bool:
        return bool(self.genres or self.tags) or self.year_from is not None or self.year_to is not None

    def _described(self, catalogue: Catalogue, items: Items) -> Mask:
        columns = catalogue.columns
        rows = columns.rows(items)
        passed = np.ones(len(items), np.bool_)
        if self.genres:
            passed &= columns.labelled(columns.genres, self.genres, rows)
        if self.tags:
            passed &= columns.labelled(columns.tags, self.tags, rows)
        if self.year_from is not None or self.year_to is not None:
            years = columns.years(rows)
            passed &= years != NO_YEAR
            passed &= years >= (NO_YEAR if self.year_from is None else self.year_from)
            passed &= years <= (-NO_YEAR - 1 if self.year_to is None else self.year_to)
        return passed


def _missing(kind: str, names: tuple[str, ...], labels: Labels) -> Iterator[str]:
    return (f"no item has the {kind} {name!r}" for name in names if name not in labels)
