"""The neighbour pool: whom others are found by, where there are more users than a search should look through.

A bounded, stable sample: the users whose point id, a hash of the user id, lies below a bound. So every process picks
the same users without asking another. Who is outside keeps their state and gets lists, but is nobody's neighbour.

The bound is 2⁶³ · 2^(−k/4) with the least `thinning` k ≥ 0 by which the expected sample is no larger than wanted. So
as users come the sample is thinned a sixth at a time, and lies between 0.84 and 1 times the size that is wanted.
"""

import math
from dataclasses import dataclass

POINT_ID_BITS = 63
STEPS_PER_HALVING = 4
_GROWTH_MARGIN = 1.2
"""The sample grows again only once so many times the users would still fit, so that it does not go to and fro."""


def bound(thinning: int) -> int:
    """Point ids below this are in the pool."""
    return 2**POINT_ID_BITS if thinning == 0 else int(2 ** (POINT_ID_BITS - thinning / STEPS_PER_HALVING))


@dataclass(slots=True)
class NeighbourPool:
    """Who is in; at most about `users_max` users (0: everybody is)."""

    users_max: int = 0
    thinning: int = 0

    def admits(self, identity: int) -> bool:
        """Whether the user of this point may be found."""
        return identity < bound(self.thinning)

    def wanted(self, users: int) -> int:
        """The thinning for so many users: what there is now, unless it lets in too many, or far too few."""
        least = self._least(users)
        return least if least > self.thinning else min(self.thinning, self._least(int(users * _GROWTH_MARGIN)))

    def _least(self, users: int) -> int:
        if not self.users_max or users <= self.users_max:
            return 0
        return math.ceil(STEPS_PER_HALVING * math.log2(users / self.users_max))
