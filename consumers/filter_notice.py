"""Says in the log which standing filters ask for what nobody has, such as a misspelt attribute or genre."""

import time
from collections.abc import Callable, Iterator

import structlog

from recommender.recommender import Recommender
from recommender.standing_filters import StandingFilters

LOOK_EVERY_S = 600.0

log = structlog.get_logger()


class FilterNotice:
    """Looks now and then, because attributes and items come with the streams; says each thing once."""

    def __init__(
        self,
        filters: StandingFilters,
        recommender: Recommender,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._filters = filters
        self._recommender = recommender
        self._monotonic_s = monotonic_s
        self._looked_s: float | None = None
        self._told: set[str] = set()

    def look(self) -> None:
        """Look if it is time; call it at any step once the stored users are counted."""
        now_s = self._monotonic_s()
        is_early = self._looked_s is not None and now_s - self._looked_s < LOOK_EVERY_S
        if is_early or not self._recommender.known_users():
            return
        self._looked_s = now_s
        for why in self._unknown():
            if why not in self._told:
                self._told.add(why)
                log.warning("a standing filter asks for what is not there", why=why, settings="filters.*")

    def _unknown(self) -> Iterator[str]:
        filters = self._filters
        for name in (*(name for name, _ in filters.near), *filters.same):
            if not self._recommender.has_attribute(name):
                yield f"no user has the attribute {name!r}: lists are made without this filter"
        if filters.items is not None:
            for missing in filters.items.unknown(self._recommender.catalogue):
                yield f"{missing}: no list has an item for it"
