"""Verification sees every way in which a stored user can be wrong, and nothing else."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_states import histories, history, states

from consumers.judgement import Bounds, Judgement, Making, judge
from consumers.state_check import Report, Selection, StateCheck
from consumers.stores.points import user_payload
from consumers.stores.stored_points import PointPage, StoredPoint, StoredVector, stored_vector
from consumers.verification import compare_states, expected_vector, point_differences, state_digest
from recommender.memory_store import MemoryStore
from recommender.profile import (
    NEW_USER,
    AttributeValue,
    Change,
    Forget,
    HistoryLimits,
    Rate,
    Retract,
    SetAttributes,
    Update,
    UserState,
    fold,
)
from recommender.store import StateWrite, StoreSettings, UserWrite, point_id
from recommender.vector import ValueRule, user_vector

ANN = "ann"
SOURCE, OTHER = "topic:0", "other:0"
MAKING = Making(HistoryLimits(entries_max=5, seen_max=4), ValueRule())
EVERYTHING = Bounds({SOURCE: 0, OTHER: 0}, {SOURCE: 2**40, OTHER: 2**40})

changes = st.one_of(
    st.builds(Rate, st.integers(1, 9), st.sampled_from([0.5, 2.0, 4.5]), st.integers(0, 5)),
    st.builds(Retract, st.integers(1, 9), st.integers(0, 5)),
    st.builds(SetAttributes, st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, 1.5, True, None]), max_size=2)),
    st.just(Forget()),
)
lives = st.lists(changes, min_size=1, max_size=12)


def updates(rows: Sequence[Change], source: str = SOURCE, user_id: str = ANN) -> list[Update]:
    """Events at offsets 10, 12, 14 ..."""
    return [Update(source, 10 + 2 * n, user_id, change) for n, change in enumerate(rows)]


def folded(rows: Sequence[Update]) -> UserState:
    return fold(NEW_USER, rows, MAKING.limits)


def stored(state: UserState) -> StoredPoint:
    return StoredPoint(point_id(ANN), user_payload(state), expected_vector(state.history, MAKING.value))


def judged(state: UserState, rows: Sequence[Update], bounds: Bounds = EVERYTHING) -> Judgement:
    return judge(stored(state), rows, bounds, MAKING)


FULL: list[Change] = [
    *(Rate(item, 3.0 + item / 8, item * 1_000) for item in range(1, 9)),
    SetAttributes({"age": 31, "height": 1.7, "member": True}),
    Retract(6, 20_000),
]
RIGHT = folded(updates(FULL))


def entries(state: UserState, **columns: Any) -> UserState:
    return replace(state, history=replace(state.history, **columns))


def swapped(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values[[1, 0, *range(2, len(values))]]


FAULTS: dict[str, Callable[[UserState], UserState]] = {
    "another rating": lambda s: entries(s, ratings=s.history.ratings + np.array([0, 0.5, 0, 0, 0])),
    "a rating off by its last bit": lambda s: entries(s, ratings=np.nextafter(s.history.ratings, 9)),
    "a retraction of another form": lambda s: entries(
        s, ratings=np.frombuffer(s.history.ratings.tobytes()[:-8] + b"\1\0\0\0\0\0\xf8\x7f")
    ),
    "another time": lambda s: entries(s, rated_at=s.history.rated_at + 1),
    "another item": lambda s: entries(s, items=s.history.items + np.uint32(100)),
    "another order": lambda s: replace(s, history=s.history.at(np.array([1, 0, 2, 3, 4]))),
    "an entry gone": lambda s: replace(s, history=s.history.at(slice(1, None))),
    "an entry twice": lambda s: replace(s, history=s.history.at(np.array([0, 0, 1, 2, 3, 4]))),
    "everything gone": lambda s: replace(s, history=history(), seen=np.empty(0, np.uint32)),
    "an event counted twice": lambda s: replace(s, count=s.count + 1),
    "an event not counted": lambda s: replace(s, count=s.count - 1),
    "an earlier offset": lambda s: replace(s, offsets={SOURCE: 11}),
    "an offset of no event": lambda s: replace(s, offsets={SOURCE: 999}),
    "another last source": lambda s: replace(s, last_source=OTHER),
    "a seen item gone": lambda s: replace(s, seen=s.seen[1:]),
    "a seen item more": lambda s: replace(s, seen=np.append(s.seen, np.uint32(99))),
    "seen items in another order": lambda s: replace(s, seen=swapped(s.seen)),
    "an attribute changed": lambda s: replace(s, attributes={**s.attributes, "age": 32}),
    "an attribute of another type": lambda s: replace(s, attributes={**s.attributes, "member": 1}),
    "an attribute off by its last bit": lambda s: replace(
        s, attributes={**s.attributes, "height": math.nextafter(1.7, 2)}
    ),
    "an attribute gone": lambda s: replace(s, attributes={"age": 31}),
    "another user": lambda s: replace(s, user_id="bob"),
    "forgotten": lambda s: UserState(count=s.count, offsets=s.offsets, last_source=s.last_source),
}


def test_the_right_state_is_right() -> None:
    """What the faults below are made from has none."""
    assert judged(RIGHT, updates(FULL)) == Judgement()
    assert len(RIGHT.history) == 5
    assert len(RIGHT.seen) == 3


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_a_state_is_seen(fault: str) -> None:
    """Whatever is not as the events make it is a mismatch that names something; its digest differs, too."""
    wrong = FAULTS[fault](RIGHT)
    found = judged(wrong, updates(FULL))
    assert (found.kind, found.is_provable) in {("wrong", True), ("unknown", True)}
    assert found.differences
    assert all(repr(one.expected) != repr(one.found) for one in found.differences)
    assert state_digest(wrong) != state_digest(RIGHT)
    assert compare_states(RIGHT, wrong)


@given(lives, st.data())
def test_a_fold_is_right_and_an_altered_one_wrong(life: list[Change], data: st.DataObject) -> None:
    """For any life: each prefix that is its own truth passes; an event applied twice, or left out inside, does not."""
    rows = updates(life)
    assert judged(folded(rows), rows) == Judgement()
    at = data.draw(st.integers(0, len(rows) - 1))
    skipped = folded([*rows[:at], *rows[at + 1 :]])
    if at < len(rows) - 1:
        assert judged(skipped, rows).kind == "wrong"
    doubled = fold(folded(rows), [rows[at]._replace(offset=10_000)], MAKING.limits)
    assert judged(doubled, rows).kind == "wrong"


@given(lives, st.data())
def test_a_state_is_judged_at_its_own_offsets(life: list[Change], data: st.DataObject) -> None:
    """A prefix is behind where more was committed, from the first event that was; right where nothing more was."""
    rows = updates(life)
    at = data.draw(st.integers(1, len(rows)))
    state = folded(rows[:at])
    committed = data.draw(st.integers(0, 40))
    found = judged(state, rows, Bounds({SOURCE: 0}, {SOURCE: committed}))
    lost = [row for row in rows[at:] if row.offset < committed]
    assert (found.kind, found.since) == (("behind", (SOURCE, lost[0].offset)) if lost else (None, None))


@pytest.mark.parametrize(
    ("fault", "since"),
    [
        (lambda s: replace(folded(updates(FULL)[:7]), offsets=s.offsets, count=s.count), 24),
        (lambda s: replace(folded(updates(FULL)[:7]), offsets=s.offsets), 24),
        (FAULTS["an attribute changed"], 26),
        (lambda s: entries(s, ratings=np.where(s.history.items == 5, 1.0, s.history.ratings)), 18),
        (FAULTS["an event not counted"], 28),
        (FAULTS["an event counted twice"], None),
        (FAULTS["an attribute gone"], 26),
    ],
)
def test_a_mismatch_says_since_when(fault: Callable[[UserState], UserState], since: int | None) -> None:
    """The first event that the state does not show."""
    assert judged(fault(RIGHT), updates(FULL)).since == (None if since is None else (SOURCE, since))


@pytest.mark.parametrize(
    "changed",
    [
        {"num_ratings": 9},
        {"avg_rating": 3.0},
        {"avg_rating": None},
        {"active_at_ms": 1},
        {"exact": {"height": (1.8).hex()}},
        {"exact": {}},
        {"surprise": 1},
        {"history": "no base64"},
        {"count": "many"},
    ],
)
def test_what_stands_beside_a_history_must_follow_from_it(changed: Mapping[str, Any]) -> None:
    """A field that filters use, a field nobody knows, and a payload that is no state."""
    point = stored(RIGHT)
    assert (
        judge(replace(point, payload={**point.payload, **changed}), updates(FULL), EVERYTHING, MAKING).kind == "wrong"
    )


def test_a_last_digit_that_an_engine_changed_is_no_difference() -> None:
    """Of payload floats; those that count are stored exactly."""
    point = stored(RIGHT)
    payload = {**point.payload, "avg_rating": math.nextafter(point.payload["avg_rating"], 9)}
    assert judge(replace(point, payload=payload), updates(FULL), EVERYTHING, MAKING) == Judgement()


@pytest.mark.parametrize(
    "fault",
    [
        lambda _: None,
        lambda v: v[1:],
        lambda v: (*v, (99, 0.1)),
        lambda v: (*v, v[-1]),
        lambda v: ((v[0][0], math.nan), *v[1:]),
        lambda v: ((v[0][0], float(np.nextafter(np.float32(v[0][1]), np.float32(9)))), *v[1:]),
    ],
)
def test_every_fault_of_a_vector_is_seen(fault: Callable[[StoredVector], StoredVector | None]) -> None:
    """Bit for bit, and since the last event, as every write writes the whole point."""
    point = stored(RIGHT)
    assert point.vector is not None
    found = judge(replace(point, vector=fault(point.vector)), updates(FULL), EVERYTHING, MAKING)
    assert (found.kind, found.since) == ("wrong", (SOURCE, 28))
    assert all(one.what.startswith("vector") for one in found.differences)


@given(histories(), st.sampled_from([ValueRule(), ValueRule(slope=0.5), ValueRule(slope=2.0, intercept=0.25)]))
def test_the_vector_is_computed_anew_to_the_last_bit(found: Any, rule: ValueRule) -> None:
    """Plain Python and the service's numpy agree on every scale."""
    theirs = user_vector(found, rule)
    pairs = None if theirs is None else stored_vector(theirs.indices.tolist(), theirs.values.tolist())
    assert repr(expected_vector(found, rule)) == repr(pairs)


