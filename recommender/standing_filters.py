"""Filters that hold for every list of a deployment; what they ask of neighbours may depend on who gets the list."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from recommender.filters import Condition, OneOf, UserFilter, near
from recommender.item_filters import ItemFilter
from recommender.profile import AttributeValue

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class StandingFilters:
    """Which users may be neighbours of somebody, and which items may be in their list.

    `near`: attributes whose number is within a tolerance of the user's own, the most important first; `same`: those
    that are as the user's own. A user who lacks an attribute is not held to it. `active_within_days`: neighbours whose
    latest rating is at most so much older than the newest of all; 0: any.
    """

    near: tuple[tuple[str, float], ...] = ()
    same: tuple[str, ...] = ()
    min_ratings: int = 0
    active_within_days: float = 0.0
    items: ItemFilter | None = None

    def of(self, attributes: Mapping[str, AttributeValue], newest_ms: int) -> UserFilter | None:
        """The filter for a user with these attributes; None where nothing is asked."""
        since_ms = newest_ms - int(self.active_within_days * _DAY_MS) if self.active_within_days else None
        found = UserFilter(tuple(self._conditions(attributes)), self.min_ratings, since_ms)
        return found or None

    def _conditions(self, attributes: Mapping[str, AttributeValue]) -> Iterator[Condition]:
        for name, tolerance in self.near:
            own = attributes.get(name)
            if isinstance(own, int | float) and not isinstance(own, bool):
                yield near(name, float(own), tolerance)
        for name in self.same:
            if name in attributes:
                yield OneOf(name, (attributes[name],))


NO_FILTERS = StandingFilters()
