"""The numbers of a ranking. A named preset is one `RankingRules`; every technique is also a field of its own."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from recommender.standing_filters import NO_FILTERS, StandingFilters
from recommender.vector import ValueRule


@dataclass(frozen=True, slots=True)
class RankingRules:
    """The default ranking, "neighbours who were where you are now"; every length is in events, not in days.

    `value` decides what is stored and is fixed in the store, as is `idf`; all else is query side and may change
    between restarts. The last `query_events` ratings ask for neighbours (0: all), fading by `query_half_life` (0: not).
    Votes are `vote_slope` · residual + `vote_offset`, added up over the neighbours who rated an item, or their mean.
    `relative_scores`: the best of a list has 1. The trend is tuned on every so many lists; 0: no trend. A user with
    fewer than `personal_min_ratings` is cold: see `cold_start` for what `cold_popularity` then means (0: nothing), and
    `cold_list_length` (0: as long as any list). `diversity` is how much it counts that the items of a list are unlike
    each other, from 0 (not at all) to 1. Neighbours are found by content and by factors with these weights, and by
    ratings with the rest of 1 (see `searching`).
    """

    value: ValueRule = field(default_factory=ValueRule)
    idf: bool = False
    neighbours: int = 100
    query_events: int = 64
    query_half_life: float = 10.0
    similarity_exponent: float = 3.0
    vote_slope: float = 1.0
    vote_offset: float = 2.0
    position_half_life: float = 10.0
    position_floor: float = 0.1
    score: Literal["sum", "mean"] = "sum"
    relative_scores: bool = True
    votes_within_days: float = 0.0
    list_length: int = 50
    tuning_every_lists: int = 4
    cold_popularity: float = 0.0
    cold_list_length: int = 0
    diversity: float = 0.0
    content_weight: float = 0.0
    factors_weight: float = 0.0
    personal_min_ratings: int = 5
    personal_min_neighbours: int = 10
    item_bias_damping: float = 5.0
    user_bias_damping: float = 2.0
    residual_damping: float = 5.0
    filters: StandingFilters = NO_FILTERS
    scale_min: float = 0.5
    scale_max: float = 5.0

    def label(self, preset: str = "default") -> str:
        """Preset and fingerprint of every number, as lists carry it."""
        numbers = json.dumps(asdict(self), sort_keys=True).encode()
        return f"{preset}:{hashlib.blake2b(numbers, digest_size=3).hexdigest()}"


_ARTICLES = RankingRules(
    neighbours=20,
    query_events=0,
    query_half_life=0.0,
    similarity_exponent=1.0,
    vote_offset=0.0,
    position_floor=1.0,
    relative_scores=False,
    list_length=10,
    tuning_every_lists=0,
)
"""What both articles have in common: whole profiles ask, similarities count as they are, nothing is mixed in."""

PRESETS: dict[str, RankingRules] = {
    "default": RankingRules(),
    "tutorial": replace(
        _ARTICLES,
        value=ValueRule(offset=0.0, damping=None, prune_below=0.1, decay_per_year=0.95),
        idf=True,
        score="mean",
        cold_popularity=0.3,
        cold_list_length=5,
    ),
    "article": replace(
        _ARTICLES,
        value=ValueRule(offset=0.0, damping=None, centre=3.5, duplicates="mean"),
        vote_slope=0.0,
        vote_offset=1.0,
    ),
}
"""Rules by name. `article` measures ratings from a mean and in a deviation that are the deployment's to set."""
