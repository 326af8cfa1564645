"""Between the ids of items, as the wire has them, and their dimensions, as vectors and histories have them.

An integer id is its own dimension; a text has the one that the registry gave it. A catalogue has ids of one kind, so
one of integers has no registry, and nothing to look up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recommender.registry import ItemRegistry, MemoryTable
from recommender.store import StoreError
from schemas.events import Event, Rated, Retracted
from schemas.identity import CatalogueKind

ItemId = int | str
Dimensions = Mapping[str, int]
"""Dimensions by id, of ids that are text."""
NO_DIMENSIONS: Dimensions = {}


@dataclass(frozen=True, slots=True)
class ItemIds:
    """The ids of one catalogue; without a `registry` they are integers."""

    registry: ItemRegistry | None = None

    def assigned(self, ids: Iterable[ItemId]) -> Dimensions:
        """Dimensions of those ids that are text, durably given where there was none.

        Raises:
            StoreUnavailableError: the registry is away.
        """
        return NO_DIMENSIONS if self.registry is None else self.registry.dimensions(_texts(ids))

    def expected(self, ids: Iterable[ItemId]) -> Dimensions:
        """The same for who only reads: an id that has no dimension has here the one that it would be given."""
        return NO_DIMENSIONS if self.registry is None else self.registry.expected(_texts(ids))

    def known(self, item_id: ItemId) -> int | None:
        """The dimension of an id, None where it has none."""
        if self.registry is None or not isinstance(item_id, str):
            return item_id if isinstance(item_id, int) else None
        return self.registry.known([item_id]).get(item_id)

    def look_up(self, dimensions: Iterable[int]) -> None:
        """Have the ids at these dimensions at hand for `named`, as far as memory for them goes."""
        if self.registry is not None:
            self.registry.ids(dimensions)

    def named(self, dimensions: Sequence[int]) -> Sequence[ItemId]:
        """The ids at these dimensions, in their order.

        Raises:
            StoreError: a dimension was never given, so the registry is not the one that the states were made with.
        """
        if self.registry is None:
            return dimensions
        found = self.registry.ids(dimensions)
        if len(found) < len(set(dimensions)):
            missing = next(one for one in dimensions if one not in found)
            raise StoreError(
                f"the registry of items knows no item of dimension {missing}, which stands in the store: restore both "
                "from the same backup, or make the store anew with `tastestream rebuild`"
            )
        return [found[one] for one in dimensions]

    def name(self, dimension: int) -> ItemId:
        """The id at one dimension; see `named`."""
        return self.named((dimension,))[0]

    def close(self) -> None:
        """Release the registry."""
        if self.registry is not None:
            self.registry.close()


INTEGER_IDS = ItemIds()


def private_ids(kind: CatalogueKind) -> ItemIds:
    """Ids whose dimensions nobody else knows: for a process that only reads topics, and shows ids."""
    return INTEGER_IDS if kind == "integer" else ItemIds(ItemRegistry(MemoryTable()))


def item_of(event: Event) -> Iterable[ItemId]:
    """The id of the item that an event is about, where it is about one."""
    return (event.item_id,) if isinstance(event, Rated | Retracted) else ()


def dimension_of(item_id: ItemId, dimensions: Dimensions) -> int:
    """The dimension of an id that was looked up, or is an integer."""
    return dimensions[item_id] if isinstance(item_id, str) else item_id


def _texts(ids: Iterable[ItemId]) -> list[str]:
    return [one for one in ids if isinstance(one, str)]
