"""The kernels compiled by numba: one pass over the votes with one cache line per item, and a bounded insertion sort.

The same operations in the same order as in `kernels`, so the same bits. numba is optional (the extra `compiled`).
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense
from recommender.kernels import OPEN, Ballots, Tally
from recommender.profile import Floats, Items

_OPEN = OPEN
_SCORE, _SUPPORT, _WEIGHT, _PULL = 0, 1, 2, 3


def _tally(entries: Any, places: Any, weights: Any, ranks: Any, positions: Any, vote: Any, scratch: Any) -> int:
    """Add up into `sums` (catalogue, 4), and list in `items` what was voted for; returns how many."""
    (dense, residuals), (begins, lengths), (sums, items) = entries, places, scratch
    found = 0
    for neighbour in range(len(begins)):
        begin = begins[neighbour]
        end = begin + lengths[neighbour]
        anchor, latest = end - 1, _OPEN
        for entry in range(begin, end):
            rank = ranks[dense[entry]]
            if rank > latest:
                latest, anchor = rank, entry
        weight = weights[neighbour]
        for entry in range(begin, end):
            # Without a branch, because half of them would be guessed wrong: seen items are left out at the end.
            item = dense[entry]
            items[found] = item
            found += sums[item, _SUPPORT] == 0
            residual = residuals[entry]
            sums[item, _SCORE] += (vote[0] * residual + vote[1]) * weight * positions[abs(entry - anchor)]
            sums[item, _SUPPORT] += 1
            sums[item, _WEIGHT] += weight
            sums[item, _PULL] += weight * residual
    return found


def _collect(items: Any, ranks: Any, sums: Any, columns: Any, support: Any) -> int:
    """Move the sums of those `items` that may be shown into `columns` (3, u) and `support` (u,), and clear all sums."""
    kept = 0
    for at in range(len(items)):
        item = items[at]
        items[kept] = item
        columns[0, kept], columns[1, kept] = sums[item, _SCORE], sums[item, _WEIGHT]
        columns[2, kept], support[kept] = sums[item, _PULL], np.int64(sums[item, _SUPPORT])
        kept += ranks[item] == _OPEN
        for column in range(4):
            sums[item, column] = 0.0
    return kept


def _best(scores: Any, support: Any, items: Any, chosen: Any) -> int:
    """Fill `chosen` with the indices of the best, in order; returns how many there are."""
    kept, limit = 0, len(chosen)
    for at in range(len(scores)):
        score = scores[at]
        if not score > 0:
            continue
        if kept == limit and not _before(at, chosen[kept - 1], scores, support, items):
            continue
        place = kept if kept < limit else limit - 1
        while place > 0 and _before(at, chosen[place - 1], scores, support, items):
            chosen[place] = chosen[place - 1]
            place -= 1
        chosen[place] = at
        kept = min(kept + 1, limit)
    return kept


def _without(items: Any, others: Any, marks: Any, found: Any) -> int:
    """Put into `found` those of the items that are none of the others; returns how many there are."""
    for item in items:
        marks[item] = True
    for some in others:
        for item in some:
            marks[item] = False
    kept = 0
    for item in items:
        if marks[item]:
            found[kept] = item
            kept += 1
            marks[item] = False
    return kept


def _before(one: Any, other: Any, scores: Any, support: Any, items: Any) -> bool:
    if scores[one] != scores[other]:
        return bool(scores[one] > scores[other])
    if support[one] != support[other]:
        return bool(support[one] > support[other])
    return bool(items[one] < items[other])


def _compiled(function: Callable[..., Any], signature: str) -> Callable[..., Any]:
    try:
        compiled: Callable[..., Any] = numba.njit(signature, cache=True, nogil=True)(function)
    except RuntimeError:
        # numba found no folder that it may write to: compile anew in every process, half a second.
        compiled = numba.njit(signature, nogil=True)(function)
    return compiled


_DENSE, _FLOATS, _INTEGERS, _ITEMS = "int32[::1]", "float64[::1]", "int64[::1]", "uint32[::1]"
_TABLE, _MARKS = "float64[:,::1]", "boolean[::1]"
_OTHERS = f"UniTuple({_DENSE}, 3)"
_ENTRIES, _PLACES = f"Tuple(({_DENSE}, {_FLOATS}))", f"Tuple(({_INTEGERS}, {_INTEGERS}))"
_SCRATCH = f"Tuple(({_TABLE}, {_DENSE}))"
_ARGUMENTS = (_ENTRIES, _PLACES, _FLOATS, _DENSE, _FLOATS, _FLOATS, _SCRATCH)
_before = _compiled(_before, f"boolean(int64, int64, {_FLOATS}, {_INTEGERS}, {_ITEMS})")
_compiled_best = _compiled(_best, f"int64({_FLOATS}, {_INTEGERS}, {_ITEMS}, {_INTEGERS})")
_compiled_collect = _compiled(_collect, f"int64({_DENSE}, {_DENSE}, {_TABLE}, {_TABLE}, {_INTEGERS})")
_compiled_without = _compiled(_without, f"int64({_DENSE}, {_OTHERS}, {_MARKS}, {_DENSE})")
_compiled_tally = _compiled(_tally, f"int64({', '.join(_ARGUMENTS)})")


class CompiledKernels:
    """The port `Kernels`, compiled. Keeps sums as long as the catalogue, cleared item by item after each use."""

    def __init__(self) -> None:
        self._sums = np.zeros((1024, 4))
        self._items = np.empty(1025, np.int32)

    def warm_up(self) -> None:
        """See `Kernels.warm_up`; loading this module was it."""

    def tally(self, ballots: Ballots) -> Tally:
        """See `Kernels.tally`."""
        if len(self._sums) < len(ballots.ranks):
            self._sums = np.zeros((2 * len(ballots.ranks), 4))
            self._items = np.empty(len(self._sums) + 1, np.int32)
        voters, vote = ballots.profiles, np.array((ballots.slope, ballots.offset))
        found = _compiled_tally(
            (voters.dense, voters.residuals),
            (voters.begins, voters.lengths),
            ballots.weights,
            ballots.ranks,
            ballots.positions,
            vote,
            (self._sums, self._items),
        )
        items, columns, support = self._items[:found].copy(), np.empty((3, found)), np.empty(found, np.int64)
        kept = _compiled_collect(items, ballots.ranks, self._sums, columns, support)
        return Tally(items[:kept], columns[0, :kept], support[:kept], columns[1, :kept], columns[2, :kept])

    def best(self, scores: Floats, support: NDArray[np.int64], items: Items, limit: int) -> NDArray[np.int64]:
        """See `Kernels.best`."""
        chosen = np.empty(min(limit, len(scores)), np.int64)
        return chosen[: _compiled_best(scores, support, items, chosen)]

    def without(self, items: Dense, others: tuple[Dense, Dense, Dense], marks: NDArray[np.bool_]) -> Dense:
        """See `Kernels.without`."""
        found: Dense = np.empty(len(items), np.int32)
        return found[: _compiled_without(items, others, marks, found)]
