"""Live evaluation's arithmetic: windows, judging and figures equal plain Python over the last so many events."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender import live as live_module
from recommender.catalogue import Catalogue, CatalogueItem
from recommender.item_index import ItemIndex
from recommender.kinds import KindMasks
from recommender.live import FirstRatings, LiveEvaluation, MadeList, Timings
from recommender.live_figures import World, live_figures
from recommender.measures import Variety
from recommender.profile import History
from recommender.rules import RankingRules
from recommender.statistics import ItemStatistics
from recommender.window import Window

RULES = RankingRules()
LENGTH = 12
GENRES = {item: {f"g{item * n % 7}" for n in range(item % 4)} for item in range(40)}
NO_TIME = Timings(0.0, 0.0)

ITEMS = st.lists(st.integers(0, 30), unique=True, max_size=15)
USERS = st.integers(0, 3)
STARS = st.integers(1, 10).map(lambda halves: halves / 2)


class Rating(NamedTuple):
    """A first rating as it stands in the window: its rank in the held list (None: no hit), or no list at all."""

    is_judged: bool
    rank: int | None
    is_warm: bool
    stars: float
    error: float | None


def rated(identity: int, items: Sequence[int], stars: Sequence[float], num_ratings: int = 7) -> FirstRatings:
    return FirstRatings(identity, num_ratings, np.array(items, np.uint32), np.array(stars, np.float64))


def made(identity: int, items: Sequence[int]) -> MadeList:
    """A list whose predictions are distinct and exact in float32."""
    return MadeList(identity, items, [1 + item / 8 for item in items])


def catalogue_of(genres: Mapping[int, Iterable[str]]) -> Catalogue:
    """Items with these genres."""
    made = Catalogue()
    for item, names in genres.items():
        made.put(item, CatalogueItem(genres=tuple(names)))
    return made


def evaluation(
    window: int = LENGTH, lists_max_bytes: int = 1 << 20, catalogue: Catalogue | None = None
) -> LiveEvaluation:
    return LiveEvaluation(window, lists_max_bytes, RULES, KindMasks(catalogue or Catalogue()))


class Known(NamedTuple):
    """All that figures are taken of beside the windows."""

    world: World
    statistics: ItemStatistics


def known(counts: dict[int, int] | None = None, catalogue: Catalogue | None = None) -> Known:
    """Items with so many ratings each, all by users who come once."""
    index = ItemIndex()
    statistics = ItemStatistics(index)
    for item, count in (counts or {}).items():
        for _ in range(count):
            statistics.add(History(np.array([item], np.uint32), np.array([3.0]), np.zeros(1, np.int64)))
            statistics.users.moved(0, 1)
    return Known(World(index, catalogue or Catalogue()), statistics)


@given(st.integers(1, 9), st.lists(st.integers(0, 25), max_size=12))
def test_a_window_holds_the_last_rows(length: int, sizes: list[int]) -> None:
    """Law: whatever pieces rows come in, the window has the last `length` of them, each once."""
    window, told = Window(length, [("n", np.int64)]), 0
    for size in sizes:
        rows = window.blank(size)
        rows["n"] = np.arange(told, told + size)
        window.append(rows)
        told += size
        assert sorted(window.rows["n"].tolist()) == list(range(max(0, told - length), told))
        assert len(window) == len(window.rows)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("show"), USERS, ITEMS, st.just(0)),
        st.tuples(st.just("judge"), USERS, ITEMS, st.integers(0, 8)),
        st.tuples(st.just("forget"), USERS, st.just([]), st.just(0)),
    ),
    max_size=30,
)


@given(STEPS, st.lists(STARS, min_size=15, max_size=15), st.booleans())
@settings(deadline=None)
def test_figures_equal_plain_python_over_the_last_events(
    steps: list[tuple[str, int, list[int], int]], stars: list[float], is_asked_often: bool
) -> None:
    """Law: rates, gains, errors and shares are exactly those of the last events, however often they are asked for."""
    live, lists, window = evaluation(), dict[int, list[int]](), list[Rating]()
    for kind, user, items, num_ratings in steps:
        match kind:
            case "show":
                live.show(made(user, items), NO_TIME)
                lists[user] = items
            case "judge":
                live.judge(rated(user, items, stars[: len(items)], num_ratings))
                window += _judged(lists.get(user), items, stars, num_ratings) if num_ratings else []
            case _:
                live.forget(user)
                lists.pop(user, None)
        if is_asked_often:
            assert len(live.ratings) == min(len(window), LENGTH)
    _assert_figures(live, window[-LENGTH:])


def _judged(shown: list[int] | None, items: list[int], stars: list[float], num_ratings: int) -> list[Rating]:
    found = []
    for item, given_ in zip(items, stars, strict=False):
        place = shown.index(item) if shown and item in shown else None
        rank = place if place is not None and place < 10 else None
        error = None if place is None else 1 + item / 8 - given_
        found.append(Rating(shown is not None, rank, num_ratings >= 5, given_, error))
    return found


def _assert_figures(live: LiveEvaluation, window: list[Rating]) -> None:
    found, judged = live_figures(live, *known()), [row for row in window if row.is_judged]
    audiences = {
        "all": judged,
        "warm": [row for row in judged if row.is_warm],
        "liked": [row for row in judged if row.is_warm and row.stars >= 4],
        "cold": [row for row in judged if not row.is_warm],
    }
    for (name, rows), hits in zip(audiences.items(), found.hits.values(), strict=True):
        ranks = [row.rank for row in rows if row.rank is not None]
        assert (name, hits.hits, hits.events) == (name, len(ranks), len(rows))
        assert (hits.rate is None) == (hits.ndcg is None) == (hits.mrr is None) == (not rows)
        assert (hits.rate or 0) * len(rows) == pytest.approx(len(ranks))
        assert (hits.ndcg or 0) * len(rows) == pytest.approx(sum(1 / math.log2(rank + 2) for rank in ranks))
        assert (hits.mrr or 0) * len(rows) == pytest.approx(sum(1 / (rank + 1) for rank in ranks))
    errors = [row.error for row in judged if row.error is not None]
    assert found.predicted == len(errors)
    assert (found.mae or 0) == pytest.approx(sum(map(abs, errors)) / max(1, len(errors)))
    assert (found.rmse or 0) ** 2 == pytest.approx(sum(error**2 for error in errors) / max(1, len(errors)))
    assert found.ratings == len(window)
    assert found.judged_share == (len(judged) / len(window) if window else None)


def test_what_is_noted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: notes are filled into the windows at the limit, and a figure never depends on when."""
    monkeypatch.setattr(live_module, "_NOTED_MAX", 4)
    live = evaluation(window=1_000)
    for number in range(10):
        live.show(made(0, [number, 100]), NO_TIME)
        live.judge(rated(0, [number, 7, 8, 9, 10, 11, 12], [3.0] * 7))
        assert max(len(live._rated), len(live._made)) < 4
    found = live_figures(live, *known())
    assert (found.ratings, found.lists, found.hits["all"].hits) == (70, 10, 10 + 3)


