"""PureSVD as a baseline: factors made anew now and then, users folded in as they rate, items scored by the factors."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from consumers.factor_training import trained_factors
from recommender.baselines import RECENT_EVENTS, RECENT_HALF_LIFE, SeenItems, retrained_every
from recommender.evaluation import Assessment, RatedEvent
from recommender.factors import Factors
from recommender.profile import History
from recommender.vector import ValueRule

_USERS_MIN = 2


class PureSvd:
    """The nightly job by factors (Cremonesi, Koren and Turrin 2010), made as often as item-kNN is.

    Items are scored for a user's last 64 ratings, each weighted 0.5^(age / 10), of the values that the default stores.
    """

    def __init__(self, events: int) -> None:
        self._every = retrained_every(events)
        self._learnt = 0
        self._seen = SeenItems()
        self._stars: defaultdict[str, dict[int, float]] = defaultdict(dict)
        self._rule = ValueRule()
        self._factors: Factors | None = None

    def assess(self, user_id: str, _item: int) -> Assessment:
        """See `System.assess`."""
        scores = np.zeros(len(self._seen.index))
        if self._factors is not None:
            place = self._factors.of(self._history(user_id), self._rule, RECENT_EVENTS, RECENT_HALF_LIFE)
            if place is not None:
                scores[self._seen.index.find(self._factors.items)] = self._factors.scores(place)
        return self._seen.best(user_id, scores)

    def learn(self, events: Sequence[RatedEvent]) -> None:
        """See `System.learn`.

        Raises:
            FactorError: scipy is missing.
        """
        for event in events:
            self._seen.add(event)
            stars = self._stars[event.user_id]
            # What is rated anew is the latest again.
            stars.pop(event.item, None)
            stars[event.item] = event.stars
            self._learnt += 1
            if self._learnt % self._every == 0 and len(self._stars) >= _USERS_MIN:
                self._factors = trained_factors([self._history(user_id) for user_id in self._stars], self._rule)

    def _history(self, user_id: str) -> History:
        stars = self._stars[user_id]
        times = np.zeros(len(stars), np.int64)
        return History(np.fromiter(stars, np.uint32), np.fromiter(stars.values(), np.float64), times)
