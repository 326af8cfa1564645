"""Whether a rebuilt store holds what it should, while the serving one goes on. Reads only.

Against the serving store, where that can be read, is made of the same topics and takes the same records for valid:

- Every rebuilt point must follow from its own history, vector included.
- Both stores must hold the same of a user whose events both had applied when the comparison began; users with newer
  ones are on their way, and are counted.
- Where items have fallen out of a history and the other one is longer or shorter, other limits were set: the number of
  events, offsets and attributes must agree all the same.
- Where events are gone from the topics, and that was accepted, fewer of them are no mismatch.

Otherwise against the topics, as `tastestream verify` does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from consumers.existing_store import PAGE_USERS
from consumers.item_ids import ItemIds
from consumers.judgement import Bounds, Making
from consumers.settings import Settings
from consumers.settings_mapping import history_limits, ranking_rules
from consumers.state_check import Selection, StateCheck
from consumers.stores.stored_points import PointStore, StoredPoint
from consumers.topic_states import TopicEvents
from consumers.verification import Difference, compare_states, point_differences, point_state
from recommender.profile import EMPTY_HISTORY, NO_ITEMS, UserState
from recommender.store import Store, StoreSettings
from recommender.vector import ValueRule

MISMATCHES_SHOWN_MAX = 20
TOPIC_CHECK_USERS_MAX = 100_000
"""A comparison with the topics takes about a kilobyte a user, so of more users a sample is taken."""

Report = Callable[[int, int | None], None]
"""Told how much is done, and how much there is if that is known."""


@dataclass(frozen=True, slots=True)
class Reached:
    """By source and exclusive: what the rebuild has applied, and what the group had committed before the comparison.

    Of the sources in `gaps` events were lost, which was accepted.
    """

    applied: Mapping[str, int]
    committed: Mapping[str, int]
    gaps: frozenset[str] = frozenset()

    def is_under_way(self, serving: UserState, rebuilt: UserState) -> bool:
        """Whether one of the two may hold events that the other cannot have yet."""
        newer = (offset >= self.applied.get(source, 0) for source, offset in serving.offsets.items())
        ahead = (offset >= self.committed.get(source, 0) for source, offset in rebuilt.offsets.items())
        return any(newer) or any(ahead)

    def is_shortened(self, serving: UserState, rebuilt: UserState) -> bool:
        """Whether events of the user were lost with a gap."""
        return rebuilt.count < serving.count and any(source in self.gaps for source in serving.offsets)


@dataclass(slots=True)
class Comparison:
    """Users by what was found; `mismatches` holds the first ones, by user id (one without has the point's id)."""

    against: Literal["serving store", "topics"]
    users: int = 0
    compared: int = 0
    under_way: int = 0
    other_limits: int = 0
    shortened: int = 0
    mismatched: int = 0
    mismatches: dict[str, Sequence[Difference]] = field(default_factory=dict)

    def mismatch(self, identity: int, user_id: str | None, differences: Sequence[Difference]) -> None:
        """Count a user who is not as they should be."""
        self.mismatched += 1
        if len(self.mismatches) < MISMATCHES_SHOWN_MAX:
            self.mismatches[user_id or f"at point {identity}"] = differences


@dataclass(slots=True)
class _EventsApplied(TopicEvents):
    """The topics' events, of which those must be stored that the rebuild has applied."""

    reached: Mapping[str, int] = field(default_factory=dict)

    def begin(self, made_for: StoreSettings) -> None:
        """See `Events.begin`."""
        # By its full name, because a dataclass with slots is another class than the one `super` would know.
        TopicEvents.begin(self, made_for)
        self.bounds = Bounds({}, self.reached)


def compare_with_topics(
    settings: Settings, rebuilt: PointStore, items: ItemIds, reached: Reached, report: Report
) -> Comparison:
    """Compare the rebuilt store with the events themselves, by the code of `tastestream verify`."""
    check = StateCheck(
        rebuilt,
        _EventsApplied(settings, items, reached=reached.applied),
        Making(history_limits(settings), ranking_rules(settings).value, rebuilt.settings.carriers),
    )
    found = check.run(Selection(users_max=TOPIC_CHECK_USERS_MAX), report)
    comparison = Comparison("topics", users=found.users, compared=found.users - found.not_provable)
    for mismatch in found.mismatches:
        comparison.mismatch(mismatch.point_id, mismatch.user_id, mismatch.judgement.differences)
    comparison.mismatched = found.mismatch_count
    return comparison


def compare_with_serving(
    serving: Store, rebuilt: PointStore, rule: ValueRule, reached: Reached, report: Report
) -> Comparison:
    """Compare every user of two stores whose records are valid by the same rules."""
    found = Comparison("serving store")
    carriers = rebuilt.settings.carriers
    for identity, theirs, point in _joined(_states(serving), _points(rebuilt)):
        found.users += 1
        report(found.users, None)
        state = UserState() if point is None else point_state(point)
        if isinstance(state, Difference):
            found.mismatch(identity, None, [state])
        elif point is not None and (
            differences := point_differences(point, state, rule, carries=carriers.admits(identity))
        ):
            found.mismatch(identity, state.user_id, differences)
        else:
            _judge(found, identity, theirs or UserState(), state, reached)
    return found


def _judge(found: Comparison, identity: int, serving: UserState, rebuilt: UserState, reached: Reached) -> None:
    if reached.is_under_way(serving, rebuilt):
        found.under_way += 1
        return
    found.compared += 1
    differences = compare_states(serving, rebuilt)
    if not differences:
        return
    if reached.is_shortened(serving, rebuilt):
        found.shortened += 1
    elif _have_other_limits(serving, rebuilt) and not compare_states(_kept(serving), _kept(rebuilt)):
        found.other_limits += 1
    else:
        found.mismatch(identity, serving.user_id or rebuilt.user_id, differences)


def _have_other_limits(one: UserState, other: UserState) -> bool:
    return bool(len(one.seen) or len(other.seen)) and (
        len(one.history) != len(other.history) or len(one.seen) != len(other.seen)
    )


def _kept(state: UserState) -> UserState:
    """What no limit takes away."""
    return replace(state, history=EMPTY_HISTORY, seen=NO_ITEMS)


def _joined(
    ours: Iterator[tuple[int, UserState]], theirs: Iterator[StoredPoint]
) -> Iterator[tuple[int, UserState | None, StoredPoint | None]]:
    """Both sides by point id, in whose order both come; None where a side has no such point."""
    state, point = next(ours, None), next(theirs, None)
    while state is not None or point is not None:
        identity = min(([state[0]] if state else []) + ([point.id] if point else []))
        mine = state[1] if state is not None and state[0] == identity else None
        other = point if point is not None and point.id == identity else None
        yield identity, mine, other
        state = state if mine is None else next(ours, None)
        point = point if other is None else next(theirs, None)


def _states(store: Store) -> Iterator[tuple[int, UserState]]:
    next_id: int | None = 0
    while next_id is not None:
        page = store.scan(next_id, PAGE_USERS)
        yield from page.states
        next_id = page.next_id


def _points(store: PointStore) -> Iterator[StoredPoint]:
    next_id: int | None = 0
    while next_id is not None:
        page = store.points(next_id, PAGE_USERS)
        yield from page.points
        next_id = page.next_id
