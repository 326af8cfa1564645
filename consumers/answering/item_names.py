"""Items by the names that questions give them, never guessed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consumers.item_ids import INTEGER_IDS, ItemId, ItemIds, dimension_of
from recommender.catalogue import Catalogue
from schemas.questions import NamedItem
from schemas.replies import Candidate
from schemas.request_errors import RequestError

CANDIDATES_MAX = 10
"""Items that are named where one name may mean several."""
NAMED_MAX = 20
"""Names that are listed where nothing was found for them."""


@dataclass(frozen=True, slots=True)
class ItemNames:
    """Resolves names by the catalogue; an id stands for itself, known or not."""

    catalogue: Catalogue
    items: ItemIds = INTEGER_IDS

    def dimensions(self, named: Sequence[NamedItem]) -> list[int]:
        """What each is in vectors.

        Raises:
            RequestError: a name that no item or several items have, an id of another catalogue.
        """
        hits = [(str(one.name[1]), self._hits(one)) for one in named]
        if missing := [name for name, found in hits if not found]:
            raise RequestError("not_found", f"no item is known as {listed(missing)}", not_found=missing)
        if several := {name: found for name, found in hits if len(found) > 1}:
            raise RequestError(
                "ambiguous",
                f"several items are known as {listed(list(several))}: name the one that is meant by its item_id",
                candidates={name: list(self._candidates(found)) for name, found in several.items()},
            )
        return [item for _, (item,) in hits]

    def of_ids(self, named: Sequence[ItemId]) -> tuple[int, ...]:
        """The dimensions of ids; one that nobody has rated is given the one that it would have.

        Raises:
            RequestError: an id is not of the catalogue's kind.
        """
        is_text = self.items.registry is not None
        if wrong := [item_id for item_id in named if isinstance(item_id, str) != is_text]:
            kind, found = ("strings", "an integer") if is_text else ("integers", "text")
            shown = repr(wrong[0])[:66]
            raise RequestError("bad_item_id", f"this catalogue's item ids are {kind}, and {shown} is {found}")
        dimensions = self.items.expected(named)
        return tuple(dimension_of(item_id, dimensions) for item_id in named)

    def _hits(self, named: NamedItem) -> list[int]:
        kind, name = named.name
        if kind == "item_id" or isinstance(name, int):
            return list(self.of_ids((name,)))
        return self.catalogue.titled(name) if kind == "title" else self.catalogue.linked(kind, name)

    def _candidates(self, items: Sequence[int]) -> Iterator[Candidate]:
        for item in items[:CANDIDATES_MAX]:
            known = self.catalogue.get(item)
            titled: Candidate = {"item_id": self.items.name(item)}
            if known is not None and known.title is not None:
                titled["title"] = known.title
            yield titled


def listed(names: Sequence[object]) -> str:
    """Names in a sentence, the first of them where they are many."""
    shown = [str(name)[:100] for name in names[:NAMED_MAX]]
    return ", ".join(shown) + (", …" if len(names) > NAMED_MAX else "")
