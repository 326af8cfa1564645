"""What is rated now: popularity that halves with age in event time, for several half-lives, without a clock.

Every rating counts 2^((t − t₀) / half-life) for its item, so that nothing has to decay: only the ratio of two items
matters, and t₀ moves on before numbers grow too large. Derived from the stored histories, soft state.
"""

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense
from recommender.profile import Floats, Times

HALF_LIVES_DAYS = (2, 7, 30, 180)
LEADERS_MAX = 512
"""Items per half-life that may enter a list for their trend alone."""
_DAY_MS = 86_400_000
_EXPONENT_MAX = 256.0


class Trend:
    """Decayed popularity by dense item number. No operation costs more for a larger catalogue."""

    def __init__(self) -> None:
        lives = len(HALF_LIVES_DAYS)
        self._half_lives_ms = np.array(HALF_LIVES_DAYS)[:, None] * float(_DAY_MS)
        self._sums: Floats = np.zeros((lives, 1024))
        self._leads: NDArray[np.bool_] = np.zeros((lives, 1024), np.bool_)
        self._leaders: list[Dense] = [np.empty(0, np.int32) for _ in range(lives)]
        self._bars: Floats = np.zeros((lives, 1))
        self._in_order: dict[int, Dense] = {}
        self._is_empty = True
        self._origin_ms = self._first_ms = self._last_ms = 0

    @property
    def span_days(self) -> float:
        """Days between the earliest and the latest rating."""
        return (self._last_ms - self._first_ms) / _DAY_MS

    @property
    def last_ms(self) -> int:
        """The instant of the latest rating (epoch ms); 0 without any."""
        return self._last_ms

    def count(self, dense: Dense, at_ms: Times, sign: int) -> None:
        """Count ratings of items at these instants, or take them back."""
        if not len(dense):
            return
        self._in_order.clear()
        self._reach(int(at_ms.min()), int(at_ms.max()), int(dense.max()))
        weights = np.exp2(np.maximum((at_ms - self._origin_ms) / self._half_lives_ms, -1e6))
        for sums, each in zip(self._sums, weights, strict=True):
            np.add.at(sums, dense, sign * each)
        if sign < 0:
            self._sums[:, dense] = np.maximum(self._sums[:, dense], 0.0)
        self._promote(dense)

    def of(self, dense: Dense, half_life: int) -> Floats:
        """Popularity with the half-life of this number, shape of `dense`, in a unit of its own."""
        self._fit(int(dense.max(initial=0)))
        found: Floats = self._sums[half_life][dense]
        return found

    def sums(self, half_life: int, items: int) -> Floats:
        """The same of all items of smaller numbers than `items`, or more; not to be changed."""
        self._fit(items - 1)
        found: Floats = self._sums[half_life]
        return found

    def leaders(self, half_life: int) -> Dense:
        """The most popular items, at least `LEADERS_MAX` where there are as many, in no order."""
        return self._leaders[half_life]

    def best(self, half_life: int) -> Dense:
        """The same, the most popular first; put in order once until something is counted."""
        found = self._in_order.get(half_life)
        if found is None:
            leaders = self._leaders[half_life]
            order = np.argsort(-self._sums[half_life, leaders], kind="stable")
            found = self._in_order[half_life] = leaders[order]
        return found

    def _reach(self, first_ms: int, last_ms: int, item: int) -> None:
        self._fit(item)
        if self._is_empty:
            self._origin_ms, self._first_ms, self._last_ms = last_ms, first_ms, last_ms
            self._is_empty = False
        self._first_ms, self._last_ms = min(self._first_ms, first_ms), max(self._last_ms, last_ms)
        exponents = (last_ms - self._origin_ms) / self._half_lives_ms
        if exponents.max() > _EXPONENT_MAX:
            fade = np.exp2(-np.minimum(exponents, 1e6))
            self._sums *= fade
            self._bars *= fade
            self._origin_ms = last_ms

    def _promote(self, dense: Dense) -> None:
        """Sums only grow, but for ratings taken back, so the leaders are among the former ones and those counted."""
        rises = (self._sums[:, dense] > self._bars) & ~self._leads[:, dense]
        for life in np.flatnonzero(rises.any(axis=1)).tolist():
            risen = np.unique(dense[rises[life]])
            self._leads[life, risen] = True
            self._leaders[life] = np.concatenate((self._leaders[life], risen))
            if len(self._leaders[life]) > 2 * LEADERS_MAX:
                self._demote(life)

    def _demote(self, life: int) -> None:
        leaders = self._leaders[life]
        sums = self._sums[life, leaders]
        kept = np.argpartition(-sums, LEADERS_MAX)[:LEADERS_MAX]
        self._leads[life, leaders] = False
        self._leaders[life] = leaders[kept]
        self._leads[life, leaders[kept]] = True
        self._bars[life] = sums[kept].min()

    def _fit(self, item: int) -> None:
        have = self._sums.shape[1]
        if item >= have:
            room = ((0, 0), (0, max(item + 1 - have, have)))
            self._sums = np.pad(self._sums, room)
            self._leads = np.pad(self._leads, room)
