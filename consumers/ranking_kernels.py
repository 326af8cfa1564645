"""Which arithmetic ranks: compiled where numba is installed (the extra `compiled`), its equal in numpy elsewhere."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense
from recommender.kernels import Ballots, Kernels, NumpyKernels, Tally, TrendShare
from recommender.neighbour_cache import Slots
from recommender.profile import Floats, Items


class RankingKernels:
    """The fastest kernels that can be had here; lists are the same with any.

    They are looked for at `warm_up`, because numba takes half a second to load: a worker does it while its group gives
    it partitions.
    """

    def warm_up(self) -> None:
        """See `Kernels.warm_up`."""
        self._found.warm_up()

    def tally(self, ballots: Ballots) -> Tally:
        """See `Kernels.tally`."""
        return self._found.tally(ballots)

    def best(self, scores: Floats, support: NDArray[np.int64], items: Items, limit: int) -> NDArray[np.int64]:
        """See `Kernels.best`."""
        return self._found.best(scores, support, items, limit)

    def foremost(self, tally: Tally, items: Items, limit: int, share: TrendShare | None) -> Tally:
        """See `Kernels.foremost`."""
        return self._found.foremost(tally, items, limit, share)

    def shortlists(
        self, pool: Dense, parts: tuple[Floats, Floats], settings: tuple[Slots, Floats], limit: int
    ) -> Dense:
        """See `Kernels.shortlists`."""
        return self._found.shortlists(pool, parts, settings, limit)

    def find(self, table: Dense, known: Items, items: Items) -> tuple[Dense, bool]:
        """See `Kernels.find`."""
        return self._found.find(table, known, items)

    def without(self, items: Dense, others: tuple[Dense, Dense, Dense], marks: NDArray[np.bool_]) -> Dense:
        """See `Kernels.without`."""
        return self._found.without(items, others, marks)

    @cached_property
    def _found(self) -> Kernels:
        try:
            from recommender.compiled import CompiledKernels  # noqa: PLC0415  # numba is optional, and slow to load
        except ImportError:
            return NumpyKernels()
        return CompiledKernels()
