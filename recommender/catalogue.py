"""The catalogue: what is known of each item beside its ratings, kept in memory, found by dimension, title or link.

- An item that was never mentioned is unknown, and may be in lists; one that was removed is remembered, and may not.
- `version` rises with every change, so that whatever is derived from the catalogue knows when it is stale.
- Bounded: known and removed items together are at most `items_max`; what would exceed it is not taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recommender.item_columns import ItemColumns
from recommender.item_finder import ItemFinder
from recommender.profile import Items


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """What is known of an item; `tags` come most used first, `links` hold its id elsewhere by kind ("imdb", "tmdb")."""

    title: str | None = None
    genres: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    year: int | None = None
    links: Mapping[str, str] = field(default_factory=dict)


class Catalogue:
    """Items by dimension."""

    def __init__(self, items_max: int = 500_000) -> None:
        self.items_max = items_max
        self.version = 0
        self.columns = ItemColumns()
        self._items: dict[int, CatalogueItem] = {}
        self._removed: set[int] = set()
        self._removed_array: Items | None = None
        self._finder: ItemFinder | None = None

    @property
    def items(self) -> Mapping[int, CatalogueItem]:
        """The known items by dimension; not to be changed."""
        return self._items

    @property
    def removed(self) -> Items:
        """Dimensions of the items that were removed, ascending, shape (n,)."""
        if self._removed_array is None:
            self._removed_array = np.array(sorted(self._removed), np.uint32)
        return self._removed_array

    def get(self, item: int) -> CatalogueItem | None:
        """What is known of an item, None where nothing is."""
        return self._items.get(item)

    def put(self, item: int, known: CatalogueItem) -> bool:
        """Know this of an item from now on, in place of what was known; False: there is no room for another item."""
        before = self._items.get(item)
        if before == known:
            return True
        if not self._has_room(item):
            return False
        self._unindex(item, before)
        self._unmark(item)
        self._items[item] = known
        self._index(item, known)
        self.version += 1
        return True

    def remove(self, item: int) -> bool:
        """Take an item out, so that no list shows it; False: there is no room to remember another item."""
        if item in self._removed:
            return True
        if not self._has_room(item):
            return False
        self._unindex(item, self._items.pop(item, None))
        self._removed.add(item)
        self._removed_array = None
        self.version += 1
        return True

    def titled(self, title: str) -> list[int]:
        """The items of this title, ascending: those of exactly this title, or else all that it may mean."""
        found = self._found.titled(title)
        return [item for item in found if self._items[item].title == title] or found

    def linked(self, kind: str, identity: str) -> list[int]:
        """The items of this id elsewhere, such as ("imdb", "tt0111161"), ascending."""
        return self._found.linked(kind, identity)

    @property
    def _found(self) -> ItemFinder:
        if self._finder is None:
            # Whoever never asks by title or link pays for neither time nor memory.
            self._finder = ItemFinder()
            for item, known in self._items.items():
                self._finder.put(item, known.title, known.links)
        return self._finder

    def _has_room(self, item: int) -> bool:
        known = item in self._items or item in self._removed
        return known or len(self._items) + len(self._removed) < self.items_max

    def _unmark(self, item: int) -> None:
        if item in self._removed:
            self._removed.discard(item)
            self._removed_array = None

    def _index(self, item: int, known: CatalogueItem) -> None:
        self.columns.put(item, known.genres, known.tags, known.year)
        if self._finder is not None:
            self._finder.put(item, known.title, known.links)

    def _unindex(self, item: int, known: CatalogueItem | None) -> None:
        if known is None:
            return
        self.columns.remove(item, known.genres, known.tags)
        if self._finder is not None:
            self._finder.remove(item, known.title, known.links)
