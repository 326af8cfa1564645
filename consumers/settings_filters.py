"""The settings of standing filters: who may be a neighbour, and what may be in a list, in every list alike."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from consumers.settings_section import SEPARATED_BY_COMMAS, Section
from recommender.filters import near
from recommender.item_filters import ItemFilter
from recommender.standing_filters import StandingFilters


def _toleration(text: str) -> tuple[str, float]:
    name, _, tolerance = text.rpartition(":")
    try:
        # Without a colon there is no name, which no attribute is called.
        near(name, 0.0, float(tolerance))
    except ValueError:
        raise ValueError(f"{text[:100]!r} is not attribute:tolerance, such as age:10") from None
    return name, float(tolerance)


def _checked(text: str) -> str:
    _toleration(text)
    return text


class FilterSettings(Section):
    """Filters on every list. Where one leaves too few neighbours it is widened, and the list says so."""

    near: Annotated[tuple[Annotated[str, AfterValidator(_checked)], ...], SEPARATED_BY_COMMAS] = ()
    """Neighbours have about the user's own number, as attribute:tolerance, such as age:10; several with commas."""
    same: Annotated[tuple[str, ...], SEPARATED_BY_COMMAS] = ()
    """Attributes in which neighbours are as the user is, such as gender; in a variable with commas."""
    min_ratings: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Neighbours have at least so many ratings."""
    active_within_days: Annotated[float, Field(ge=0, le=100_000)] = 0
    """Neighbours' latest rating is at most so much older than the newest of all; 0: any."""
    genres: Annotated[tuple[str, ...], SEPARATED_BY_COMMAS] = ()
    """Only items of one of these genres; in a variable with commas."""
    tags: Annotated[tuple[str, ...], SEPARATED_BY_COMMAS] = ()
    """Only items with one of these tags; in a variable with commas."""
    year_from: int | None = None
    """Only items of this year or later."""
    year_to: int | None = None
    """Only items of this year or earlier."""
    popular_within_days: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Only items whose latest rating is at most so much older than the newest of all."""

    @model_validator(mode="after")
    def _require_what_filters_require(self) -> Self:
        self.standing().of(dict.fromkeys(self.same, True), 0)
        return self

    def standing(self) -> StandingFilters:
        """The filters as the ranking takes them."""
        items = ItemFilter(
            self.genres, self.tags, self.year_from, self.year_to, popular_now_days=self.popular_within_days
        )
        return StandingFilters(
            tuple(map(_toleration, self.near)),
            self.same,
            self.min_ratings,
            self.active_within_days,
            None if items == ItemFilter() else items,
        )
