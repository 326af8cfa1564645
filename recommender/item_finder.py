"""Items by their titles and by their ids elsewhere."""

from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

from recommender.item_titles import asked_forms, title_forms

Key = TypeVar("Key", bound=Hashable)


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


class ItemFinder:
    """Finds dimensions. Titles are found in every form of `title_forms`, links in one."""

    def __init__(self) -> None:
        # Nearly every form is one item's alone: tuples are small.
        self._titles: dict[str, tuple[int, ...]] = {}
        self._links: dict[Link, tuple[int, ...]] = {}

    def put(self, item: int, title: str | None, links: Mapping[str, str]) -> None:
        """Find an item by these from now on."""
        for form in title_forms(title or ""):
            self._titles[form] = (*self._titles.get(form, ()), item)
        for link in _canonical(links):
            self._links[link] = (*self._links.get(link, ()), item)

    def remove(self, item: int, title: str | None, links: Mapping[str, str]) -> None:
        """Find an item by these no more, by which it was found."""
        for form in title_forms(title or ""):
            _discard(self._titles, form, item)
        for link in _canonical(links):
            _discard(self._links, link, item)

    def titled(self, title: str) -> list[int]:
        """All items that a title may mean, ascending."""
        return sorted({item for form in asked_forms(title) for item in self._titles.get(form, ())})

    def linked(self, kind: str, identity: str) -> list[int]:
        """The items of an id elsewhere, ascending."""
        return sorted(self._links.get(canonical_link(kind, identity), ()))


def _canonical(links: Mapping[str, str]) -> set[Link]:
    return {canonical_link(kind, identity) for kind, identity in links.items()}


def _discard(table: dict[Key, tuple[int, ...]], key: Key, item: int) -> None:
    left = tuple(other for other in table[key] if other != item)
    if left:
        table[key] = left
    else:
        del table[key]
