"""The neighbours of whoever asks: found by the store, their profiles held in a cache."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.bounded_cache import BoundedCache
from recommender.embedding import Embedding
from recommender.filters import UserFilter, widened
from recommender.item_index import ItemIndex
from recommender.mixed_reasons import NO_VECTOR, MixedReasons, vector_entries
from recommender.neighbour_cache import (
    NO_PROFILE,
    NeighbourCache,
    NeighbourProfile,
    Profiles,
    Slots,
    decode_neighbour,
    joined,
)
from recommender.profile import EMPTY_HISTORY, Floats, History, Items, UserState
from recommender.question import Question
from recommender.reasons_behind import Behind, VectorEntries, behind_by_ratings
from recommender.rules import RankingRules
from recommender.searching import NOBODY, NOBODY_FOUND, Found, MixedSearch, RatingSearch, Search
from recommender.store import NeighbourQuery, Neighbours, Store
from recommender.vector import SparseVector, query_vector

WRITTEN_MAX_BYTES = 16 * 1024 * 1024
"""Histories that this process stored last, most of which the cache of users' states holds as well."""
_WRITTEN_OVERHEAD_BYTES = 400


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


class Gathered(NamedTuple):
    """Neighbours with the slots of their profiles in the cache, as of so many changes of it; −1: not held.

    `fetched` has what was read for all of a batch: the cache may hold less than that.
    """

    neighbours: Neighbours
    slots: Slots
    fetched: Mapping[int, NeighbourProfile]
    changes: int


class _Written(NamedTuple):
    """A history as this process stored it last, under this tag."""

    tag: int
    history: History