def test_of_a_forgotten_user_nothing_may_be_left() -> None:
    """A point that still has a vector or an attribute after a forget is wrong."""
    rows = updates([*FULL, Forget()])
    state = folded(rows)
    assert judged(state, rows) == Judgement()
    point = stored(state)
    for left in (
        replace(point, vector=((1, 0.5),)),
        replace(point, payload={**point.payload, "attributes": {"age": 31}}),
        replace(point, payload={**point.payload, "num_ratings": 5}),
    ):
        assert judge(left, rows, EVERYTHING, MAKING).kind == "wrong"


@given(lives)
def test_events_that_are_gone_are_not_provable(life: list[Change]) -> None:
    """Where the topic begins later, a count beyond its events is no mismatch; a count below them still is."""
    rows = updates([*life, Rate(1, 2.0, 1)])
    bounds = Bounds({SOURCE: 11}, {SOURCE: 2**40})
    found = judged(folded(rows), rows[1:], bounds)
    assert (found.kind, found.is_provable) == (None, False)
    assert judged(folded(rows), rows, bounds) == Judgement()
    assert judged(folded(rows), rows[1:]).kind == "wrong"
    assert judged(replace(folded(rows), count=0), rows, bounds).kind == "wrong"


def test_who_stands_on_one_side_alone_is_found() -> None:
    """Missing in the store: since their first event; unknown to the topics; and neither where nothing is committed."""
    rows = updates(FULL)
    missing = judge(None, rows, EVERYTHING, MAKING)
    assert (missing.kind, missing.since) == ("missing", (SOURCE, 10))
    assert judge(None, rows, Bounds({SOURCE: 0}, {SOURCE: 10}), MAKING) == Judgement()
    assert judged(RIGHT, []).kind == "unknown"
    recreated = judged(RIGHT, [], Bounds({OTHER: 0}, {OTHER: 9}))
    assert (recreated.kind, recreated.is_provable) == (None, False)


