"""The neighbours of whoever asks: found by the store, their profiles held in a cache."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.explanation import VectorEntries
from recommender.filters import UserFilter, widened
from recommender.item_index import ItemIndex
from recommender.neighbour_cache import (
    NO_PROFILE,
    NeighbourCache,
    NeighbourProfile,
    Profiles,
    Slots,
    decode_neighbour,
    joined,
)
from recommender.profile import EMPTY_HISTORY, Floats
from recommender.question import Question
from recommender.rules import RankingRules
from recommender.store import NeighbourQuery, Neighbours, Store
from recommender.vector import SparseVector, query_vector, user_vector

NOBODY = -1
"""No point's id."""


class Found(NamedTuple):
    """Neighbours, and the step by which a filter found them; None: without one."""

    neighbours: Neighbours
    step: str | None = None


class _Way(NamedTuple):
    """A filter to try, and whether there is none after it."""

    name: str | None
    where: UserFilter | None
    is_last: bool


class Voters(NamedTuple):
    """Neighbours with ratings: profiles and similarities, shape (k,); `among` says which of those found they are."""

    profiles: Profiles
    similarities: Floats
    among: NDArray[np.bool_] | None = None
    """None: all."""


class Neighbourhood:
    """Finds neighbours and decodes what they rated; `cache` may be dropped at any time."""

    def __init__(self, store: Store, rules: RankingRules, index: ItemIndex, cache: NeighbourCache) -> None:
        self._store = store
        self._rules = rules
        self._index = index
        self._cache = cache

    def nearest(self, questions: Sequence[Question]) -> list[Found]:
        """The neighbours for each question, in order; none where there is no rating to go by.

        A filter that leaves fewer than `personal_min_neighbours`, or fewer than wanted, is widened until it does not.
        """
        found = [Found(Neighbours([], [], [])) for _ in questions]
        asked = {at: query for at, one in enumerate(questions) if (query := self._query(one)) is not None}
        ways = {at: _ways(questions[at].where) for at in asked}
        while asked:
            steps = {at: next(ways[at]) for at in asked}
            queries = [replace(query, where=steps[at].where) for at, query in asked.items()]
            for at, answer in zip(asked, self._store.nearest(queries), strict=True):
                found[at] = Found(answer, steps[at].name)
            asked = {
                at: query for at, query in asked.items() if not steps[at].is_last and self._is_thin(found[at], query)
            }
        return found

    def _query(self, question: Question) -> NeighbourQuery | None:
        rules = question.rules or self._rules
        vector = query_vector(question.history, rules.value, rules.query_events, rules.query_half_life)
        if vector is None:
            return None
        return NeighbourQuery(vector, rules.neighbours, NOBODY if question.excluding is None else question.excluding)

    def _is_thin(self, found: Found, query: NeighbourQuery) -> bool:
        return len(found.neighbours.ids) < min(self._rules.personal_min_neighbours, query.limit)

    def raters(self, item: int, limit: int) -> Profiles:
        """What those rated who rated an item (dimension) and in whose vectors it weighs most."""
        only = SparseVector(np.array([item], np.uint32), np.ones(1, np.float32))
        (found,) = self._store.nearest([NeighbourQuery(only, limit, NOBODY)])
        return self.voters(found, self.fetched([found]))[0]

    def fetched(self, neighbours: Sequence[Neighbours]) -> dict[int, NeighbourProfile]:
        """What the cache does not hold, read in one go; kept for the batch, which may need more than the cache does."""
        wanted: dict[int, int] = {}
        for found in neighbours:
            for at in np.flatnonzero(self._cache.find(found.ids, found.versions) < 0).tolist():
                wanted[found.ids[at]] = found.versions[at]
        profiles = self._read(list(wanted))
        for identity, profile in profiles.items():
            self._cache.put(identity, wanted[identity], profile)
        return profiles

    def voters(self, found: Neighbours, fetched: Mapping[int, NeighbourProfile]) -> Voters:
        """The neighbours with ratings."""
        slots = self._cache.find(found.ids, found.versions)
        profiles = self._cache.profiles(slots) if (slots >= 0).all() else self._gathered(found, slots, fetched)
        return _with_ratings(profiles, np.array(found.similarities))

    def voters_since(self, found: Neighbours, since_ms: int) -> Voters:
        """The same of ratings from `since_ms` on, read anew, because the cache does not keep their times."""
        histories = self._store.histories(found.ids) if found.ids else {}
        profiles = {
            identity: decode_neighbour(history, self._index, self._rules.value, since_ms)
            for identity, history in histories.items()
        }
        if not profiles:
            return Voters(joined([NO_PROFILE]).at(np.zeros(1, np.bool_)), np.empty(0))
        voting = joined([profiles.get(identity, NO_PROFILE) for identity in found.ids])
        return _with_ratings(voting, np.array(found.similarities))

    def vectors(self, found: Neighbours, voters: Voters, *, whole: bool) -> VectorEntries:
        """What the voters were found by; `whole`: their profiles hold all that they rated."""
        rule, (profiles, _, among) = self._rules.value, voters
        if whole and rule.centre is None and rule.decay_per_year == 1.0:
            (dense, residuals), lengths = profiles.entries(), profiles.lengths
            voter = np.repeat(np.arange(len(lengths)), lengths)
            return VectorEntries(voter, self._index.items[dense], rule.slope / rule.spread * residuals + rule.offset)
        ids = found.ids if among is None else [found.ids[at] for at in np.flatnonzero(among).tolist()]
        return self._vectors_read(ids)

    def _vectors_read(self, ids: Sequence[int]) -> VectorEntries:
        histories, rule = self._store.histories(ids), self._rules.value
        vectors = [user_vector(histories.get(identity, EMPTY_HISTORY), rule) for identity in ids]
        held = [(at, vector) for at, vector in enumerate(vectors) if vector is not None]
        nothing: list[SparseVector] = [SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))]
        some = nothing + [vector for _, vector in held]
        return VectorEntries(
            np.repeat(np.array([at for at, _ in held], np.intp), [len(vector) for _, vector in held]),
            np.concatenate([vector.indices for vector in some]),
            np.concatenate([vector.values for vector in some]).astype(np.float64),
        )

    def _read(self, ids: Sequence[int]) -> dict[int, NeighbourProfile]:
        histories = self._store.histories(ids) if ids else {}
        rule = self._rules.value
        return {identity: decode_neighbour(history, self._index, rule) for identity, history in histories.items()}

    def _gathered(self, found: Neighbours, slots: Slots, fetched: Mapping[int, NeighbourProfile]) -> Profiles:
        """Copies, where not all profiles fit into the cache at once; one that is gone from the store is empty."""
        places = dict(zip(found.ids, slots.tolist(), strict=True))
        evicted = self._read([identity for identity, slot in places.items() if slot < 0 and identity not in fetched])
        apart = {**fetched, **evicted}
        return joined(
            [self._cache.profile(slot) if slot >= 0 else apart.get(i, NO_PROFILE) for i, slot in places.items()]
        )


def _ways(where: UserFilter | None) -> Iterator[_Way]:
    if where is None:
        yield _Way(None, None, is_last=True)
        return
    steps = widened(where)
    for step in steps:
        yield _Way(step.name, step.where or None, is_last=step is steps[-1])


def _with_ratings(profiles: Profiles, similarities: Floats) -> Voters:
    if not len(profiles) or profiles.lengths.all():
        return Voters(profiles, similarities)
    some = profiles.lengths > 0
    return Voters(profiles.at(some), similarities[some], some)
