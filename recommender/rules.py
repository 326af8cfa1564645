"""The numbers of a ranking. A named preset is one `RankingRules`; presets beside the default belong in `PRESETS`."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

from recommender.vector import ValueRule


@dataclass(frozen=True, slots=True)
class RankingRules:
    """The default ranking, "neighbours who were where you are now"; every length is in events, not in days.

    `value` decides what is stored and is fixed in the store; all else is query side and may change between restarts.
    The trend is tuned on every so many lists; 0: no trend.
    """

    value: ValueRule = field(default_factory=ValueRule)
    neighbours: int = 100
    query_events: int = 64
    query_half_life: float = 10.0
    similarity_exponent: float = 3.0
    vote_offset: float = 2.0
    position_half_life: float = 10.0
    position_floor: float = 0.1
    list_length: int = 50
    tuning_every_lists: int = 4
    personal_min_ratings: int = 5
    personal_min_neighbours: int = 10
    item_bias_damping: float = 5.0
    user_bias_damping: float = 2.0
    residual_damping: float = 5.0
    scale_min: float = 0.5
    scale_max: float = 5.0

    def label(self, preset: str = "default") -> str:
        """Preset and fingerprint of every number, as lists carry it."""
        numbers = json.dumps(asdict(self), sort_keys=True).encode()
        return f"{preset}:{hashlib.blake2b(numbers, digest_size=3).hexdigest()}"


PRESETS: dict[str, RankingRules] = {"default": RankingRules()}
