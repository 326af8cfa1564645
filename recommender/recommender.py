"""The recommender: states of users in, ranked lists out, with everything between them (query, cache, votes, fill)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.item_index import Dense, ItemIndex
from recommender.kernels import Kernels, NumpyKernels, Tally
from recommender.mixing import all_shortlists, mixed
from recommender.neighbour_cache import (
    NO_PROFILE,
    NeighbourCache,
    NeighbourProfile,
    Profiles,
    Slots,
    decode_neighbour,
    joined,
)
from recommender.prediction import predict_voted, user_baseline
from recommender.profile import Floats, History, Items, UserState
from recommender.ranking import Ranker
from recommender.rules import RankingRules
from recommender.statistics import ItemStatistics, StatisticsScan, difference
from recommender.store import NeighbourQuery, Neighbours, Store, point_id
from recommender.trend import HALF_LIVES_DAYS
from recommender.tuning import TrendTuner
from recommender.vector import query_vector

Tier = Literal["personal", "thin", "popular"]
LIVES = range(len(HALF_LIVES_DAYS))


class _Asking(NamedTuple):
    """A user to rank for: point id, rated items in history order, further seen ones, and the mean of their ratings."""

    identity: int
    rated: Dense
    seen: Dense
    baseline: float


@dataclass(frozen=True, slots=True)
class RankedList:
    """A list, best first, and how well founded it is, in parallel columns.

    `item` is the dimension, `score` is 1 for the best of the list, `support` is the number of neighbours who rated it.
    """

    tier: Tier
    item: list[int]
    score: list[float]
    predicted_rating: list[float]
    support: list[int]

    def __add__(self, tail: "RankedList") -> "RankedList":
        """This list, then another."""
        return RankedList(
            self.tier,
            self.item + tail.item,
            self.score + tail.score,
            self.predicted_rating + tail.predicted_rating,
            self.support + tail.support,
        )


class Recommender:
    """Ranks from what the store holds. Soft state only: dropping it costs time, never correctness."""

    def __init__(self, store: Store, rules: RankingRules, cache_max_bytes: int, kernels: Kernels | None = None) -> None:
        self._kernels = kernels or NumpyKernels()
        self.index = ItemIndex()
        self.statistics = ItemStatistics(self.index)
        self._scan = StatisticsScan(self.statistics)
        self.cache = NeighbourCache(cache_max_bytes)
        self._store = store
        self._rules = rules
        self._tuner = TrendTuner()
        self._lists = 0
        self._ranker = Ranker(rules, self.index, self._kernels)

    def warm_up(self) -> None:
        """Do now what the first list would have to wait for."""
        self._kernels.warm_up()

    def scan_slice(self, users_max: int) -> bool:
        """Count a slice of the stored histories; False when all have been counted."""
        if self._scan.next_id is None:
            return False
        page = self._store.scan(self._scan.next_id, users_max)
        for identity, state in page.states:
            if state.user_id is None:
                self._drop(identity)
        self._scan.take(page.states, page.next_id)
        if page.next_id is None:
            self.statistics = self._scan.statistics
        return page.next_id is not None

    def rescan(self) -> None:
        """Count all anew, so that what other workers wrote counts too; the old figures serve until that is done."""
        self._scan = StatisticsScan(ItemStatistics(self.index))

    def changed(self, user_id: str, before: History, after: History) -> None:
        """Keep the statistics up with a stored history that changed, and see which lists foretold it."""
        identity, (gone, added) = point_id(user_id), difference(before, after)
        self._tuner.observe(identity, len(before), self.index.dense(_new_items(before, added)))
        if not len(after):
            self._drop(identity)
        self._scan.changed(identity, gone, added)
        if self.statistics is not self._scan.statistics:
            self.statistics.replace(gone, added)

    def _drop(self, identity: int) -> None:
        """Keep nothing of a user who was forgotten, here or by another worker."""
        # No search finds the point again, so nothing else would replace or drop what is held of it.
        self.cache.drop(identity)
        self._tuner.forget(identity)

    def recommend(self, users: Sequence[tuple[str, UserState]]) -> list[RankedList]:
        """A list for each (user id, stored state), in order."""
        neighbours = self._neighbours(users)
        fetched = self._fetched(neighbours)
        return [
            self._ranked(self._asking(user_id, state), found, fetched)
            for (user_id, state), found in zip(users, neighbours, strict=True)
        ]

    def assess(self, user_id: str, state: UserState, item: int) -> tuple[RankedList, float]:
        """The list of one user, and the rating predicted for an item of any kind (by dimension)."""
        (found,) = self._neighbours([(user_id, state)])
        fetched = self._fetched([found])
        user = self._asking(user_id, state)
        tier, tally = self._tallied(user, found, fetched)
        return self._completed(tier, user, tally), self._predicted(tally, item, user.baseline)

    def _predicted(self, tally: Tally, item: int, baseline: float) -> float:
        dense = self.index.dense(np.array([item], np.uint32))
        at = np.flatnonzero(tally.dense == dense)
        if not len(at):
            nothing = np.zeros(1)
            tally, at = Tally(dense, nothing, np.zeros(1, np.int64), nothing, nothing), np.zeros(1, np.int64)
        return float(predict_voted(self.statistics, self._rules, baseline, tally, at)[0])

    def _asking(self, user_id: str, state: UserState) -> _Asking:
        history = state.history.rated()
        rated, seen = self.index.dense(history.items), self.index.dense(state.seen)
        baseline = user_baseline(self.statistics, self._rules, rated, history.ratings)
        return _Asking(point_id(user_id), rated, seen, baseline)

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

    def _fetched(self, neighbours: Sequence[Neighbours]) -> dict[int, NeighbourProfile]:
        """What the cache does not hold, read in one go; kept for the batch, which may need more than the cache does."""
        wanted: dict[int, int] = {}
        for found in neighbours:
            for at in np.flatnonzero(self.cache.find(found.ids, found.versions) < 0).tolist():
                wanted[found.ids[at]] = found.versions[at]
        profiles = self._read(list(wanted))
        for identity, profile in profiles.items():
            self.cache.put(identity, wanted[identity], profile)
        return profiles

    def _read(self, ids: Sequence[int]) -> dict[int, NeighbourProfile]:
        histories = self._store.histories(ids) if ids else {}
        return {identity: decode_neighbour(history, self.index) for identity, history in histories.items()}

    def _voters(self, found: Neighbours, fetched: Mapping[int, NeighbourProfile]) -> tuple[Profiles, Floats]:
        """The neighbours with ratings, and their similarities."""
        slots = self.cache.find(found.ids, found.versions)
        profiles = self.cache.profiles(slots) if (slots >= 0).all() else self._gathered(found, slots, fetched)
        similarities = np.array(found.similarities)
        if len(profiles) and not profiles.lengths.all():
            some = profiles.lengths > 0
            profiles, similarities = profiles.at(some), similarities[some]
        return profiles, similarities

    def _gathered(self, found: Neighbours, slots: Slots, fetched: Mapping[int, NeighbourProfile]) -> Profiles:
        """Copies, where not all profiles fit into the cache at once; one that is gone from the store is empty."""
        places = dict(zip(found.ids, slots.tolist(), strict=True))
        evicted = self._read([identity for identity, slot in places.items() if slot < 0 and identity not in fetched])
        apart = {**fetched, **evicted}
        return joined(
            [self.cache.profile(slot) if slot >= 0 else apart.get(i, NO_PROFILE) for i, slot in places.items()]
        )

    def _tallied(self, user: _Asking, found: Neighbours, fetched: Mapping[int, NeighbourProfile]) -> tuple[Tier, Tally]:
        voters, similarities = self._voters(found, fetched)
        if not len(voters):
            return "popular", self._popular(user, self._rules.list_length)
        tally = self._ranker.tally(user.rated, user.seen, voters, similarities)
        return self._tier(len(user.rated), len(voters)), tally

    def _ranked(self, user: _Asking, found: Neighbours, fetched: Mapping[int, NeighbourProfile]) -> RankedList:
        tier, tally = self._tallied(user, found, fetched)
        return self._completed(tier, user, tally)

    def _completed(self, tier: Tier, user: _Asking, tally: Tally) -> RankedList:
        """The best of a tally, filled with the most rated where it is too short."""
        ranked = self._listed(tier, user, tally)
        missing = self._rules.list_length - len(ranked.item)
        if missing > 0 and tier != "popular":
            shown = self.index.find(np.array(ranked.item, np.uint32))
            rest = user._replace(seen=np.concatenate((user.seen, shown)))
            ranked += self._filled(rest, missing)
        return ranked

    def _listed(self, tier: Tier, user: _Asking, tally: Tally) -> RankedList:
        """The best of a tally, with as much trend as has proved right."""
        if self._rules.tuning_every_lists:
            trend = self.statistics.trend
            self._keep_shortlists(user, tally)
            mix = self._tuner.choice(len(user.rated), trend.span_days)
            if mix.weight:
                leaders = self._ranker.unlisted(user.rated, user.seen, tally.dense, trend.leaders(mix.half_life))
                tally = mixed(tally, trend, leaders, mix)
        return self._voted(tier, tally, self._best(tally), user.baseline)

    def _keep_shortlists(self, user: _Asking, tally: Tally) -> None:
        self._lists += 1
        if self._lists % self._rules.tuning_every_lists:
            return
        trend, none = self.statistics.trend, np.empty(0, np.int32)
        leaders = [self._ranker.unlisted(user.rated, user.seen, none, trend.leaders(life)) for life in LIVES]
        self._tuner.remember(user.identity, all_shortlists(tally, self._best(tally), trend, leaders))

    def _tier(self, num_ratings: int, num_neighbours: int) -> Tier:
        enough = num_ratings >= self._rules.personal_min_ratings
        return "personal" if enough and num_neighbours >= self._rules.personal_min_neighbours else "thin"

    def _best(self, tally: Tally) -> NDArray[np.int64]:
        items = self.index.items[tally.dense]
        return self._kernels.best(tally.score, tally.support, items, self._rules.list_length)

    def _voted(self, tier: Tier, tally: Tally, order: NDArray[np.int64], baseline: float) -> RankedList:
        items = self.index.items[tally.dense[order]]
        predictions = predict_voted(self.statistics, self._rules, baseline, tally, order)
        scores = tally.score[order]
        scores /= scores[:1]
        columns = (items, scores, predictions, tally.support[order])
        return RankedList(tier, *(column.tolist() for column in columns))

    def _popular(self, user: _Asking, limit: int) -> Tally:
        """The most rated items that the user has not seen, as if they had been voted for."""
        counts = self.statistics.counts.copy()
        counts[user.rated] = 0
        counts[user.seen] = 0
        none = np.zeros(len(counts), np.int64)
        order = self._kernels.best(counts, none, self.index.items, limit)
        nothing = np.zeros(len(order))
        return Tally(order.astype(np.int32), counts[order], none[order], nothing, nothing)

    def _filled(self, user: _Asking, limit: int) -> RankedList:
        popular = self._popular(user, limit)
        ranked = self._voted("popular", popular, np.arange(len(popular.dense)), user.baseline)
        return replace(ranked, score=[0.0] * len(ranked.item))


def _new_items(before: History, added: History) -> Items:
    """Items that are rated for the first time by entries that came to a history."""
    items = added.rated().items
    if len(items) == 1:
        # Nearly always, and ten times as fast.
        return items if items[0] not in before.items else items[:0]
    return items[~np.isin(items, before.items)]
