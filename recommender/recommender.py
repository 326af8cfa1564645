"""The recommender: states of users in, ranked lists out, with everything between them (query, cache, votes, fill)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recommender.catalogue import Catalogue
from recommender.cold_start import liked_genres
from recommender.embedding import embeddings
from recommender.explanation import Evidence, Opinions
from recommender.factors import Factors
from recommender.item_index import ItemIndex
from recommender.kernels import Kernels, NumpyKernels, Tally
from recommender.listing import Asking, Lister, RankedList, Tier
from recommender.live import FirstRatings, first_rated
from recommender.mixed_reasons import found_by
from recommender.neighbour_cache import NeighbourCache
from recommender.neighbourhood import Gathered, Neighbourhood, Voters
from recommender.prediction import predict_any, user_baseline
from recommender.profile import NO_ITEMS, History, Items, UserState
from recommender.question import Question
from recommender.ranking import Ranker
from recommender.rules import RankingRules
from recommender.searching import Found
from recommender.similar_items import RATERS_MAX, Alike, ContentCandidates, Likeness, SimilarItems, alike_by_ratings
from recommender.standing_filters import NO_FILTERS
from recommender.statistics import CountedUsers, HistoryChange, ItemStatistics
from recommender.store import Store, point_id

ATTRIBUTES_MAX = 10_000
"""Names of attributes that are known; beyond them no further one is."""
_DAY_MS = 86_400_000


class Recommender:
    """Ranks from what the store holds. Soft state only: dropping it costs time, never correctness.

    `catalogue` may change at any time: what it says counts from the next list on.
    """

    def __init__(
        self,
        store: Store,
        rules: RankingRules,
        cache_max_bytes: int,
        kernels: Kernels | None = None,
        catalogue: Catalogue | None = None,
        around_search: Callable[[], AbstractContextManager[None]] = nullcontext,
        factors: Factors | None = None,
    ) -> None:
        """`around_search` is entered for as long as neighbours are looked for; `factors` for rules that weigh them."""
        self._kernels = kernels or NumpyKernels()
        self.catalogue = Catalogue() if catalogue is None else catalogue
        self._catalogue_version = 0
        self._attributes: set[str] = set()
        self.index = ItemIndex(self._kernels.find)
        self._users = CountedUsers(self.index)
        self.cache = NeighbourCache(cache_max_bytes)
        self._store = store
        self._around_search = around_search
        self._rules = rules
        self._ranker = Ranker(rules, self.index, self._kernels)
        self._lister = Lister(self.index, self._kernels, self._ranker, self.catalogue)
        self._candidates = ContentCandidates(self._lister.content)
        self.embeddings = embeddings(rules, self._lister.content, self.index, factors)
        self._neighbourhood = Neighbourhood(store, rules, self.index, self.cache, self.embeddings)

    @property
    def statistics(self) -> ItemStatistics:
        """What is known of all items together."""
        return self._users.statistics

    def warm_up(self) -> None:
        """Do now what the first list would have to wait for."""
        self._kernels.warm_up()

    def scan_slice(self, users_max: int) -> bool:
        """Count a slice of the stored histories; False when all have been counted."""
        if self._users.next_id is None:
            return False
        page = self._store.scan(self._users.next_id, users_max)
        for identity, state in page.states:
            self._know(state.attributes)
            if state.user_id is None:
                self._drop(identity)
        self._users.take([state.history for _, state in page.states], page.next_id)
        return page.next_id is not None

    def rescan(self) -> None:
        """Count all anew, so that what other workers wrote counts too; the old figures serve until that is done."""
        self._users.begin_anew()

    def inherit(self, earlier: "Recommender") -> None:
        """Go on with what another ranking of the same users has learnt of the trend."""
        self._lister.tuner.inherit(earlier._lister.tuner)  # noqa: SLF001  # its successor

    def changed(self, changed: Sequence[tuple[str, UserState, UserState]]) -> list[FirstRatings]:
        """Keep up with users (id, state before, state as stored now), and see which lists foretold what they rated.

        Returns:
            What each of them rated for the first time.
        """
        rows = [HistoryChange.between(point_id(user), before.history, after.history) for user, before, after in changed]
        firsts = [first_rated(row) for row in rows]
        dense = self.index.dense(np.concatenate([NO_ITEMS, *(first.items for first in firsts)]))
        for (_, _, after), first in zip(changed, firsts, strict=True):
            now, dense = dense[: len(first.items)], dense[len(first.items) :]
            self._lister.tuner.observe(first.identity, first.num_ratings, now)
            self._neighbourhood.wrote(first.identity, after)
            self._know(after.attributes)
            if not len(after.history):
                self._drop(first.identity)
        self._users.changed(rows)
        return firsts

    def _drop(self, identity: int) -> None:
        """Keep nothing of a user who was forgotten, here or by another worker."""
        # No search finds the point again, so nothing else would replace or drop what is held of it.
        self._neighbourhood.forget(identity)
        self._lister.tuner.forget(identity)

    def recommend(self, users: Sequence[tuple[str, UserState]]) -> list[RankedList]:
        """A list for each (user id, stored state), in order."""
        return self._answered([self.question_of(user_id, state) for user_id, state in users], tuning=True)

    def answer(self, questions: Sequence[Question]) -> list[RankedList]:
        """A list for each question, in order. Asking changes nothing that later lists depend on."""
        return self._answered(questions, tuning=False)

    def similar_items(self, item: int, limit: int, by: Likeness = "content") -> SimilarItems:
        """The `limit` ≥ 1 items most like an item (dimension), without any that left the catalogue.

        Raises:
            StoreError: the store failed.
        """
        self._keep_up_with_the_catalogue()
        dense = int(self.index.find(np.array([item], np.uint32))[0])
        known = self.catalogue.get(item)
        alike = self._candidates.alike(self.statistics, known) if by == "content" else self._raters_alike(item, dense)
        if alike is None:
            return SimilarItems([], [])
        hidden = self._ranker.closed()[alike.dense] | (alike.dense == dense)
        similarity, items = np.where(hidden, 0.0, alike.similarity), self.index.items[alike.dense]
        order = self._kernels.best(similarity, alike.support, items, limit)
        return SimilarItems(items[order].tolist(), similarity[order].tolist())

    def _raters_alike(self, item: int, dense: int) -> Alike | None:
        raters = self._neighbourhood.raters(item, RATERS_MAX)
        return alike_by_ratings(self.statistics, raters, dense, self._rules.value.slope) if len(raters) else None

    def has_attribute(self, name: str) -> bool:
        """Whether any user that was counted or changed here has this attribute, or there are too many to know."""
        return name in self._attributes or len(self._attributes) >= ATTRIBUTES_MAX

    def known_users(self) -> int:
        """Stored users with ratings, as far as they were counted."""
        return self.statistics.users.known

    def newest_ms(self) -> int:
        """When the newest rating of all was given, in epoch ms; 0 without any."""
        return self.statistics.trend.last_ms

    def _know(self, attributes: Iterable[str]) -> None:
        if len(self._attributes) < ATTRIBUTES_MAX:
            self._attributes.update(attributes)

    def are_rated(self, items: Items) -> NDArray[np.bool_]:
        """Which of these items (dimensions, shape (n,)) anybody has rated."""
        found = self.index.find(items)
        rated: NDArray[np.bool_] = (found >= 0) & (self.statistics.counts[np.maximum(found, 0)] > 0)
        return rated

    def neighbours(self, questions: Sequence[Question]) -> list[Found]:
        """The nearest users for each question, in order."""
        return self._neighbourhood.nearest(questions)

    def evidence(self, questions: Sequence[Question], *, tuning: bool) -> Iterator[tuple[RankedList, Evidence]]:
        """A list for each question, in order, with what it was made from; `tuning`: these lists are published."""
        self._keep_up_with_the_catalogue()
        found = self._neighbourhood.nearest(questions)
        gathered = self._neighbourhood.gathered([one.neighbours for one in found])
        for question, one, held in zip(questions, found, gathered, strict=True):
            asking = self._asking(question, tuning=tuning)
            voters = self._voters(question, asking, one, held)
            tier, tally = self._counted(asking, voters)
            weighed = self._lister.weighed(self.statistics, asking, tally)
            ranked = self._lister.listed(self.statistics, tier, asking, tally)
            opinions = self._opinions(question, asking, one, voters)
            rules = question.rules or self._rules
            yield self._marked(ranked, one, voters), Evidence(rules, question.history.rated(), opinions, *weighed)

    def _opinions(self, question: Question, asking: Asking, found: Found, voters: Voters) -> Opinions | None:
        rules, (profiles, similarities, among) = asking.rules, voters
        if not len(profiles):
            return None
        ballots = self._ranker.ballots(asking.rated, profiles, similarities, rules)
        places = np.arange(len(profiles)) if among is None else np.flatnonzero(among)
        whole = self._votes_since_ms(question, rules) is None
        reasons = self._neighbourhood.behind(question, found, voters, whole=whole)
        return Opinions(ballots, similarities, places + 1, *reasons)

    def assess(self, user_id: str, state: UserState, item: int) -> tuple[RankedList, float]:
        """The list of one user, and the rating predicted for an item of any kind (by dimension)."""
        self._keep_up_with_the_catalogue()
        question = self.question_of(user_id, state)
        (found,) = self._neighbourhood.nearest([question])
        asking = self._asking(question, tuning=True)
        (gathered,) = self._neighbourhood.gathered([found.neighbours])
        voters = self._voters(question, asking, found, gathered)
        tier, tally = self._counted(asking, voters)
        ranked = self._marked(self._lister.listed(self.statistics, tier, asking, tally), found, voters)
        dense = self.index.dense(np.array([item], np.uint32))
        return ranked, predict_any(self.statistics, self._rules, asking.baseline, tally, dense)

    def _answered(self, questions: Sequence[Question], *, tuning: bool) -> list[RankedList]:
        self._keep_up_with_the_catalogue()
        with self._around_search():
            found = self._neighbourhood.nearest(questions)
        gathered = self._neighbourhood.gathered([one.neighbours for one in found])
        return [
            self._ranked(question, self._asking(question, tuning=tuning), one, held)
            for question, one, held in zip(questions, found, gathered, strict=True)
        ]

    def _keep_up_with_the_catalogue(self) -> None:
        """What was removed from the catalogue leaves the lists."""
        if self._catalogue_version != self.catalogue.version:
            self._catalogue_version = self.catalogue.version
            self._ranker.close(self.index.dense(self.catalogue.removed))

    def _ranked(self, question: Question, asking: Asking, found: Found, gathered: Gathered) -> RankedList:
        voters = self._voters(question, asking, found, gathered)
        tier, tally = self._counted(asking, voters)
        return self._marked(self._lister.listed(self.statistics, tier, asking, tally), found, voters)

    def _marked(self, ranked: RankedList, found: Found, voters: Voters) -> RankedList:
        """A list that says how its neighbours were found, where there is something to say."""
        if found.step is not None:
            ranked = replace(ranked, widened=found.step)
        if found.parts is None or not len(voters.profiles):
            return ranked
        parts = found.parts if voters.among is None else found.parts[voters.among]
        dense = self.index.find(np.array(ranked.item, np.uint32))
        return replace(ranked, found_by=found_by(dense, voters.profiles, parts, len(self.index)))

    def question_of(self, user_id: str, state: UserState) -> Question:
        """The question that the published list of a stored user answers."""
        question, filters = Question(state.history, state.seen, point_id(user_id)), self._rules.filters
        if filters is NO_FILTERS:
            return question
        where = filters.of(state.attributes, self.statistics.trend.last_ms)
        return replace(question, where=where, items=filters.items)

    def _asking(self, question: Question, *, tuning: bool) -> Asking:
        rules, rated = question.rules or self._rules, question.history.rated()
        dense, seen = self.index.dense(rated.items), self.index.dense(question.seen)
        baseline = user_baseline(self.statistics, rules, dense, rated.ratings)
        asking = Asking(rules, dense, seen, baseline, question.excluding if tuning else None, question.items)
        return self._cold(asking, rated) if rules.cold_popularity and asking.is_cold else asking

    def _cold(self, asking: Asking, rated: History) -> Asking:
        length = min(asking.rules.list_length, asking.rules.cold_list_length or asking.rules.list_length)
        likes = liked_genres(rated, self.catalogue)
        return asking._replace(rules=replace(asking.rules, list_length=length), likes=likes)

    def _voters(self, question: Question, asking: Asking, found: Found, gathered: Gathered) -> Voters:
        """Who votes, and how similar they are by now."""
        since_ms = self._votes_since_ms(question, asking.rules)
        if since_ms is None:
            voters = self._neighbourhood.voters(gathered)
        else:
            voters = self._neighbourhood.voters_since(found.neighbours, since_ms)
        if found.parts is not None:
            # Relative to the best, which has faded as much.
            return voters
        faded = asking.rules.value.faded(self.statistics.trend.last_ms) ** 2
        return voters._replace(similarities=voters.similarities * faded)

    def _counted(self, asking: Asking, voters: Voters) -> tuple[Tier, Tally]:
        profiles, similarities, _ = voters
        if not len(profiles):
            return "popular", self._lister.popular(self.statistics, asking, asking.rules.list_length)
        tally = self._ranker.tally(asking.rated, asking.seen, profiles, similarities, asking.rules)
        return self._tier(len(asking.rated), len(profiles)), tally

    def _votes_since_ms(self, question: Question, rules: RankingRules) -> int | None:
        if question.votes_since_ms is None and rules.votes_within_days:
            return self.statistics.trend.last_ms - int(rules.votes_within_days * _DAY_MS)
        return question.votes_since_ms

    def _tier(self, num_ratings: int, num_neighbours: int) -> Tier:
        enough = num_ratings >= self._rules.personal_min_ratings
        return "personal" if enough and num_neighbours >= self._rules.personal_min_neighbours else "thin"