def test_a_second_user_of_the_same_point_is_the_workers_to_refuse() -> None:
    """Events of another id on this point change nothing, and are not missed."""
    rows = updates(FULL)
    other = [Update(SOURCE, 11, "same point", Forget())]
    assert judged(RIGHT, sorted(rows + other, key=lambda row: row.offset)) == Judgement()


@given(lives, lives, st.randoms(use_true_random=False))
def test_any_order_between_topics_is_right(one: list[Change], two: list[Change], draw: Any) -> None:
    """Nobody can tell how two topics came together; with a forget in them they prove little, and are never wrong."""
    queues = [updates(one), updates(two, OTHER)]
    merged: list[Update] = []
    while any(queues):
        merged.append(draw.choice([queue for queue in queues if queue]).pop(0))
    limits = replace(MAKING, limits=HistoryLimits())
    state = fold(NEW_USER, merged, limits.limits)
    found = judge(stored(state), updates(one) + updates(two, OTHER), EVERYTHING, limits)
    assert found.kind is None, found
    assert found.is_provable == (not any(isinstance(row.change, Forget) for row in merged))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in {"another order", "another last source"}])
def test_faults_are_seen_between_topics_too(fault: str) -> None:
    """What no order of two topics makes is wrong."""
    rows = updates(FULL[:6]) + updates(FULL[6:], OTHER)
    found = judged(FAULTS[fault](folded(rows)), rows)
    assert found.kind is not None, found