class Neighbourhood:
    """Finds neighbours and decodes what they rated; `cache` may be dropped at any time."""

    def __init__(
        self,
        store: Store,
        rules: RankingRules,
        index: ItemIndex,
        cache: NeighbourCache,
        embeddings: Sequence[Embedding] = (),
    ) -> None:
        self._store = store
        self._embeddings = embeddings
        self._search: Search = MixedSearch(store, rules, embeddings) if embeddings else RatingSearch(store, rules)
        self._rules = rules
        self._index = index
        self._cache = cache
        self._written: BoundedCache[int, _Written] = BoundedCache(WRITTEN_MAX_BYTES)

    def wrote(self, identity: int, state: UserState) -> None:
        """Know what is stored now of a user (point id), so that nobody has to read it back to rank by it."""
        self._written.put(identity, _Written(state.tag, state.history), _WRITTEN_OVERHEAD_BYTES + state.history.nbytes)

    def forget(self, identity: int) -> None:
        """Hold nothing of a user (point id)."""
        self._cache.drop(identity)
        self._written.drop(identity)

    def nearest(self, questions: Sequence[Question]) -> list[Found]:
        """The neighbours for each question, in order; none where there is nothing to go by.

        A filter that leaves fewer than `personal_min_neighbours`, or fewer than wanted, is widened until it does not.
        """
        found = [NOBODY_FOUND] * len(questions)
        asked = {at: queries for at, one in enumerate(questions) if (queries := self._search.queries(one))}
        ways = {at: _ways(questions[at].where) for at in asked}
        while asked:
            steps = {at: next(ways[at]) for at in asked}
            narrowed = [[replace(one, where=steps[at].where) for one in queries] for at, queries in asked.items()]
            for at, answer in zip(asked, self._search.nearest(narrowed), strict=True):
                found[at] = answer._replace(step=steps[at].name)
            asked = {
                at: queries
                for at, queries in asked.items()
                if not steps[at].is_last and self._is_thin(found[at], queries[0].limit)
            }
        return found

    def _is_thin(self, found: Found, limit: int) -> bool:
        return len(found.neighbours.ids) < min(self._rules.personal_min_neighbours, limit)

    def raters(self, item: int, limit: int) -> Profiles:
        """What those rated who rated an item (dimension) and in whose vectors it weighs most."""
        only = SparseVector(np.array([item], np.uint32), np.ones(1, np.float32))
        (found,) = self._store.nearest([NeighbourQuery(only, limit, NOBODY)])
        (gathered,) = self.gathered([found])
        return self.voters(gathered)[0]

    def gathered(self, neighbours: Sequence[Neighbours]) -> list[Gathered]:
        """What all of them rated; what the cache does not hold is read in one go."""
        slots = [self._cache.find(found.ids, found.versions) for found in neighbours]
        missing = [np.flatnonzero(some < 0) for some in slots]
        wanted: dict[int, int] = {}
        for found, places in zip(neighbours, missing, strict=True):
            wanted.update((found.ids[at], found.versions[at]) for at in places.tolist())
        profiles, evicted = self._read(wanted), self._cache.evicted
        for identity, profile in profiles.items():
            self._cache.put(identity, wanted[identity], profile)
        for some, found, places in zip(slots, neighbours, missing, strict=True):
            if self._cache.evicted != evicted:
                some[:] = self._cache.find(found.ids, found.versions)
            elif len(places):
                some[places] = self._cache.find([found.ids[at] for at in places], [found.versions[at] for at in places])
        return [Gathered(*each, profiles, self._cache.changes) for each in zip(neighbours, slots, strict=True)]

    def voters(self, gathered: Gathered) -> Voters:
        """The neighbours with ratings."""
        found, slots = gathered.neighbours, gathered.slots
        if self._cache.changes != gathered.changes:
            slots = self._cache.find(found.ids, found.versions)
        profiles = self._cache.profiles(slots) if (slots >= 0).all() else self._copied(found, slots, gathered.fetched)
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

    def behind(self, question: Question, found: Found, voters: Voters, *, whole: bool) -> tuple[Items, Behind]:
        """The items asked with, and their shares in how similar the voters are; see `vectors`."""
        rules = question.rules or self._rules
        if found.parts is None:
            query = query_vector(question.history, rules.value, rules.query_events, rules.query_half_life) or NO_VECTOR
            vectors, values = self.vectors(found.neighbours, voters, whole=whole), query.values.astype(np.float64)
            return query.indices, behind_by_ratings(query.indices, values, vectors, len(voters.profiles))
        reasons = MixedReasons(question, rules, self._embeddings)
        parts = found.parts if voters.among is None else found.parts[voters.among]
        return reasons.asked, reasons.behind(parts, self._histories(_voting(found.neighbours, voters)))

    def vectors(self, found: Neighbours, voters: Voters, *, whole: bool) -> VectorEntries:
        """What the voters were found by; `whole`: their profiles hold all that they rated."""
        rule, profiles = self._rules.value, voters.profiles
        if whole and rule.centre is None and rule.decay_per_year == 1.0:
            (dense, residuals), lengths = profiles.entries(), profiles.lengths
            voter = np.repeat(np.arange(len(lengths)), lengths)
            return VectorEntries(voter, self._index.items[dense], rule.slope / rule.spread * residuals + rule.offset)
        return vector_entries(self._histories(_voting(found, voters)), rule)

    def _histories(self, ids: Sequence[int]) -> list[History]:
        histories = self._store.histories(ids)
        return [histories.get(identity, EMPTY_HISTORY) for identity in ids]

    def _read(self, wanted: Mapping[int, int]) -> dict[int, NeighbourProfile]:
        """The profiles of these points, by the version that the store named; of older ones it may be a newer one."""
        histories = {i: history for i, version in wanted.items() if (history := self._known(i, version)) is not None}
        if unknown := [identity for identity in wanted if identity not in histories]:
            histories |= self._store.histories(unknown)
        rule = self._rules.value
        return {identity: decode_neighbour(history, self._index, rule) for identity, history in histories.items()}

    def _known(self, identity: int, version: int) -> History | None:
        """The history behind a version of a point, where this process wrote it: no other can have on its own store."""
        written = self._written.get(identity)
        return None if written is None or not (self._store.exclusive or written.tag == version) else written.history

    def _copied(self, found: Neighbours, slots: Slots, fetched: Mapping[int, NeighbourProfile]) -> Profiles:
        """Copies, where not all profiles fit into the cache at once; one that is gone from the store is empty."""
        places = dict(zip(found.ids, slots.tolist(), strict=True))
        versions = dict(zip(found.ids, found.versions, strict=True))
        evicted = self._read({i: versions[i] for i, slot in places.items() if slot < 0 and i not in fetched})
        apart = {**fetched, **evicted}
        return joined(
            [self._cache.profile(slot) if slot >= 0 else apart.get(i, NO_PROFILE) for i, slot in places.items()]
        )


def _voting(found: Neighbours, voters: Voters) -> list[int]:
    return found.ids if voters.among is None else [found.ids[at] for at in np.flatnonzero(voters.among).tolist()]


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
