"""The fold, against a batch computation written independently in plain Python, and against mutations of itself."""

import importlib.util
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from recommender import profile
from recommender.profile import (
    EMPTY_HISTORY,
    NEW_USER,
    Change,
    Forget,
    HistoryLimits,
    Rate,
    Retract,
    SetAttributes,
    Update,
    UserState,
    fold,
    mean_rating,
)
from recommender.vector import ValueRule, user_vector

UNBOUNDED = HistoryLimits()
THREE = HistoryLimits(entries_max=3)


class Event(NamedTuple):
    """A rating, or a retraction where it is None."""

    item: int
    rating: float | None
    at_ms: int


class Outcome(NamedTuple):
    """What a profile comes to; ratings as bytes and the mean in hexadecimal, so that equal means bit for bit."""

    items: list[int]
    ratings: bytes
    rated_at: list[int]
    seen: list[int]
    num_ratings: int
    mean: str | None


RATINGS = st.integers(5, 50).map(lambda tenths: tenths / 10)
ITEMS = st.integers(0, 7)
TENTHS = st.one_of(RATINGS, RATINGS, st.none())


def events_at(times: st.SearchStrategy[int]) -> st.SearchStrategy[Event]:
    return st.builds(Event, ITEMS, TENTHS, times)


# With so few times most of a case's events share theirs with another.
CLASHING = st.lists(events_at(st.integers(0, 4)), max_size=14)
DISTINCT = st.lists(events_at(st.integers(0, 99)), max_size=14, unique_by=lambda event: event.at_ms)
DELIVERIES = DISTINCT.flatmap(lambda events: st.tuples(st.just(events), st.permutations(events)))


def batch(events: Sequence[Event], entries_max: int = 2_000) -> Outcome:
    """The profile of events in topic order, all at once: the latest of each item, the newest items, their mean."""
    latest: dict[int, tuple[int, int, float | None]] = {}
    for place, event in enumerate(events):
        if event.item not in latest or event.at_ms >= latest[event.item][0]:
            latest[event.item] = (event.at_ms, place, event.rating)
    order = sorted(latest, key=lambda item: latest[item][:2])
    kept = order[-entries_max:]
    ratings = [latest[item][2] for item in kept]
    live = [rating for rating in ratings if rating is not None]
    return Outcome(
        kept,
        b"".join(struct.pack("<d", math.nan if rating is None else rating) for rating in ratings),
        [latest[item][0] for item in kept],
        sorted(order[: len(order) - len(kept)]),
        len(live),
        (math.fsum(live) / len(live)).hex() if live else None,
    )


def change(event: Event, module: Any = profile) -> Any:
    if event.rating is None:
        return module.Retract(event.item, event.at_ms)
    return module.Rate(event.item, event.rating, event.at_ms)


def streamed(events: Sequence[Event], limits: HistoryLimits = UNBOUNDED, module: Any = profile) -> Outcome:
    """The profile that the fold of a module (ours, or a mutation of it) makes of the events, in batches of two."""
    updates = [module.Update("t.0", offset, "u", change(event, module)) for offset, event in enumerate(events)]
    state = module.UserState()
    for first in range(0, len(updates), 2):
        state = module.fold(state, updates[first : first + 2], limits)
    return outcome(state, module)


def outcome(state: Any, module: Any = profile) -> Outcome:
    mean = module.mean_rating(state.history)
    return Outcome(
        state.history.items.tolist(),
        state.history.ratings.astype("<f8").tobytes(),
        state.history.rated_at.tolist(),
        state.seen.tolist(),
        len(state.history.rated()),
        None if mean is None else float(mean).hex(),
    )


def everything(state: UserState) -> tuple[Any, ...]:
    """A state as a value; states themselves compare by identity."""
    applied = (state.count, dict(state.offsets), state.last_event)
    return (*outcome(state), state.user_id, dict(state.attributes), *applied, state.tag)