def test_lists_are_held_within_their_bytes() -> None:
    """Law: the users served longest ago are no longer judged; the share says so."""
    live = evaluation(window=100, lists_max_bytes=20_000)
    for user in range(100):
        live.show(made(user, list(range(LENGTH))), NO_TIME)
    assert 0 < live.held_bytes <= 20_000
    for user in range(100):
        live.judge(rated(user, [user % LENGTH], [3.0]))
    found = live_figures(live, *known())
    assert found.judged_share is not None
    assert 0.1 < found.judged_share < 0.5
    assert found.ratings == 100
    assert np.flatnonzero(live.ratings["rank"] >= 0).min() > 50


def test_no_list_is_held_after_all_are_forgotten() -> None:
    """Law: another worker may have made a newer list; what was counted stays."""
    live = evaluation()
    live.show(made(1, [5]), NO_TIME)
    live.judge(rated(1, [5], [3.0]))
    live.forget_all()
    live.judge(rated(1, [6], [3.0]))
    assert (live_figures(live, *known()).judged_share, live.held_bytes) == (0.5, 0)


@given(st.lists(ITEMS, max_size=8))
@settings(deadline=None)
def test_variety_equals_the_evaluators(lists: list[list[int]]) -> None:
    """Law: coverage, novelty and diversity of the lists in the window are what the evaluator says of the same lists."""
    counts = {item: 1 + item % 3 for item in range(0, 30, 2)}
    live = evaluation(catalogue=catalogue_of(GENRES))
    kinds = {item: frozenset(names) for item, names in GENRES.items() if names}
    variety = Variety(kinds, _counts=Counter(counts), _ratings=sum(counts.values()))
    for number, items in enumerate(lists):
        live.show(made(number, items), NO_TIME)
        variety.add("anybody", items[:10])
    found = live_figures(live, *known(counts))
    shown = {item for items in lists for item in items[:10]}
    assert found.coverage == (len(shown & counts.keys()) / len(counts) if lists else None)
    for ours, theirs in ((found.novelty, variety.novelty.mean), (found.diversity, variety.diversity.mean)):
        assert (ours is None) == (theirs is None)
        assert (ours or 0) == pytest.approx(theirs or 0)


