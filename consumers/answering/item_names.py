"""Items by the names that questions give them, never guessed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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

    def _hits(self, named: NamedItem) -> list[int]:
        kind, name = named.name
        if isinstance(name, int):
            return [name]
        if kind == "item_id":
            raise RequestError("bad_item_id", f"this catalogue's item ids are integers, and {name[:64]!r} is text")
        return self.catalogue.titled(name) if kind == "title" else self.catalogue.linked(kind, name)

    def _candidates(self, items: Sequence[int]) -> Iterator[Candidate]:
        for item in items[:CANDIDATES_MAX]:
            known = self.catalogue.get(item)
            titled: Candidate = {"item_id": item}
            if known is not None and known.title is not None:
                titled["title"] = known.title
            yield titled


def listed(names: Sequence[object]) -> str:
    """Names in a sentence, the first of them where they are many."""
    shown = [str(name)[:100] for name in names[:NAMED_MAX]]
    return ", ".join(shown) + (", …" if len(names) > NAMED_MAX else "")
