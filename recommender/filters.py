"""Which users may be neighbours: conditions on what is known of them, and the declared steps that widen them.

Every store answers a filter as `UserFilter.matches` does. A condition on an attribute that a user does not have, or has
as a value of another kind, does not hold. Numbers are compared as doubles: an integer and a float may be equal, a
boolean is no number.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeGuard

from recommender.profile import AttributeValue, UserState

CONDITIONS_MAX = 16
"""Conditions on attributes in one filter."""
VALUES_MAX = 100
"""Values in one condition."""
SLACK = 1e-12
"""A bound counts as reached within this part of it: Qdrant gives one float in ten back with another last digit."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Between:
    """The attribute is a number from `least` to `greatest`, both included.

    Raises:
        ValueError: the name is no attribute's, a bound is not a number, or no number lies between them.
    """

    attribute: str
    least: float = -math.inf
    greatest: float = math.inf

    def __post_init__(self) -> None:
        _check_name(self.attribute)
        if not self.least <= self.greatest:
            raise ValueError(f"no {self.attribute} lies between {self.least:g} and {self.greatest:g}")

    @property
    def limits(self) -> tuple[float, float]:
        """The bounds with their slack, as stores have to use them."""
        return _below(self.least), _above(self.greatest)

    @property
    def tolerance(self) -> float:
        """How far both bounds are from their middle; infinite where one is open."""
        return (self.greatest - self.least) / 2

    def doubled(self) -> "Between":
        """The range with the same middle and twice the tolerance."""
        return Between(self.attribute, self.least - self.tolerance, self.greatest + self.tolerance)

    def holds(self, value: AttributeValue | None) -> bool:
        """Whether a user's attribute meets the condition; None: the user does not have it."""
        least, greatest = self.limits
        return _is_number(value) and least <= float(value) <= greatest


@dataclass(frozen=True, slots=True)
class OneOf:
    """The attribute is one of these values, of the same kind (text, number or boolean).

    Raises:
        ValueError: the name is no attribute's, or there are no values or more than `VALUES_MAX`.
    """

    attribute: str
    values: tuple[AttributeValue, ...]

    def __post_init__(self) -> None:
        _check_name(self.attribute)
        if not 1 <= len(self.values) <= VALUES_MAX:
            raise ValueError(f"{self.attribute} is one of 1 to {VALUES_MAX} values, not of {len(self.values)}")
        if not all(math.isfinite(number) for number in self.numbers):
            raise ValueError(f"{self.attribute} is one of numbers that are finite")

    @property
    def texts(self) -> list[str]:
        """The values that are text."""
        return [value for value in self.values if isinstance(value, str)]

    @property
    def booleans(self) -> list[bool]:
        """The values that are true or false."""
        return [value for value in self.values if isinstance(value, bool)]

    @property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [float(value) for value in self.values if _is_number(value)]

    @property
    def ranges(self) -> list[Between]:
        """The numbers, each as the range it stands for."""
        return [Between(self.attribute, number, number) for number in self.numbers]

    def holds(self, value: AttributeValue | None) -> bool:
        """See `Between.holds`."""
        if isinstance(value, bool):
            return value in self.booleans
        if isinstance(value, str):
            return value in self.texts
        return any(one.holds(value) for one in self.ranges)


Condition = Between | OneOf


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Users who meet every condition; without any, all users.

    `attributes` stand in order of importance, the most important first. `min_ratings` counts the ratings in the
    history, `active_since_ms` (epoch ms) is met by whoever rated at that instant or later.

    Raises:
        ValueError: there are more than `CONDITIONS_MAX` conditions, or `min_ratings` is negative.
    """

    attributes: tuple[Condition, ...] = ()
    min_ratings: int = 0
    active_since_ms: int | None = None

    def __post_init__(self) -> None:
        if len(self.attributes) > CONDITIONS_MAX:
            raise ValueError(f"a filter has at most {CONDITIONS_MAX} conditions, not {len(self.attributes)}")
        if self.min_ratings < 0:
            raise ValueError(f"min_ratings is 0 or more, not {self.min_ratings}")

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.attributes or self.min_ratings or self.active_since_ms is not None)

    def matches(self, state: UserState) -> bool:
        """Whether a user meets it: what every store must answer."""
        rated = state.history.rated()
        if len(rated) < self.min_ratings:
            return False
        if self.active_since_ms is not None and not (len(rated) and rated.rated_at[-1] >= self.active_since_ms):
            return False
        return all(condition.holds(state.attributes.get(condition.attribute)) for condition in self.attributes)


def near(attribute: str, middle: float, tolerance: float) -> Between:
    """The attribute is a number within ± `tolerance` of `middle`, such as an age."""
    return Between(attribute, middle - tolerance, middle + tolerance)


class Step(NamedTuple):
    """A filter on the way from what was asked to nothing at all; `name` is for people and stands in lists."""

    name: str
    where: UserFilter


def widened(asked: UserFilter) -> tuple[Step, ...]:
    """The filters to try, one after the other, while they find too few neighbours.

    As asked; with every tolerance doubled, once; then, one by one, without the attributes, the least important first;
    then without any condition. The first step is always there, the last one asks for nothing.
    """
    return tuple(_steps(asked))


def _steps(asked: UserFilter) -> Iterator[Step]:
    yield Step("as asked", asked)
    doubled: dict[Condition, Between] = {
        condition: condition.doubled()
        for condition in asked.attributes
        if isinstance(condition, Between) and 0 < condition.tolerance < math.inf
    }
    if doubled:
        asked = replace(asked, attributes=tuple(doubled.get(one, one) for one in asked.attributes))
        yield Step(", ".join(f"{one.attribute} +/- {one.tolerance:g}" for one in doubled.values()), asked)
    names = [condition.attribute for condition in asked.attributes]
    for kept in range(len(names) - 1, -1, -1):
        gone = ", ".join(dict.fromkeys(names[kept:])) if kept else "attributes"
        yield Step(f"without {gone}", replace(asked, attributes=asked.attributes[:kept]))
    if asked.min_ratings or asked.active_since_ms is not None:
        yield Step("without conditions", UserFilter())


def _is_number(value: AttributeValue | None) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _below(bound: float) -> float:
    return bound - abs(bound) * SLACK if math.isfinite(bound) else bound


def _above(bound: float) -> float:
    return bound + abs(bound) * SLACK if math.isfinite(bound) else bound


def _check_name(attribute: str) -> None:
    if not _NAME.fullmatch(attribute):
        raise ValueError(f"the attribute name {attribute[:64]!r} is not letters, digits and _ (64 at most)")