@pytest.mark.parametrize("kinds", [1, 64, 65, 200])
def test_any_number_of_kinds_is_compared(kinds: int) -> None:
    """Law: masks of more than a machine word are compared whole."""
    names = [f"k{number}" for number in range(kinds)]
    masks = KindMasks(catalogue_of({0: names, 1: names[1:], 2: names[-1:]}))
    found = masks.unlikeness([[0, 1], [0, 2]])
    expected = [1 - (kinds - 1) / kinds if kinds > 1 else 0, 1 - 1 / kinds]
    assert found.total.tolist() == pytest.approx(expected)


def test_kinds_are_looked_up_anew_when_the_catalogue_changes() -> None:
    """Law: what an item is now counts, and one that was removed has no kinds."""
    catalogue = catalogue_of({1: ["drama"], 2: ["drama"]})
    masks = KindMasks(catalogue)
    assert masks.unlikeness([[1, 2], [2, 1]]).total.tolist() == [0, 0]
    catalogue.put(2, CatalogueItem(genres=("drama", "war")))
    assert masks.unlikeness([[1, 2]]).total.tolist() == [0.5]
    catalogue.remove(2)
    assert masks.unlikeness([[1, 2]]).pairs.tolist() == [0]


def test_more_kinds_than_the_limit_are_left_out() -> None:
    """Law: a catalogue in which every item has a kind of its own costs no more than the limit's bits."""
    masks = KindMasks(catalogue_of({item: [f"own {item}"] for item in range(2_000)}))
    masks.unlikeness([list(range(at, at + 10)) for at in range(0, 2_000, 10)])
    assert masks.unlikeness([[0, 1], [1_990, 1_991]]).pairs.tolist() == [1, 0]


def test_the_world_is_counted() -> None:
    """Law: users and items with ratings, shares of them, and ratings per user; nothing known says nothing."""
    catalogue = catalogue_of(dict.fromkeys([2, 3, 4, 5], ()))
    world, statistics = known({1: 3, 2: 1}, catalogue)
    for _ in range(3):
        statistics.users.moved(1, 5)
    found = live_figures(evaluation(), world, statistics)
    assert (found.users, found.items, found.user_coverage) == (4, 2, 0.75)
    assert (found.item_coverage, found.vector_size) == (2 / 5, 1.0)
    catalogue.remove(5)
    assert live_figures(evaluation(), world, statistics).item_coverage == 2 / 4
    nothing = live_figures(evaluation(), *known())
    figures = (nothing.user_coverage, nothing.item_coverage, nothing.vector_size, nothing.coverage, nothing.novelty)
    assert figures == (None,) * 5


def test_times_are_of_the_lists_in_the_window() -> None:
    """Law: median and 99th percentile, and none without lists."""
    live = evaluation(window=100)
    assert live_figures(live, *known()).search_s is None
    for number in range(300):
        live.show(made(number, [1]), Timings(float(number), number * 2.0))
    found = live_figures(live, *known())
    assert found.search_s == pytest.approx(np.percentile(np.arange(200, 300), (50, 99)).tolist())
    assert found.refresh_s == pytest.approx([value * 2 for value in found.search_s or ()])


def test_an_item_that_is_no_longer_known_is_no_figure() -> None:
    """Law: what was shown and has lost its last rating counts neither as covered nor as novel."""
    live = evaluation()
    live.show(made(1, [1, 2, 99]), NO_TIME)
    found = live_figures(live, *known({1: 1, 2: 1}))
    assert found.coverage == 1.0
    assert found.novelty == pytest.approx(2 / 3)
