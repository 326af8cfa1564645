"""The recommender: states of users in, ranked lists out, with everything between them (query, cache, votes, fill)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from recommender.item_index import Dense, ItemIndex
from recommender.neighbour_cache import NeighbourCache, NeighbourProfile, decode_neighbour
from recommender.prediction import predict_popular, predict_voted, user_baseline
from recommender.profile import Floats, History, Items, UserState
from recommender.ranking import Candidates, Ranker, best
from recommender.rules import RankingRules
from recommender.statistics import ItemStatistics, StatisticsScan
from recommender.store import NeighbourQuery, Neighbours, Store, point_id
from recommender.vector import query_vector

Tier = Literal["personal", "thin", "popular"]


class RankedItem(NamedTuple):
    """One place of a list: dimension, score (1 is the best of the list), prediction, neighbours who rated it."""

    item: int
    score: float
    predicted_rating: float
    support: int


@dataclass(frozen=True, slots=True)
class RankedList:
    """A list, best first, and how well founded it is."""

    tier: Tier
    items: Sequence[RankedItem]


class Recommender:
    """Ranks from what the store holds. Soft state only: dropping it costs time, never correctness."""

    def __init__(self, store: Store, rules: RankingRules, cache_max_bytes: int) -> None:
        self.index = ItemIndex()
        self.statistics = ItemStatistics(self.index)
        self._scan = StatisticsScan(self.statistics)
        self.cache = NeighbourCache(cache_max_bytes)
        self._store = store
        self._rules = rules
        self._ranker = Ranker(rules, self.index)

    def scan_slice(self, users_max: int) -> bool:
        """Count a slice of the stored histories; False when all have been counted."""
        if self._scan.next_id is None:
            return False
        page = self._store.scan(self._scan.next_id, users_max)
        self._scan.take(page.states, page.next_id)
        if page.next_id is None:
            self.statistics = self._scan.statistics
        return page.next_id is not None

    def rescan(self) -> None:
        """Count all anew, so that what other workers wrote counts too; the old figures serve until that is done."""
        self._scan = StatisticsScan(ItemStatistics(self.index))

    def changed(self, user_id: str, before: History, after: History) -> None:
        """Keep the statistics up with a stored history that changed."""
        self._scan.changed(point_id(user_id), before, after)
        if self.statistics is not self._scan.statistics:
            self.statistics.remove(before)
            self.statistics.add(after)

    def recommend(self, users: Sequence[tuple[str, UserState]]) -> list[RankedList]:
        """A list for each (user id, stored state), in order."""
        neighbours = self._neighbours(users)
        profiles = self._profiles(neighbours)
        return [self._ranked(state, found, profiles) for (_, state), found in zip(users, neighbours, strict=True)]

    def _neighbours(self, users: Sequence[tuple[str, UserState]]) -> list[Neighbours]:
        rules = self._rules
        queries: list[NeighbourQuery] = []
        asked: list[int] = []
        for at, (user_id, state) in enumerate(users):
            vector = query_vector(state.history, rules.value, rules.query_events, rules.query_half_life)
            if vector is not None:
                queries.append(NeighbourQuery(vector, rules.neighbours, point_id(user_id)))
                asked.append(at)
        found = [Neighbours([], [], []) for _ in users]
        for at, answer in zip(asked, self._store.nearest(queries) if queries else [], strict=True):
            found[at] = answer
        return found

    def _profiles(self, neighbours: Sequence[Neighbours]) -> dict[int, NeighbourProfile]:
        # One batch may need more profiles than the cache holds, so they are kept here while it lasts.
        profiles: dict[int, NeighbourProfile] = {}
        wanted: dict[int, int] = {}
        for found in neighbours:
            for identity, version in zip(found.ids, found.versions, strict=True):
                if identity in profiles or identity in wanted:
                    continue
                cached = self.cache.get(identity, version)
                if cached is None:
                    wanted[identity] = version
                else:
                    profiles[identity] = cached
        if wanted:
            for identity, history in self._store.histories(list(wanted)).items():
                profile = decode_neighbour(history, self.index)
                profiles[identity] = profile
                self.cache.put(identity, wanted[identity], profile)
        return profiles

    def _ranked(self, state: UserState, found: Neighbours, profiles: dict[int, NeighbourProfile]) -> RankedList:
        rated_history = state.history.rated()
        rated, seen = self.index.dense(rated_history.items), self.index.dense(state.seen)
        present = [
            (profiles[identity], similarity)
            for identity, similarity in zip(found.ids, found.similarities, strict=True)
            if identity in profiles and len(profiles[identity].dense)
        ]
        baseline = user_baseline(self.statistics, self._rules, rated, rated_history.ratings)
        if not present:
            return RankedList("popular", self._popular(rated, seen, baseline, self._rules.list_length, scored=True))
        candidates = self._ranker.candidates(rated, seen, [p for p, _ in present], [s for _, s in present])
        voted = self._voted(candidates, baseline)
        missing = self._rules.list_length - len(voted)
        if missing > 0:
            shown = self.index.find(np.array([item.item for item in voted], np.uint32))
            voted += self._popular(rated, np.concatenate((seen, shown)), baseline, missing, scored=False)
        return RankedList(self._tier(len(rated), len(present)), voted)

    def _tier(self, num_ratings: int, num_neighbours: int) -> Tier:
        enough = num_ratings >= self._rules.personal_min_ratings
        return "personal" if enough and num_neighbours >= self._rules.personal_min_neighbours else "thin"

    def _voted(self, candidates: Candidates, baseline: float) -> list[RankedItem]:
        scored = np.flatnonzero(candidates.score > 0)
        if not len(scored):
            return []
        items = self.index.items[candidates.dense]
        ties = (-candidates.support[scored], items[scored])
        order = scored[best(candidates.score[scored], ties, self._rules.list_length)]
        predictions = predict_voted(self.statistics, self._rules, baseline, candidates, order)
        scores = candidates.score[order]
        return _items(items[order], scores / scores[0], predictions, candidates.support[order].tolist())

    def _popular(self, rated: Dense, excluded: Dense, baseline: float, limit: int, *, scored: bool) -> list[RankedItem]:
        counts = self.statistics.counts.copy()
        counts[rated] = 0
        counts[excluded] = 0
        items = self.index.items
        order = best(counts, (items,), limit)
        order = order[counts[order] > 0]
        if not len(order):
            return []
        predictions = predict_popular(self.statistics, self._rules, baseline, order.astype(np.int32))
        scores = counts[order] / counts[order[0]] if scored else np.zeros(len(order))
        return _items(items[order], scores, predictions, [0] * len(order))


def _items(items: Items, scores: Floats, predictions: Floats, support: list[int]) -> list[RankedItem]:
    rows = zip(items.tolist(), scores.tolist(), predictions.tolist(), support, strict=True)
    return list(map(RankedItem._make, rows))
