"""The sliding test of two rankings equals McNemar's over the last so many ratings, in plain Python."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender import live as live_module
from recommender.catalogue import Catalogue
from recommender.kinds import KindMasks
from recommender.live import FirstRatings, LiveEvaluation, MadeList, Timings
from recommender.pairing import paired
from recommender.rules import RankingRules

NO_TIME = Timings(0.0, 0.0)
ITEMS = st.lists(st.integers(0, 20), unique=True, max_size=12)
USERS = st.integers(0, 3)


def evaluation(window_events: int) -> LiveEvaluation:
    return LiveEvaluation(window_events, 1 << 24, RankingRules(), KindMasks(Catalogue()))


def rated(identity: int, items: Sequence[int]) -> FirstRatings:
    return FirstRatings(identity, 7, np.array(items, np.uint32), np.full(len(items), 4.0))


class ByHand:
    """For each rating whether it was hit, None without a list."""

    def __init__(self, window_events: int) -> None:
        self.live = evaluation(window_events)
        self.lists: dict[int, list[int]] = {}
        self.hits: list[bool | None] = []

    def show(self, user: int, items: list[int]) -> None:
        self.live.show(MadeList(user, items, [3.0] * len(items)), NO_TIME)
        self.lists[user] = items

    def judge(self, user: int, items: Sequence[int]) -> None:
        self.live.judge(rated(user, items))
        self.hits += [item in self.lists[user][:10] if user in self.lists else None for item in items]


SHOWN = st.tuples(st.sampled_from(["one", "other"]), USERS, ITEMS)
RATED = st.tuples(st.just("rated"), USERS, ITEMS)


@given(st.lists(SHOWN | RATED, max_size=40), st.integers(1, 15), st.integers(1, 6), st.integers(0, 3))
def test_the_sliding_test_is_mcnemars(
    steps: list[tuple[str, int, list[int]]], window: int, noted: int, look_every: int
) -> None:
    """Law: z is (b − c) / √(b + c) over the window, however often one of the two was looked at in between."""
    sides = {"one": ByHand(window), "other": ByHand(window)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_module, "_NOTED_MAX", noted)
        for at, (what, user, items) in enumerate(steps):
            if what in sides:
                sides[what].show(user, items)
            else:
                for side in sides.values():
                    side.judge(user, items)
            if look_every and at % look_every == 0:
                len(sides["one"].live.ratings)
    rows = list(zip(sides["one"].hits, sides["other"].hits, strict=True))[-window:]
    both = [(one, other) for one, other in rows if one is not None and other is not None]
    b, c = sum(one and not other for one, other in both), sum(other and not one for one, other in both)
    found = paired(sides["one"].live, sides["other"].live)
    assert (found.ratings, found.only_one, found.only_other) == (len(both), b, c)
    assert found.z == (pytest.approx((b - c) / math.sqrt(b + c)) if b + c else None)
    back = paired(sides["other"].live, sides["one"].live)
    assert back.z == (None if found.z is None else -found.z)


def test_windows_of_other_ratings_are_refused() -> None:
    """Law: what was not judged by the same ratings is no pair."""
    one, other = evaluation(5), evaluation(5)
    one.judge(rated(1, [1, 2]))
    with pytest.raises(ValueError, match="no pairs"):
        paired(one, other)