class PointMemory(MemoryStore):
    """The exact store, which shows its points, and may have lost the vectors of all."""

    exclusive = False
    has_vectors = True

    def points(self, from_id: int | None, limit: int) -> PointPage:
        page = self.scan(from_id, limit)
        if not self.has_vectors:
            return PointPage([replace(stored(s), id=i, vector=None) for i, s in page.states], page.next_id)
        return PointPage([replace(stored(s), id=i) for i, s in page.states], page.next_id)


@dataclass(slots=True)
class ListedEvents:
    """Events from a list; `between` happens before they are read."""

    rows: list[Update]
    bounds: Bounds = EVERYTHING
    between: Callable[[], None] = lambda: None
    has_offsets: bool = True
    records: int = 0
    begun: int = field(default=0, init=False)

    def begin(self, _made_for: StoreSettings) -> None:
        self.begun += 1

    def updates(self, _report: Callable[[int, int], None]) -> Iterator[Update]:
        self.between()
        self.records = len(self.rows)
        yield from self.rows

    def named(self, source: str) -> str:
        return source


def filled(*users: str, wrong: Sequence[str] = ()) -> tuple[PointMemory, list[Update]]:
    """A store and the events it was made from; the wrong ones have an attribute of nobody's making."""
    store, rows = PointMemory(StoreSettings("integer", 0.5, 5.0, "v")), list[Update]()
    for number, user in enumerate(users):
        mine = [row._replace(offset=row.offset + 100 * number) for row in updates(FULL, user_id=user)]
        put(store, user, replace(folded(mine), attributes={"odd": 1}) if user in wrong else folded(mine))
        rows += mine
    return store, rows


def put(store: MemoryStore, user: str, state: UserState) -> None:
    known = store.read([user], []).states.get(user, NEW_USER)
    tagged = replace(state, tag=known.tag + 1)
    store.write(StateWrite({}, [UserWrite(user, tagged, None, frozenset({known.tag}), missing=True)]))


