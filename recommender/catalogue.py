"""The catalogue: what is known of each item beside its ratings, kept in memory, found by number, title or link.

- An item that was never mentioned is unknown, and may be in lists; one that was removed is remembered, and may not.
- `version` rises with every change, so that whatever is derived from the catalogue knows when it is stale.
- Bounded: known and removed items together are at most `items_max`; what would exceed it is not taken.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from recommender.item_columns import ItemColumns
from recommender.item_titles import asked_forms, title_forms
from recommender.profile import Items

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """What is known of an item; `tags` come most used first, `links` hold its id elsewhere by kind ("imdb", "tmdb")."""

    title: str | None = None
    genres: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    year: int | None = None
    links: Mapping[str, str] = field(default_factory=dict)


class Link(NamedTuple):
    """An id elsewhere, written in the one way in which links are compared."""

    kind: str
    identity: str


def canonical_link(kind: str, identity: str) -> Link:
    """A link as it is compared: IMDb's ids come with "tt" and leading zeros, or without either."""
    kind, identity = kind.strip().casefold(), identity.strip()
    if kind == "imdb":
        identity = identity.casefold().removeprefix("tt")
    return Link(kind, identity.lstrip("0") or identity[-1:] if identity.isdecimal() else identity)


class Catalogue:
    """Items by dimension."""

    def __init__(self, items_max: int = 500_000) -> None:
        self.items_max = items_max
        self.version = 0
        self.columns = ItemColumns()
        self._items: dict[int, CatalogueItem] = {}
        self._removed: set[int] = set()
        self._removed_array: Items | None = None
        self._names: defaultdict[str, set[int]] = defaultdict(set)
        self._links: defaultdict[Link, set[int]] = defaultdict(set)

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
        found: set[int] = set().union(*(self._names.get(form, ()) for form in asked_forms(title)))
        exact = {item for item in found if self._items[item].title == title}
        return sorted(exact or found)

    def linked(self, kind: str, identity: str) -> list[int]:
        """The items of this id elsewhere, such as ("imdb", "tt0111161"), ascending."""
        return sorted(self._links.get(canonical_link(kind, identity), ()))

    def _has_room(self, item: int) -> bool:
        known = item in self._items or item in self._removed
        return known or len(self._items) + len(self._removed) < self.items_max

    def _unmark(self, item: int) -> None:
        if item in self._removed:
            self._removed.discard(item)
            self._removed_array = None

    def _index(self, item: int, known: CatalogueItem) -> None:
        for form in title_forms(known.title) if known.title else ():
            self._names[form].add(item)
        for kind, identity in known.links.items():
            self._links[canonical_link(kind, identity)].add(item)
        self.columns.put(item, known.genres, known.tags, known.year)

    def _unindex(self, item: int, known: CatalogueItem | None) -> None:
        if known is None:
            return
        for form in title_forms(known.title) if known.title else ():
            _discard(self._names, form, item)
        for kind, identity in known.links.items():
            _discard(self._links, canonical_link(kind, identity), item)
        self.columns.remove(item, known.genres, known.tags)


def _discard(table: dict[Key, set[int]], key: Key, item: int) -> None:
    found = table[key]
    found.discard(item)
    if not found:
        del table[key]
