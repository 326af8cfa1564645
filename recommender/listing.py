"""From a tally to a list: as much trend as has proved right, the best of it, predicted ratings, and a filled-up end."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.catalogue import Catalogue
from recommender.cold_start import with_popularity
from recommender.content import ContentVectors
from recommender.diversity import CANDIDATES_MAX, diversified
from recommender.embedding import Way
from recommender.explanation import Explanation
from recommender.item_filters import ItemFilter
from recommender.item_index import Dense, ItemIndex
from recommender.kernels import Kernels, Tally, TrendShare, mixed
from recommender.mixing import all_shortlists
from recommender.prediction import predict_voted
from recommender.profile import Floats
from recommender.ranking import Ranker
from recommender.rules import RankingRules
from recommender.statistics import ItemStatistics
from recommender.trend import HALF_LIVES_DAYS
from recommender.tuning import TrendTuner

Tier = Literal["personal", "thin", "popular"]
LIVES = range(len(HALF_LIVES_DAYS))


class Asking(NamedTuple):
    """Who a list is made for, and how.

    `rated` are their rated items in history order, `seen` are further ones that must not be shown, `baseline` is what
    `user_baseline` says of them. `identity` is the point of a user whose next ratings tune the trend. `items` says what
    may be in the list, `likes` what popularity counts for a user with few ratings.
    """

    rules: RankingRules
    rated: Dense
    seen: Dense
    baseline: float
    identity: int | None = None
    items: ItemFilter | None = None
    likes: ItemFilter | None = None

    @property
    def is_cold(self) -> bool:
        """Whether there are too few ratings to go by them alone."""
        return 0 < len(self.rated) < self.rules.personal_min_ratings


class Weighed(NamedTuple):
    """What a list is made of, step by step, and the weight of what each step mixed in.

    `votes` are those for what may be in the list, `known` have popularity in them, and `final` the trend as well.
    """

    votes: Tally
    known: Tally
    final: Tally
    popularity_weight: float = 0.0
    trend_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class RankedList:
    """A list, best first, and how well founded it is, in parallel columns.

    `item` is the dimension, `score` is 1 for the best of the list where scores are relative, `support` is the number
    of neighbours who rated it. `widened` names the step by which a filter on neighbours found enough of them; None:
    there was no filter. `why` explains the first so many places. `found_by`: by what the neighbours were found who
    rated the item, of each place; empty where only ratings are searched.
    """

    tier: Tier
    item: list[int]
    score: list[float]
    predicted_rating: list[float]
    support: list[int]
    widened: str | None = None
    why: tuple[Explanation, ...] = ()
    found_by: tuple[tuple[Way, ...], ...] = ()

    def __add__(self, tail: "RankedList") -> "RankedList":
        """This list, then another."""
        return RankedList(
            self.tier,
            self.item + tail.item,
            self.score + tail.score,
            self.predicted_rating + tail.predicted_rating,
            self.support + tail.support,
            self.widened,
            self.why,
        )


class Lister:
    """Makes lists. Counts them, so that every so many are kept for tuning the trend."""

    def __init__(self, index: ItemIndex, kernels: Kernels, ranker: Ranker, catalogue: Catalogue) -> None:
        self._index = index
        self._kernels = kernels
        self._ranker = ranker
        self._catalogue = catalogue
        self.content = ContentVectors(catalogue, index)
        self.tuner = TrendTuner()
        self._lists = 0
        self._scratch: Dense = np.zeros(1024, np.int32)

    def listed(self, statistics: ItemStatistics, tier: Tier, asking: Asking, tally: Tally) -> RankedList:
        """The best of a tally, filled with the most rated where it is too short."""
        ranked = self._best_of(statistics, tier, asking, tally)
        missing = asking.rules.list_length - len(ranked.item)
        if missing > 0 and tier != "popular":
            shown = self._index.find(np.array(ranked.item, np.uint32))
            rest = asking._replace(seen=np.concatenate((asking.seen, shown)))
            ranked += self._filling(statistics, rest, missing, min([0.0, *ranked.score[-1:]]))
        return ranked

    def popular(self, statistics: ItemStatistics, asking: Asking, limit: int) -> Tally:
        """The most rated items that the user has not seen, as if they had been voted for."""
        counts = self._open_counts(statistics, asking)
        none = np.zeros(len(counts), np.int64)
        order = self._kernels.best(counts, none, self._index.items, limit)
        nothing = np.zeros(len(order))
        return Tally(order.astype(np.int32), counts[order], none[order], nothing, nothing)

    def _open_counts(self, statistics: ItemStatistics, asking: Asking) -> Floats:
        """Ratings by item number, 0 for what must not be shown."""
        counts = statistics.counts.copy()
        counts[asking.rated] = 0
        counts[asking.seen] = 0
        counts[self._ranker.closed()] = 0
        if asking.items is not None:
            counts[~self._allowed(statistics, asking.items, np.arange(len(counts), dtype=np.int32))] = 0
        return counts

    def _with_popularity(self, statistics: ItemStatistics, asking: Asking, tally: Tally) -> Tally:
        counts = self._open_counts(statistics, asking)
        if asking.likes is not None:
            counts[~self._allowed(statistics, asking.likes, np.arange(len(counts), dtype=np.int32))] = 0
        return with_popularity(tally, counts, asking.rules.cold_popularity)

    def weighed(self, statistics: ItemStatistics, asking: Asking, tally: Tally) -> Weighed:
        """What a list is made of, for a look at it; makes none."""
        cold = self._of_a_cold_user(statistics, asking, self._eligible(statistics, asking, tally))
        share = self._share(statistics, asking, cold.known)
        return cold if share is None else cold._replace(final=mixed(cold.known, share), trend_weight=share.weight)

    def _best_of(self, statistics: ItemStatistics, tier: Tier, asking: Asking, tally: Tally) -> RankedList:
        known = self._of_a_cold_user(statistics, asking, self._eligible(statistics, asking, tally)).known
        if asking.rules.tuning_every_lists:
            self._keep_shortlists(statistics, asking, known)
        share = self._share(statistics, asking, known)
        return self._voted(statistics, tier, asking, self._foremost(asking.rules, known, share))

    def _eligible(self, statistics: ItemStatistics, asking: Asking, tally: Tally) -> Tally:
        if asking.items is None:
            return tally
        return tally.at(self._allowed(statistics, asking.items, tally.dense))

    def _of_a_cold_user(self, statistics: ItemStatistics, asking: Asking, tally: Tally) -> Weighed:
        weight = asking.rules.cold_popularity
        if not weight or not asking.is_cold:
            return Weighed(tally, tally, tally)
        votes = tally.at(tally.support > 0)
        known = self._with_popularity(statistics, asking, votes)
        return Weighed(votes, known, known, popularity_weight=weight)

    def _share(self, statistics: ItemStatistics, asking: Asking, tally: Tally) -> TrendShare | None:
        """What the trend has to say, as far as it has proved right."""
        if not asking.rules.tuning_every_lists:
            return None
        trend = statistics.trend
        mix = self.tuner.choice(len(asking.rated), trend.span_days)
        if not mix.weight:
            return None
        leaders = self._ranker.unlisted(asking.rated, asking.seen, tally.dense, trend.leaders(mix.half_life))
        if asking.items is not None:
            leaders = leaders[self._allowed(statistics, asking.items, leaders)]
        return TrendShare(trend.sums(mix.half_life, len(self._index)), leaders, mix.weight)

    def _keep_shortlists(self, statistics: ItemStatistics, asking: Asking, tally: Tally) -> None:
        if asking.identity is None:
            return
        self._lists += 1
        if self._lists % asking.rules.tuning_every_lists:
            return
        trend, none = statistics.trend, np.empty(0, np.int32)
        leaders = [self._ranker.unlisted(asking.rated, asking.seen, none, trend.best(life)) for life in LIVES]
        order = self._order(asking.rules, tally, asking.rules.list_length)
        self.tuner.remember(asking.identity, all_shortlists(self._kernels, tally, order, trend, leaders, self._fit()))

    def _fit(self) -> Dense:
        if len(self._scratch) < len(self._index):
            self._scratch = np.zeros(2 * len(self._index), np.int32)
        return self._scratch

    def _allowed(self, statistics: ItemStatistics, wanted: ItemFilter, dense: Dense) -> NDArray[np.bool_]:
        return wanted.allowed(self._catalogue, self._index.items[dense], statistics.ages_ms(dense))

    def _foremost(self, rules: RankingRules, tally: Tally, share: TrendShare | None) -> Tally:
        """The items to show: the best ones, or of the very best those that are also unlike each other."""
        if rules.score != "mean" and not rules.diversity:
            return self._kernels.foremost(tally, self._index.items, rules.list_length, share)
        final = tally if share is None else mixed(tally, share)
        if not rules.diversity:
            return final.at(self._order(rules, final, rules.list_length))
        best = final.at(self._order(rules, final, max(rules.list_length, CANDIDATES_MAX)))
        return best.at(diversified(best.score, self.content.of(best.dense), rules.diversity, rules.list_length))

    def _order(self, rules: RankingRules, tally: Tally, length: int) -> NDArray[np.int64]:
        items = self._index.items[tally.dense]
        if rules.score == "mean":
            # A mean of residuals may be negative, and still be the best there is.
            return np.lexsort((items, -tally.support, -tally.score))[:length]
        return self._kernels.best(tally.score, tally.support, items, length)

    def _voted(self, statistics: ItemStatistics, tier: Tier, asking: Asking, best: Tally) -> RankedList:
        predictions = predict_voted(statistics, asking.rules, asking.baseline, best)
        scores = best.score
        if asking.rules.relative_scores:
            scores = scores / scores[:1]
        columns = (self._index.items[best.dense], scores, predictions, best.support)
        return RankedList(tier, *(column.tolist() for column in columns))

    def _filling(self, statistics: ItemStatistics, asking: Asking, limit: int, score: float) -> RankedList:
        ranked = self._voted(statistics, "popular", asking, self.popular(statistics, asking, limit))
        return replace(ranked, score=[score] * len(ranked.item))