def updates_of(changes: Sequence[Change]) -> list[Update]:
    """The changes as they lie in two partitions, alternating."""
    return [Update(f"t.{place % 2}", place // 2, "u", one) for place, one in enumerate(changes)]


CHANGES = st.lists(
    st.one_of(
        events_at(st.integers(0, 4)).map(change),
        st.builds(SetAttributes, st.dictionaries(st.sampled_from("ab"), st.none() | st.integers(0, 3))),
        st.just(Forget()),
    ),
    max_size=14,
)


@given(DELIVERIES)
def test_any_order_of_delivery_gives_the_batch_profile_bit_for_bit(case: tuple[list[Event], list[Event]]) -> None:
    """Events with distinct times: history, mean and count of ratings do not depend on the order they came in."""
    events, delivered = case
    assert streamed(delivered) == batch(events)


@given(CLASHING)
def test_of_equal_times_the_later_in_the_topic_wins_and_stands_later(events: list[Event]) -> None:
    """Equal times: the topic decides, both which entry of an item counts and how entries stand in the history."""
    assert streamed(events) == batch(events)


@given(DELIVERIES)
def test_a_bounded_history_is_the_newest_entries_after_any_order(case: tuple[list[Event], list[Event]]) -> None:
    """A full history holds the newest items by time; the others are exactly the seen ones, outside the mean."""
    events, delivered = case
    assert streamed(delivered, THREE) == batch(events, 3)


@given(CLASHING)
def test_a_bounded_history_keeps_the_later_of_equal_times(events: list[Event]) -> None:
    """Of entries with equal times the one that came first falls out first."""
    assert streamed(events, THREE) == batch(events, 3)


MUTATIONS = {
    "equal times stand in reverse": (
        'np.argsort(everything.rated_at, kind="stable")',
        "np.lexsort((-np.arange(len(everything)), everything.rated_at))",
    ),
    "the last to come wins": ('np.argsort(everything.rated_at, kind="stable")', "np.arange(len(everything))"),
    "the first of an item counts": ("items[order][::-1]", "items[order]"),
    "the mean is a running sum": ("math.fsum(ratings.tolist())", "sum(ratings.tolist())"),
    "a retraction counts as a rating": (
        "ratings = history.rated().ratings",
        "ratings = np.nan_to_num(history.ratings)",
    ),
    "a re-rated item stands twice": ("order[np.sort(len(order) - 1 - from_end)]", "order"),
    "the newest entries fall out": ("slice(excess, None)", "slice(0, len(history) - excess)"),
    "a fallen item is not seen": ("np.union1d(seen, fallen)", "seen"),
    "an item that came back stays seen": ("seen[~np.isin(seen, kept.items)]", "seen"),
    "a late entry goes to the end": (" and times[0] >= history.rated_at[-1]", ""),
    "a re-rating goes to the end alone": (" and items[0] not in history.items", ""),
    "what falls out is one too few": ("- limits.entries_max", "- limits.entries_max - 1"),
}


def mutated(folder: Path, old: str, new: str) -> ModuleType:
    """The module of the fold with one place of its text changed; the place must be there exactly once."""
    text = Path(profile.__file__).read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = folder / "mutated_profile.py"
    path.write_text(text.replace(old, new), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_laws_above_see_a_wrong_fold(name: str, tmp_path: Path) -> None:
    """For each of these mistakes the same generator finds events on which fold and batch computation differ."""
    module = mutated(tmp_path, *MUTATIONS[name])

    def differs(events: list[Event]) -> bool:
        return streamed(events, THREE, module) != batch(events, 3)

    search = settings(derandomize=True, max_examples=2_000, database=None, phases=[Phase.generate])
    assert differs(find(CLASHING, differs, settings=search))


@given(CHANGES, st.data())
def test_replaying_what_was_applied_changes_nothing(changes: list[Change], data: st.DataObject) -> None:
    """Any stretch of applied events, delivered again, leaves everything as it is, the count of events too."""
    updates = updates_of(changes)
    state = fold(NEW_USER, updates, THREE)
    first = data.draw(st.integers(0, len(updates)))
    last = data.draw(st.integers(first, len(updates)))
    assert everything(fold(state, updates[first:last], THREE)) == everything(state)


@given(CHANGES, st.data())
def test_a_replay_that_overlaps_applies_only_what_is_new(changes: list[Change], data: st.DataObject) -> None:
    """A restart from any earlier offset ends in the state of a run without restart."""
    updates = updates_of(changes)
    applied = data.draw(st.integers(0, len(updates)))
    again_from = data.draw(st.integers(0, applied))
    restarted = fold(fold(NEW_USER, updates[:applied], THREE), updates[again_from:], THREE)
    assert everything(restarted) == everything(fold(NEW_USER, updates, THREE))


@given(CHANGES, st.sets(st.integers(0, 14)))
def test_batches_may_be_cut_anywhere(changes: list[Change], cuts: set[int]) -> None:
    """Folding in batches of any size gives the state of one fold over all."""
    updates = updates_of(changes)
    state, begin = NEW_USER, 0
    for end in [*sorted(cuts), len(updates)]:
        state, begin = fold(state, updates[begin:end], THREE), max(begin, end)
    assert everything(state) == everything(fold(NEW_USER, updates, THREE))


@given(CHANGES)
def test_count_is_the_number_of_events_applied(changes: list[Change]) -> None:
    """Every event counts once, whether or not it changed anything, and forgetting does not take the count back."""
    state = fold(NEW_USER, updates_of(changes), THREE)
    assert state.count == len(changes)
    assert sum(offset + 1 for offset in state.offsets.values()) == len(changes)


@given(CHANGES, CHANGES)
def test_forgetting_leaves_nothing_but_count_and_offsets(before: list[Change], after: list[Change]) -> None:
    """After a forget the state is a new user's, with count, offsets and tag; later events start fresh."""
    updates = updates_of([*before, Forget(), *after])
    stored = UserState(tag=77)
    state = fold(stored, updates[: len(before) + 1], THREE)
    source = updates[len(before)].source
    blank = UserState(count=len(before) + 1, offsets=state.offsets, last_source=source, tag=77)
    assert everything(state) == everything(blank)
    fresh = [Update("other", place, "u", one) for place, one in enumerate(after)]
    later, alone = fold(state, updates[len(before) + 1 :], THREE), fold(NEW_USER, fresh, THREE)
    assert outcome(later) == outcome(alone)
    assert (later.user_id, later.attributes) == (alone.user_id, alone.attributes)


def test_an_event_older_than_a_full_history_is_only_seen() -> None:
    """A late event that does not fit any more changes neither history nor mean; its item is seen."""
    full = [Event(item, 4.0, 100 + item) for item in range(3)]
    late = streamed([*full, Event(7, 1.0, 50)], THREE)
    assert late == streamed(full, THREE)._replace(seen=[7])


def test_what_fell_out_is_in_neither_mean_nor_vector() -> None:
    """Mean and vector are those of the kept entries alone."""
    updates = [Update("t.0", item, "u", Rate(item, 1.0 + item, item)) for item in range(5)]
    state = fold(NEW_USER, updates, THREE)
    vector = user_vector(state.history, ValueRule())
    assert mean_rating(state.history) == 4.0
    assert vector is not None
    assert vector.indices.tolist() == [2, 3, 4]
    assert state.seen.tolist() == [0, 1]


def test_a_retraction_outlasts_an_older_rating() -> None:
    """A rating delivered after the retraction but made before it stays taken back; a newer one counts."""
    retracted = [Event(1, None, 10), Event(1, 5.0, 9)]
    assert streamed(retracted) == Outcome([1], struct.pack("<d", math.nan), [10], [], 0, None)
    assert streamed([*retracted, Event(1, 3.0, 11)]) == Outcome([1], struct.pack("<d", 3.0), [11], [], 1, (3.0).hex())


def test_rating_an_item_again_moves_it_to_its_new_time() -> None:
    """The item stands where its latest rating stands, and only there."""
    again = streamed([Event(1, 5.0, 1), Event(2, 4.0, 2), Event(1, 2.0, 3)])
    assert (again.items, again.ratings, again.rated_at) == ([2, 1], struct.pack("<dd", 4.0, 2.0), [2, 3])


def test_attributes_are_set_replaced_and_removed_by_name() -> None:
    """What an event does not name stays; None removes, also what was never there."""
    updates = [
        Update("t.0", 0, "u", SetAttributes({"age": 31, "gender": "F"})),
        Update("t.0", 1, "u", SetAttributes({"age": 32, "gender": None, "job": None})),
    ]
    state = fold(NEW_USER, updates, UNBOUNDED)
    assert (state.attributes, state.user_id, len(state.history)) == ({"age": 32}, "u", 0)


@pytest.mark.parametrize("seen_max", [0, 1, 2, 4])
def test_the_seen_items_are_bounded(seen_max: int) -> None:
    """Of more fallen items than fit the greatest ids are kept, whatever the order they fell in."""
    limits = HistoryLimits(entries_max=1, seen_max=seen_max)
    for order in ([5, 9, 2, 7, 1], [2, 5, 7, 9, 1]):
        state = fold(NEW_USER, [Update("t.0", at, "u", Rate(item, 3.0, at)) for at, item in enumerate(order)], limits)
        assert state.seen.tolist() == sorted([2, 5, 7, 9])[4 - seen_max :]


def test_sources_are_told_apart() -> None:
    """An offset is applied only in its own source; the first offset of an unknown source is 0."""
    state = fold(NEW_USER, [Update("t.0", 5, "u", Rate(1, 3.0, 1)), Update("t.1", 0, "u", Retract(2, 1))], UNBOUNDED)
    assert [state.has_applied("t.0", 5), state.has_applied("t.0", 6)] == [True, False]
    assert [state.has_applied("t.1", 0), state.has_applied("t.2", 0)] == [True, False]
    assert state.count == 2


def test_the_last_event_is_the_one_applied_last() -> None:
    """Source and offset of the newest applied event, whatever its effect; none before the first, no replay moves it."""
    updates = [Update("t.1", 3, "u", Rate(1, 3.0, 9)), Update("t.0", 7, "u", Rate(1, 4.0, 5))]
    state = fold(NEW_USER, updates, UNBOUNDED)
    assert NEW_USER.last_event is None
    assert [state.last_event, fold(state, updates[:1], UNBOUNDED).last_event] == [("t.0", 7), ("t.0", 7)]
    assert fold(state, [Update("t.1", 4, "u", Forget())], UNBOUNDED).last_event == ("t.1", 4)


def test_the_mean_of_nothing_is_none() -> None:
    """No ratings, or none that was not taken back: there is no mean."""
    assert mean_rating(EMPTY_HISTORY) is None
    assert streamed([Event(1, 3.0, 1), Event(1, None, 2)]).mean is None


MEANS = HistoryLimits(averages=True)
HALVES = st.one_of(st.none(), st.integers(1, 10).map(lambda halves: halves / 2))
AVERAGED = st.lists(st.builds(Event, st.integers(0, 3), HALVES, st.integers(0, 50)), max_size=14)


def averages_by_hand(events: Sequence[Event]) -> dict[int, float | None]:
    """What each item comes to: the mean of its ratings since its latest retraction, None where that ended them."""
    found: dict[int, float | None] = {}
    held: dict[int, tuple[list[float], int]] = {}
    for item, rating, at_ms in events:
        ratings, latest_ms = held.get(item, ([], -1))
        is_late = at_ms < latest_ms
        if is_late and (rating is None or not ratings):
            continue
        ratings = [] if rating is None else [*ratings, rating]
        held[item] = (ratings, max(at_ms, latest_ms))
        found[item] = sum(ratings) / len(ratings) if ratings else None
    return found


@given(AVERAGED, st.integers(1, 5))
def test_duplicates_may_count_as_their_mean(events: list[Event], batch: int) -> None:
    """However batches are cut; a retraction ends what was before it, and what is older than it stays out."""
    state = NEW_USER
    for begin in range(0, len(events), batch):
        group = [
            Update("t:0", begin + at, "u", Retract(e.item, e.at_ms) if e.rating is None else Rate(*e))  # type: ignore[arg-type]
            for at, e in enumerate(events[begin : begin + batch])
        ]
        state = fold(state, group, MEANS)
    rows = zip(state.history.items.tolist(), state.history.ratings.tolist(), strict=True)
    assert {item: None if math.isnan(r) else r for item, r in rows} == averages_by_hand(events)
    assert all(state.repeats[item].number > 1 for item in state.repeats)


def test_a_forgotten_or_fallen_item_has_no_mean_left() -> None:
    """What falls out of a bounded history, or is forgotten with its user, begins anew."""
    limits = HistoryLimits(entries_max=1, averages=True)
    rated = [Update("t:0", at, "u", Rate(1, 2.0 + at, at)) for at in range(2)]
    state = fold(NEW_USER, rated, limits)
    assert (state.history.ratings.tolist(), dict(state.repeats)) == ([2.5], {1: (5.0, 2)})
    assert fold(state, [Update("t:0", 2, "u", Rate(7, 1.0, 9))], limits).repeats == {}
    assert fold(state, [Update("t:0", 2, "u", Forget())], limits).repeats == {}
