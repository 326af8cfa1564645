"""The rating scale of a catalogue, and how its ratings become five stars for arithmetic."""

from dataclasses import dataclass

BOUND_MAX = 1e6
"""Neither bound lies further from 0 than this."""
WIDTH_MIN = 1e-3
"""The bounds lie at least this far apart: beyond both limits the map to five stars would overflow or lose digits."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The closed interval of legal ratings.

    Raises:
        ValueError: bounds beyond `BOUND_MAX`, closer than `WIDTH_MIN` or descending, or a maximum that is not positive.
    """

    minimum: float = 0.5
    maximum: float = 5.0

    def __post_init__(self) -> None:
        if not (abs(self.minimum) <= BOUND_MAX and abs(self.maximum) <= BOUND_MAX):
            raise ValueError(f"the rating scale {self} needs two finite bounds, each at most {BOUND_MAX:g} from 0")
        if self.maximum - self.minimum < WIDTH_MIN or self.maximum <= 0:
            raise ValueError(
                f"the rating scale {self} is not one: the minimum must lie at least {WIDTH_MIN:g} below the maximum, "
                "and the maximum above 0"
            )

    def __str__(self) -> str:
        return f"{self.minimum}..{self.maximum}"

    def __contains__(self, rating: float) -> bool:
        return self.minimum <= rating <= self.maximum

    def five_star_affine(self) -> tuple[float, float]:
        """Slope and intercept of the map to five stars: r · 5 / max, or onto 0.5..5 below zero."""
        if self.minimum >= 0:
            return 5.0 / self.maximum, 0.0
        slope = 4.5 / (self.maximum - self.minimum)
        return slope, 0.5 - self.minimum * slope
