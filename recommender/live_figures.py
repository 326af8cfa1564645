"""What live evaluation found: the measures of `evaluation` over the windows as they are now, and what is known of all.

Coverage is that of the catalogue (Ge, Delgado-Battenfeld and Jannach 2010): items shown ÷ items known. User and item
coverage say for whom and of what lists can be made at all: users with enough ratings ÷ users known, and items that
anybody rated ÷ those together with the catalogue's.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.catalogue import Catalogue
from recommender.evaluation import LIST_LENGTH
from recommender.item_index import ItemIndex
from recommender.live import COLD, LIKED, NOT_JUDGED, WARM, LiveEvaluation
from recommender.profile import NO_ITEMS, Floats, Items
from recommender.statistics import ItemStatistics
from recommender.window import Rows

Audience = Literal["all", "warm", "liked", "cold"]
AUDIENCES: dict[Audience, tuple[int, ...]] = {
    "all": (COLD, WARM, LIKED),
    "warm": (WARM, LIKED),
    "liked": (LIKED,),
    "cold": (COLD,),
}
"""Whose ratings: everybody's; of users with 5 earlier ones; of those only 4 stars and more; of users with fewer."""
_GAIN = 1 / np.log2(np.arange(2, LIST_LENGTH + 2))
_RECIPROCAL = 1 / np.arange(1.0, LIST_LENGTH + 1)


class Hits(NamedTuple):
    """Of so many ratings: whose items stood in the first ten, and the means of what their places are worth.

    `ndcg` is of 1 / log₂(rank + 2), one item being relevant, `mrr` of 1 / (rank + 1), as in `measures`.
    """

    hits: int
    events: int
    rate: float | None
    ndcg: float | None
    mrr: float | None


class Spread(NamedTuple):
    """Median and 99th percentile."""

    p50: float
    p99: float


class World:
    """What there is to show: numbered items, and the catalogue."""

    def __init__(self, index: ItemIndex, catalogue: Catalogue) -> None:
        self.index = index
        self._catalogue = catalogue
        self._version = -1
        self._items = NO_ITEMS

    @property
    def catalogue_items(self) -> Items:
        """The items of the catalogue (dimensions), in no order."""
        if self._version != self._catalogue.version:
            self._version = self._catalogue.version
            self._items = np.fromiter(self._catalogue.items, np.uint32, len(self._catalogue.items))
        return self._items


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """Measures over the windows; None where nothing says. Seconds, bits and shares.

    `ratings` and `lists` are how many stand in the windows, `judged_share` is how many of the ratings were judged,
    `predicted` how many were of items that stood in the list, with the errors of what it had predicted.
    """

    hits: dict[Audience, Hits]
    predicted: int
    mae: float | None
    rmse: float | None
    ratings: int
    judged_share: float | None
    lists: int
    coverage: float | None
    diversity: float | None
    novelty: float | None
    search_s: Spread | None
    refresh_s: Spread | None
    users: int
    items: int
    user_coverage: float | None
    item_coverage: float | None
    vector_size: float | None


def live_figures(live: LiveEvaluation, world: World, statistics: ItemStatistics) -> LiveFigures:
    """The figures as of now; O(window + items known)."""
    ratings, lists = live.ratings, live.lists
    judged = ratings[ratings["rank"] != NOT_JUDGED]
    errors = judged["error"][~np.isnan(judged["error"])]
    is_rated = statistics.counts > 0
    items, users = int(np.count_nonzero(is_rated)), statistics.users.known
    places = _places_by_item(lists, world.index)
    pairs = int(lists["pairs"].sum())
    return LiveFigures(
        hits={name: _hits(judged, levels) for name, levels in AUDIENCES.items()},
        predicted=len(errors),
        mae=float(np.abs(errors).mean()) if len(errors) else None,
        rmse=math.sqrt((errors**2).mean()) if len(errors) else None,
        ratings=len(ratings),
        judged_share=_share(len(judged), len(ratings)),
        lists=len(lists),
        coverage=_share(int(np.count_nonzero(is_rated & (places > 0))), items) if len(lists) else None,
        diversity=float(lists["unlikeness"].sum()) / pairs if pairs else None,
        novelty=_novelty(places, statistics.counts, int(lists["places"].sum())),
        search_s=_spread(lists["search_s"]),
        refresh_s=_spread(lists["refresh_s"]),
        users=users,
        items=items,
        user_coverage=_share(statistics.users.with_at_least(live.personal_min_ratings), users),
        item_coverage=_share(items, items + _unrated(world, is_rated)) if len(world.catalogue_items) else None,
        vector_size=_share(float(statistics.counts.sum()), users),
    )


def _hits(judged: Rows, levels: tuple[int, ...]) -> Hits:
    ranks = judged["rank"][np.isin(judged["level"], levels)]
    found, n = ranks[ranks >= 0], len(ranks)
    gain, reciprocal = float(_GAIN[found].sum()), float(_RECIPROCAL[found].sum())
    return Hits(len(found), n, _share(len(found), n), _share(gain, n), _share(reciprocal, n))


def _places_by_item(lists: Rows, index: ItemIndex) -> NDArray[np.int64]:
    """How many places of the lists each item has, by dense number, shape (len(index),)."""
    shown = lists["items"][np.arange(LIST_LENGTH) < lists["places"][:, None]]
    dense = index.find(shown)
    return np.bincount(dense[dense >= 0], minlength=len(index))


def _novelty(places: NDArray[np.int64], counts: Floats, total: int) -> float | None:
    """The mean of −log₂(an item's share of all ratings) over so many places, as popularity is now."""
    both = (places > 0) & (counts > 0)
    return _share(float((places[both] * np.log2(counts.sum() / counts[both])).sum()), total)


def _unrated(world: World, is_rated: NDArray[np.bool_]) -> int:
    """Items of the catalogue that nobody has rated."""
    dense = world.index.find(world.catalogue_items)
    return len(dense) - int(np.count_nonzero(is_rated[dense[dense >= 0]]))


def _spread(seconds: Floats) -> Spread | None:
    return Spread(*np.percentile(seconds, (50, 99)).tolist()) if len(seconds) else None


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