def checked(store: PointMemory, events: ListedEvents, selection: Selection | None = None) -> Report:
    return StateCheck(store, events, MAKING).run(selection or Selection(), lambda _done, _all: None)


def test_a_clean_store_needs_one_look() -> None:
    """All users counted, none wrong, the events read once."""
    store, rows = filled("a", "b", "c")
    events = ListedEvents(rows)
    report = checked(store, events)
    assert (report.users, report.mismatch_count, report.records, events.begun) == (3, 0, len(rows), 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_passes_the_first_look(fault: str) -> None:
    """Whatever is wrong with one of several users, this one is found, and nobody else."""
    store, rows = filled("a", ANN, "z")
    mine = [row for row in rows if row.user_id == ANN]
    put(store, ANN, FAULTS[fault](folded(mine)))
    assert [m.point_id for m in checked(store, ListedEvents(rows)).mismatches] == [point_id(ANN)]


def test_lost_vectors_are_found_in_right_states() -> None:
    """A user whom nobody can find as a neighbour is not right, whatever the state says."""
    store, rows = filled("a", "b")
    store.has_vectors = False
    assert [m.judgement.differences[0].what for m in checked(store, ListedEvents(rows)).mismatches] == ["vector"] * 2


def test_what_moves_on_between_the_looks_is_not_wrong() -> None:
    """A worker writes while the topic is read, and repairs one that was behind: neither is reported."""
    store, rows = filled("a", "b")
    behind = fold(NEW_USER, [row for row in rows if row.user_id == "b"][:-1], MAKING.limits)
    put(store, "b", behind)
    events = ListedEvents(rows)

    def work() -> None:
        put(store, "a", fold(store.read(["a"], []).states["a"], [Update(SOURCE, 900, "a", Forget())], MAKING.limits))
        put(store, "b", fold(behind, [row for row in rows if row.user_id == "b"], MAKING.limits))
        events.between = lambda: None

    events.between = work
    report = checked(store, events)
    assert (report.mismatch_count, report.not_provable, events.begun) == (0, 0, 2)


def test_samples_one_after_the_other_see_everybody_once() -> None:
    """Each begins where the last one ended; all together they find the one who is wrong, once."""
    users = [f"u{n}" for n in range(10)]
    store, rows = filled(*users, wrong=["u7"])
    reports, from_id = [], 0
    for _ in range(4):
        reports.append(checked(store, ListedEvents(rows), Selection(from_id=from_id, users_max=3)))
        from_id = reports[-1].next_id
    assert [report.users for report in reports] == [3, 3, 3, 1]
    assert [m.user_id for report in reports for m in report.mismatches] == ["u7"]
    assert from_id == 0


def test_only_the_users_asked_for_are_looked_at() -> None:
    """Stored, missing or unknown to both."""
    store, rows = filled("a", "b", wrong=["b"])
    rows += updates(FULL, user_id="gone")
    ask = frozenset(map(point_id, ("a", "gone", "nobody")))
    report = checked(store, ListedEvents(rows), Selection(ids=ask))
    assert (report.users, [m.user_id for m in report.mismatches]) == (2, ["gone"])


@given(states("someone"), states("someone"))
def test_states_compare_as_their_digests_do(one: UserState, other: UserState) -> None:
    """No difference and the same digest, or both differ; the tag is no part of it."""
    assert compare_states(one, replace(one, tag=one.tag ^ 1)) == []
    assert (compare_states(one, other) == []) == (state_digest(one) == state_digest(other))


def test_a_point_by_itself() -> None:
    """Consistent as the service writes it, whatever the attribute types."""
    values: dict[str, AttributeValue] = {"a": 0.1, "b": True, "c": 3, "d": "x"}
    state = replace(RIGHT, attributes=values)
    assert point_differences(stored(state), state, MAKING.value) == []
