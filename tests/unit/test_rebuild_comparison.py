"""What counts as different between a serving store and the one that was rebuilt."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from consumers.rebuild_comparison import MISMATCHES_SHOWN_MAX, Comparison, Reached, compare_with_serving
from consumers.stores.points import user_payload
from consumers.stores.stored_points import PointPage, StoredPoint
from consumers.verification import expected_vector
from recommender.memory_store import MemoryStore
from recommender.profile import NEW_USER, Forget, HistoryLimits, Rate, Update, UserState, fold
from recommender.store import StateWrite, StoreSettings, UserWrite, point_id
from recommender.vector import ValueRule

RULE = ValueRule()
SOURCE = "topic:0"
EVENTS = 6
"""Offsets 0 to 5 are applied on both sides, and committed."""
EVERYTHING = Reached({SOURCE: EVENTS}, {SOURCE: EVENTS})


class Points(MemoryStore):
    """A memory store that shows its points."""

    def __init__(self, states: Mapping[str, UserState], **wrong: UserState) -> None:
        super().__init__(StoreSettings("integer", 0.5, 5.0, RULE.fingerprint))
        self._vectors_of = wrong
        rows = [UserWrite(user, state, None, frozenset(), missing=True) for user, state in states.items()]
        self.write(StateWrite({}, rows))

    def points(self, from_id: int | None, limit: int) -> PointPage:
        page = self.scan(from_id, limit)
        return PointPage([self._point(identity, state) for identity, state in page.states], page.next_id)

    def _point(self, identity: int, state: UserState) -> StoredPoint:
        history = self._vectors_of.get(state.user_id or "", state).history
        return StoredPoint(identity, user_payload(state), expected_vector(history, RULE))


def user(name: str, offsets: Sequence[int] = (0, 1, 2), limits: HistoryLimits | None = None) -> UserState:
    """A user whose events stand at these offsets, one item each."""
    rows = [Update(SOURCE, offset, name, Rate(offset, 4.0, 1_000 + offset)) for offset in offsets]
    return fold(NEW_USER, rows, limits or HistoryLimits())


def compared(serving: Mapping[str, UserState], rebuilt: Mapping[str, UserState], reached: Reached) -> Comparison:
    return compare_with_serving(Points(serving), Points(rebuilt), RULE, reached, lambda *_: None)


def test_equal_stores_have_no_mismatch() -> None:
    """Law: tags apart, users made of the same events are equal, forgotten ones too."""
    gone = fold(user("bob"), [Update(SOURCE, 5, "bob", Forget())], HistoryLimits())
    users = {"ann": user("ann"), "bob": gone}
    tagged = {name: replace(state, tag=7) for name, state in users.items()}
    found = compared(users, tagged, EVERYTHING)
    assert (found.users, found.compared, found.mismatched) == (2, 2, 0)


@pytest.mark.parametrize(
    "rebuilt",
    [
        pytest.param({}, id="missing"),
        pytest.param({"ann": user("ann", (0, 1))}, id="an event less"),
        pytest.param({"ann": user("ann", (0, 1, 2, 3))}, id="an event more"),
        pytest.param({"ann": user("ann"), "eve": user("eve")}, id="a user more"),
        pytest.param({"ann": replace(user("ann"), attributes={"age": 3})}, id="an attribute"),
    ],
)
def test_what_differs_is_a_mismatch(rebuilt: Mapping[str, UserState]) -> None:
    """Law: of events that both sides must have, nothing may be missing, different or too much; the user is named."""
    found = compared({"ann": user("ann")}, rebuilt, EVERYTHING)
    assert found.mismatched == 1
    assert set(found.mismatches) <= {"ann", "eve"}


@pytest.mark.parametrize(
    ("serving", "rebuilt"),
    [
        pytest.param((0, 1, 6), (0, 1), id="the serving one is further than was read"),
        pytest.param((0, 1), (0, 1, 6), id="the rebuilt one read what was not committed"),
    ],
)
def test_users_with_newer_events_are_under_way(serving: Sequence[int], rebuilt: Sequence[int]) -> None:
    """Law: an event beyond what both sides must have makes no mismatch."""
    found = compared({"ann": user("ann", serving)}, {"ann": user("ann", rebuilt)}, EVERYTHING)
    assert (found.under_way, found.compared, found.mismatched) == (1, 0, 0)


def test_a_vector_that_does_not_follow_from_its_history_is_a_mismatch() -> None:
    """Law: a rebuilt point is checked by itself, too, even where its state is right."""
    users = {"ann": user("ann")}
    found = compare_with_serving(
        Points(users), Points(users, ann=user("ann", (0, 1))), RULE, EVERYTHING, lambda *_: None
    )
    assert found.mismatched == 1


def test_another_limit_of_the_history_is_no_mismatch() -> None:
    """Law: who lost items to a limit on one side only may differ in those, and in nothing else."""
    short = user("ann", limits=HistoryLimits(entries_max=2))
    found = compared({"ann": user("ann")}, {"ann": short}, EVERYTHING)
    assert (found.other_limits, found.mismatched) == (1, 0)
    found = compared({"ann": user("ann")}, {"ann": replace(short, count=2)}, EVERYTHING)
    assert (found.other_limits, found.mismatched) == (0, 1)


def test_an_accepted_gap_shortens_users() -> None:
    """Law: fewer events are no mismatch where some are gone and that was accepted, and one everywhere else."""
    rows = {"ann": user("ann")}, {"ann": user("ann", (1, 2))}
    assert compared(*rows, replace(EVERYTHING, gaps=frozenset({SOURCE}))).shortened == 1
    assert compared(*rows, replace(EVERYTHING, gaps=frozenset({"topic:1"}))).mismatched == 1


def test_all_are_counted_and_some_are_shown() -> None:
    """Law: however many users differ, all are counted, and a bounded number is kept."""
    names = [f"u{number}" for number in range(2 * MISMATCHES_SHOWN_MAX)]
    found = compared({name: user(name) for name in names}, {}, EVERYTHING)
    assert (found.mismatched, len(found.mismatches)) == (len(names), MISMATCHES_SHOWN_MAX)
    assert found.mismatches.keys() == set(sorted(names, key=point_id)[:MISMATCHES_SHOWN_MAX])
