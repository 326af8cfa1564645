"""Invented users of any number, written into a store in bulk: what growth and a worker's start are measured on.

Every user has `RATINGS_EACH` ratings. Half of them follow one power law over all items, the other half the same law
moved on by the user's circle, so that there are neighbours to find. Users come in chunks, so however many there are,
only one chunk is in memory; equal populations are equal to the bit.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from consumers.settings import Settings
from consumers.settings_mapping import ranking_rules
from consumers.store_opening import open_store
from recommender.neighbour_pool import NeighbourPool
from recommender.profile import Floats, History, UserState
from recommender.rules import RankingRules
from recommender.store import StateWrite, UserWrite, point_id
from recommender.vector import user_vector
from schemas.encode import event_message
from schemas.events import Rated
from schemas.messages import Message

RATINGS_EACH = 100
CIRCLES = 32
EXPONENT = 0.8
CHUNK_USERS = 1_000
FLUSH_CHUNKS = 20
DRAWN_EACH = 4 * RATINGS_EACH
BEGIN_MS, PERIOD_MS = 1_700_000_000_000, 300 * 86_400_000
SOURCE = "past-id:0"
"""Where the users' events are said to come from: no topic of today's."""
DISK_BYTES_EACH = 20_000
"""More than a user takes on disk while the engine still keeps its journal."""


@dataclass(frozen=True, slots=True)
class Population:
    """Users numbered from 0, who rated items numbered from 0."""

    users: int
    items: int
    seed: int = 7

    def chunks(self) -> Iterator[list[UserState]]:
        """The states of all users, `CHUNK_USERS` at a time."""
        law = _power_law(self.items)
        for begin in range(0, self.users, CHUNK_USERS):
            rng = np.random.default_rng((self.seed, begin))
            numbers = range(begin, min(begin + CHUNK_USERS, self.users))
            yield [_state(n, history) for n, history in zip(numbers, self._histories(numbers, law, rng), strict=True)]

    def events(self, count: int, seed: int) -> list[Message]:
        """Ratings of today, records without a topic: users in an order by chance, none twice before all had a turn."""
        rng = np.random.default_rng((self.seed, self.users, seed))
        turns = [rng.permutation(self.users) for _ in range(-(-count // self.users))]
        users = np.concatenate(turns)[:count]
        drawn = np.searchsorted(_power_law(self.items), rng.random(count))
        return [_event(user, item, seed) for user, item in zip(users.tolist(), drawn.tolist(), strict=True)]

    def _histories(self, numbers: range, law: Floats, rng: np.random.Generator) -> Iterator[History]:
        ranks = np.searchsorted(law, rng.random((len(numbers), DRAWN_EACH)))
        circles = np.array(numbers) % CIRCLES
        moved = circles[:, None] * (self.items // CIRCLES) * (rng.random(ranks.shape) < 0.5)
        ratings = rng.integers(1, 11, (len(numbers), RATINGS_EACH)) / 2
        times = BEGIN_MS + np.sort(rng.integers(0, PERIOD_MS, (len(numbers), RATINGS_EACH)), axis=1)
        for drawn, given, at_ms in zip((ranks + moved) % self.items, ratings, times, strict=True):
            items = _distinct(drawn)
            yield History(items, given[: len(items)], at_ms[: len(items)])


def fill(settings: Settings, population: Population) -> None:
    """Make the store of the settings, with these users in it, as many of them in the neighbour pool as there would be.

    Raises:
        OSError: the disk has too little room.
    """
    _require_room(settings.edge_folder, population.users)
    store, rules = open_store(settings), ranking_rules(settings)
    pool = NeighbourPool(settings.ranking.neighbour_pool_users)
    pool.thinning = pool.wanted(population.users)
    try:
        store.remember_thinning((pool.thinning, pool.thinning))
        for number, states in enumerate(population.chunks(), 1):
            store.write(StateWrite({}, [_write(state, rules, pool) for state in states]))
            if number % FLUSH_CHUNKS == 0:
                store.flush()
    finally:
        store.close()


def stored_bytes(folder: Path) -> int:
    """What a folder takes on its disk; blocks, because an engine's files have holes."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _power_law(items: int) -> Floats:
    """The share of ratings that the items up to each one have, shape (items,)."""
    shares = np.cumsum(np.arange(1, items + 1) ** -EXPONENT)
    law: Floats = shares / shares[-1]
    return law


def _distinct(drawn: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The first items that are drawn, each once."""
    return np.fromiter(dict.fromkeys(drawn.tolist()), np.uint32)[:RATINGS_EACH]


def _state(number: int, history: History) -> UserState:
    count = len(history)
    offsets = {SOURCE: (number + 1) * count}
    return UserState(str(number), history, count=count, offsets=offsets, last_source=SOURCE, tag=number + 1)


def _write(state: UserState, rules: RankingRules, pool: NeighbourPool) -> UserWrite:
    user_id = state.user_id or ""
    vector = user_vector(state.history, rules.value) if pool.admits(point_id(user_id)) else None
    return UserWrite(user_id, state, vector, frozenset(), missing=True)


def _event(user: int, item: int, seed: int) -> Message:
    rated = {"user_id": str(user), "item_id": item, "rating": 4.0, "rated_at": BEGIN_MS + PERIOD_MS + seed}
    return event_message("", Rated.model_validate(rated))


def _require_room(folder: Path, users: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free, wanted = shutil.disk_usage(folder).free, users * DISK_BYTES_EACH
    if free < wanted:
        raise OSError(f"{users:,} users may take {wanted >> 30} GiB at {folder}, and {free >> 30} GiB are free")
