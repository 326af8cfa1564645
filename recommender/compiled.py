"""The kernels compiled by numba: one pass over the votes with one cache line per item, and a bounded insertion sort.

The same operations in the same order as in `kernels`, so the same bits. Items are unsigned where they are places in an
array: numba looks at every signed one to see whether it counts from the end, a quarter of the pass over the votes.
numba is optional (the extra `compiled`).
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from recommender.item_index import FREE, MULTIPLIER, Dense
from recommender.kernels import OPEN, Ballots, Tally, TrendShare
from recommender.neighbour_cache import Slots
from recommender.profile import Floats, Items

_OPEN, _FREE = OPEN, FREE
_MULTIPLIER, _UINT32_MAX = np.uint64(MULTIPLIER), np.uint64(2**32 - 1)
_NEARLY = 1 - 1e-9
_SCORE, _SUPPORT, _WEIGHT, _PULL = 0, 1, 2, 3


def _tally(entries: Any, places: Any, weights: Any, ranks: Any, positions: Any, vote: Any, scratch: Any) -> int:
    """Add up into `sums` (catalogue, 4), and list in `items` what was voted for; returns how many."""
    (dense, residuals), (begins, lengths), (sums, items) = entries, places, scratch
    (slope, offset), found = vote, 0
    for neighbour in range(len(begins)):
        begin = begins[neighbour]
        end = begin + lengths[neighbour]
        anchor, latest = end - 1, _OPEN
        for entry in range(begin, end):
            rank = ranks[np.uint32(dense[entry])]
            if rank > latest:
                latest, anchor = rank, entry
        weight = weights[neighbour]
        for entry in range(begin, end):
            # Without a branch, because half of them would be guessed wrong: seen items are left out at the end. All of
            # an item's sums are read before any is written, so that the compiler may add them side by side.
            item, residual = np.uint32(dense[entry]), residuals[entry]
            score, support = sums[item, _SCORE], sums[item, _SUPPORT]
            weighed, pull = sums[item, _WEIGHT], sums[item, _PULL]
            position = positions[np.uint32(abs(entry - anchor))]
            items[found] = item
            found += support == 0
            sums[item, _SCORE] = score + (slope * residual + offset) * weight * position
            sums[item, _SUPPORT] = support + 1
            sums[item, _WEIGHT] = weighed + weight
            sums[item, _PULL] = pull + weight * residual
    return found


def _collect(items: Any, ranks: Any, sums: Any, columns: Any, support: Any) -> int:
    """Move the sums of those `items` that may be shown into `columns` (3, u) and `support` (u,), and clear all sums."""
    kept = 0
    for at in range(len(items)):
        item = np.uint32(items[at])
        items[kept] = item
        columns[0, kept], columns[1, kept] = sums[item, _SCORE], sums[item, _WEIGHT]
        columns[2, kept], support[kept] = sums[item, _PULL], np.int64(sums[item, _SUPPORT])
        kept += ranks[item] == _OPEN
        for column in range(4):
            sums[item, column] = 0.0
    return kept


def _best(scores: Any, support: Any, items: Any, chosen: Any) -> int:
    """Fill `chosen` with the best, in order (see `_insert`); returns how many there are."""
    kept, limit, least = 0, len(chosen[0]), 0.0
    for at in range(len(scores)):
        # Nearly all are worse than those chosen already, and a call for each of them would cost most of the time.
        if scores[at] > 0 and scores[at] >= least:
            kept = _insert(chosen, kept, at, scores[at], support[at], items[at])
            if kept == limit:
                least = chosen[1][limit - 1]
    return kept


def _foremost(tally: Any, items: Any, share: Any, chosen: Any) -> int:
    """Fill `chosen` with the best of a tally with its share of the trend; leaders stand behind the tally.

    Those alone that come near the best are divided: exact shares decide, and a product with the reciprocal tells who is
    far from them.
    """
    (dense, score, support), (sums, leaders, weight) = tally, share
    scores, voted, limit, kept = chosen[1], len(dense), len(chosen[0]), 0
    best = top = 0.0
    for at in range(voted):
        best, top = max(best, score[at]), max(top, sums[dense[at]])
    for item in leaders:
        top = max(top, sums[item])
    per_vote, per_sum = (1 - weight) / (best or 1.0), weight / (top or 1.0)
    for at in range(voted + len(leaders)):
        item, vote, supported = (dense[at], score[at], support[at]) if at < voted else (leaders[at - voted], 0.0, 0)
        if kept == limit and vote * per_vote + sums[item] * per_sum < scores[limit - 1] * _NEARLY:
            continue
        final = (1 - weight) * (vote / (best or 1.0)) + weight * (sums[item] / (top or 1.0))
        if final > 0:
            kept = _insert(chosen, kept, at, final, supported, items[item])
    return kept


def _insert(chosen: Any, kept: int, at: int, score: float, support: int, item: int) -> int:
    """Put a place, its score, support and dimension where they belong in `chosen`, a column of each, and count them.

    Best first: score, then support, both descending, then dimension. What has no room is dropped.
    """
    places, scores, supports, items = chosen
    place = kept
    while place > 0 and _beats(score, support, item, scores[place - 1], supports[place - 1], items[place - 1]):
        place -= 1
    if place == len(places):
        return kept
    for behind in range(min(kept, len(places) - 1), place, -1):
        places[behind], scores[behind] = places[behind - 1], scores[behind - 1]
        supports[behind], items[behind] = supports[behind - 1], items[behind - 1]
    places[place], scores[place], supports[place], items[place] = at, score, support, item
    return min(kept + 1, len(places))


def _beats(score: float, support: int, item: int, other_score: float, other_support: int, other_item: int) -> bool:
    if score != other_score:
        return score > other_score
    if support != other_support:
        return support > other_support
    return item < other_item


def _shortlists(pool: Any, votes: Any, trends: Any, lives: Any, weights: Any, found: Any) -> None:
    """Fill `found` (settings, limit) with items of the pool; equal scores as they stand there."""
    limit, scores = found.shape[1], np.empty(found.shape[1])
    for row in range(len(lives)):
        weight, kept = weights[row], 0
        for at in range(len(pool)):
            score = (1 - weight) * votes[at] + weight * trends[lives[row], at]
            place = kept
            while place > 0 and score > scores[place - 1]:
                place -= 1
            if place == limit:
                continue
            for behind in range(min(kept, limit - 1), place, -1):
                found[row, behind], scores[behind] = found[row, behind - 1], scores[behind - 1]
            found[row, place], scores[place] = pool[at], score
            kept = min(kept + 1, limit)


def _find(table: Any, known: Any, items: Any, found: Any) -> bool:
    """Fill `found` with what a hash table has of the items; whether it has all."""
    last, are_known = len(table) - 1, True
    shift = 32
    while last >> (32 - shift):
        shift -= 1
    for at in range(len(items)):
        slot = np.int64((items[at] * _MULTIPLIER & _UINT32_MAX) >> shift)
        while table[slot] != _FREE and known[table[slot]] != items[at]:
            slot = (slot + 1) & last
        found[at] = table[slot]
        are_known &= table[slot] != _FREE
    return are_known


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


def _compiled(function: Callable[..., Any], signature: Any) -> Callable[..., Any]:
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
_ARGUMENTS = (_ENTRIES, _PLACES, _FLOATS, _DENSE, _FLOATS, "UniTuple(float64, 2)", _SCRATCH)
_CHOSEN = f"Tuple(({_INTEGERS}, {_FLOATS}, {_INTEGERS}, {_ITEMS}))"
_beats = _compiled(_beats, "boolean(float64, int64, uint32, float64, int64, uint32)")
_insert = _compiled(_insert, f"int64({_CHOSEN}, int64, int64, float64, int64, uint32)")
_compiled_best = _compiled(_best, f"int64({_FLOATS}, {_INTEGERS}, {_ITEMS}, {_CHOSEN})")
_compiled_collect = _compiled(_collect, f"int64({_DENSE}, {_DENSE}, {_TABLE}, {_TABLE}, {_INTEGERS})")
_VOTED, _TREND = f"Tuple(({_DENSE}, {_FLOATS}, {_INTEGERS}))", f"Tuple(({_FLOATS}, {_DENSE}, float64))"
_compiled_foremost = _compiled(_foremost, f"int64({_VOTED}, {_ITEMS}, {_TREND}, {_CHOSEN})")
_compiled_shortlists = _compiled(
    _shortlists, f"void({_DENSE}, {_FLOATS}, {_TABLE}, {_INTEGERS}, {_FLOATS}, int32[:, ::1])"
)
# Items of a stored history cannot be written to.
_ANY_ITEMS = types.Array(types.uint32, 1, "A", readonly=True)
_compiled_find = _compiled(_find, types.boolean(types.int32[::1], types.uint32[::1], _ANY_ITEMS, types.int32[::1]))
_compiled_without = _compiled(_without, f"int64({_DENSE}, {_OTHERS}, {_MARKS}, {_DENSE})")
_compiled_tally = _compiled(_tally, f"int64({', '.join(_ARGUMENTS)})")


def _nothing_chosen(limit: int) -> tuple[Slots, Floats, Slots, Items]:
    return np.empty(limit, np.int64), np.empty(limit), np.empty(limit, np.int64), np.empty(limit, np.uint32)


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
        voters, vote = ballots.profiles, (float(ballots.slope), float(ballots.offset))
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
        chosen = _nothing_chosen(min(limit, len(scores)))
        return chosen[0][: _compiled_best(scores, support, items, chosen)]

    def foremost(self, tally: Tally, items: Items, limit: int, share: TrendShare | None) -> Tally:
        """See `Kernels.foremost`."""
        if share is None:
            return tally.at(self.best(tally.score, tally.support, items[tally.dense], limit))
        voted = len(tally.dense)
        chosen = _nothing_chosen(min(limit, voted + len(share.leaders)))
        kept = _compiled_foremost((tally.dense, tally.score, tally.support), items, tuple(share), chosen)
        places = chosen[0][:kept]
        dense, weight, pull = np.empty(kept, np.int32), np.zeros(kept), np.zeros(kept)
        by_votes = places < voted
        of_tally, of_leaders = places[by_votes], places[~by_votes] - voted
        dense[by_votes], dense[~by_votes] = tally.dense[of_tally], share.leaders[of_leaders]
        weight[by_votes], pull[by_votes] = tally.weight[of_tally], tally.pull[of_tally]
        return Tally(dense, chosen[1][:kept], chosen[2][:kept], weight, pull)

    def shortlists(
        self, pool: Dense, parts: tuple[Floats, Floats], settings: tuple[Slots, Floats], limit: int
    ) -> Dense:
        """See `Kernels.shortlists`."""
        found = np.empty((len(settings[0]), min(limit, len(pool))), np.int32)
        if len(pool):
            _compiled_shortlists(pool, *parts, *settings, found)
        return found

    def find(self, table: Dense, known: Items, items: Items) -> tuple[Dense, bool]:
        """See `Kernels.find`."""
        found: Dense = np.empty(len(items), np.int32)
        return found, _compiled_find(table, known, items, found)

    def without(self, items: Dense, others: tuple[Dense, Dense, Dense], marks: NDArray[np.bool_]) -> Dense:
        """See `Kernels.without`."""
        found: Dense = np.empty(len(items), np.int32)
        return found[: _compiled_without(items, others, marks, found)]
