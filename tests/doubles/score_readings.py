"""Explanations added up as a reader of the topic would: in decimals, as printed."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from schemas.recommendations import WhyThere


def exact(number: float) -> Decimal:
    """A number as JSON prints it."""
    return Decimal(json.dumps(number))


def readings(why: WhyThere) -> list[Decimal]:
    """What the neighbours' and the ratings' reading of a score add up to, in decimals."""
    shared = exact(why["trend"]) + exact(why["popularity"])
    named: Sequence[Sequence[Any]] = (
        (*why["neighbours"], why["other_neighbours"]),
        (*why["ratings"], why["other_ratings"]),
    )
    return [sum((exact(one["contribution"]) for one in some), shared) for some in named]
