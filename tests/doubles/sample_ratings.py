"""Real ratings for tests: some of the shipped data set, always the same."""

import random
from collections.abc import Iterator

from producers.datasets import bundled_dataset
from schemas.events import Rated

SEED = 20_180_926


def ratings(count: int) -> Iterator[Rated]:
    """Ratings drawn across all users and times, in a random order, so that nearly every one makes a list."""
    rows = list(bundled_dataset().ratings.rows())
    for user, item, rating, rated_at in random.Random(SEED).sample(rows, count):  # noqa: S311 - no secret
        assert isinstance(item, int)
        yield Rated(user_id=str(user), item_id=item, rating=rating, rated_at=rated_at)
