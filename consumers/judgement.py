"""What is to be said of one user: the point that stands in the store against all events that stand in the topics. Pure.

- A state is judged at its own offsets: the fold of the events that it says it has applied must equal it bit for bit.
- An event below the committed offset that it has not applied is lost: the store is behind what was promised.
- More events counted than the topics hold, where a topic begins later than it once did: not provable, and no mismatch.
- With events in several sources the order between them is unknown. Then an entry or attribute is right if some order
  makes it; last source and order of equal times do not count; and a user with a `forget` among them is not provable
  beyond count and offsets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from consumers.stores.stored_points import StoredPoint
from consumers.verification import Difference, Shown, compare_states, exact, point_differences, point_state
from recommender.neighbour_pool import NeighbourPool
from recommender.profile import NEW_USER, Forget, HistoryLimits, Rate, Retract, SetAttributes, Update, UserState, fold
from recommender.vector import ValueRule

Kind = Literal["wrong", "behind", "missing", "unknown"]
"""Not the fold of its events; lacks committed events; not in the store at all; in the store and in no topic."""
Place = tuple[str, int]
"""Source and offset."""

_NAMES_FOLLOWED_MAX = 100
_BESIDE_THE_STATE = ("payload", "vector")


@dataclass(frozen=True, slots=True)
class Making:
    """What states and vectors are made by."""

    limits: HistoryLimits
    value: ValueRule
    carriers: NeighbourPool = field(default_factory=NeighbourPool)
    """Who must have a vector."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """By source: where the topics begin, and up to where the store must have them (committed, exclusive)."""

    low: Mapping[str, int]
    committed: Mapping[str, int]

    def must_be_stored(self, update: Update) -> bool:
        """Whether the update was committed."""
        return update.offset < self.committed.get(update.source, 0)

    def may_lack_events_of(self, offsets: Mapping[str, int]) -> bool:
        """Whether events of a state with these offsets may once have stood where no topic of today tells them."""
        return any(self.low.get(source, 1) > 0 for source in offsets)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`kind` is None where nothing is wrong; `since`: the first event from which on it is."""

    kind: Kind | None = None
    since: Place | None = None
    differences: tuple[Difference, ...] = ()
    is_provable: bool = True


RIGHT = Judgement()


def judge(point: StoredPoint | None, events: Sequence[Update], bounds: Bounds, making: Making) -> Judgement:
    """The judgement of one user, whose events are given in topic order, each source in one piece."""
    if point is None:
        return _without_point(events, bounds)
    state = point_state(point)
    if isinstance(state, Difference):
        return Judgement("wrong", None, (state,))
    # The worker refuses a second user whose id hashes to the same point.
    own = [update for update in events if state.user_id in {None, update.user_id}]
    applied = [update for update in own if state.has_applied(update.source, update.offset)]
    expected = fold(NEW_USER, applied, making.limits)
    is_provable = _is_provable(state, expected, applied, bounds)
    differences = tuple(_unexplained(expected, state, applied) if is_provable else _out_of_count(expected, state))
    differences += tuple(point_differences(point, state, making.value, carries=making.carriers.admits(point.id)))
    if differences and not applied and is_provable:
        return Judgement("unknown", None, differences)
    if differences:
        return Judgement("wrong", _since(applied, state, differences, making.limits), differences, is_provable)
    lost = _lost(own, state, bounds)
    return Judgement("behind", *lost, is_provable) if lost else Judgement(is_provable=is_provable)


def _without_point(events: Sequence[Update], bounds: Bounds) -> Judgement:
    due = [update for update in events if bounds.must_be_stored(update)]
    if not due:
        return RIGHT
    return Judgement("missing", _place(due[0]), (Difference("user", due[0].user_id, None),))


def _lost(events: Sequence[Update], state: UserState, bounds: Bounds) -> tuple[Place, tuple[Difference, ...]] | None:
    due = [u for u in events if bounds.must_be_stored(u) and not state.has_applied(u.source, u.offset)]
    if not due:
        return None
    return _place(due[0]), (Difference("count", state.count + len(due), state.count),)


def _is_provable(state: UserState, expected: UserState, applied: Sequence[Update], bounds: Bounds) -> bool:
    if state.count > expected.count and bounds.may_lack_events_of(state.offsets):
        return False
    is_mixed = len({update.source for update in applied}) > 1
    return not (is_mixed and any(isinstance(update.change, Forget) for update in applied))


def _out_of_count(expected: UserState, state: UserState) -> list[Difference]:
    """What can be said against a state whose events cannot all be told, or not in their order."""
    return [Difference("count", expected.count, state.count)] if state.count < expected.count else []


def _unexplained(expected: UserState, state: UserState, applied: Sequence[Update]) -> list[Difference]:
    found = compare_states(expected, state)
    if len(expected.offsets) < 2:
        return found
    left = [difference for difference in found if not _some_order_makes(difference, expected, state, applied)]
    # What an entry moves moves with it.
    is_moved = any(difference.what.startswith("item ") for difference in found)
    return [difference for difference in left if difference.what != "mean"] if is_moved else left


def _some_order_makes(difference: Difference, expected: UserState, state: UserState, applied: Sequence[Update]) -> bool:
    name = difference.what
    if name.startswith("item "):
        return _is_tie(int(name.removeprefix("item ")), expected, state, applied)
    if name.startswith("attribute "):
        return repr(difference.found) in map(repr, _last_words(name.removeprefix("attribute "), applied))
    return False


def _is_tie(item: int, expected: UserState, state: UserState, applied: Sequence[Update]) -> bool:
    """Whether what stands there is one of several events of the item at the very same, latest time."""
    ours, theirs = _entry(expected, item), _entry(state, item)
    if ours is None or theirs is None or ours[1] != theirs[1]:
        return False
    changes = [update.change for update in applied]
    ratings = [c.rating for c in changes if isinstance(c, Rate) and (c.item, c.at_ms) == (item, theirs[1])]
    # Only NaN differs from itself, and stands for a retraction.
    is_retraction = theirs[0] != theirs[0]
    retractions = [c for c in changes if isinstance(c, Retract) and (c.item, c.at_ms) == (item, theirs[1])]
    return bool(retractions) if is_retraction else theirs[0] in ratings


def _entry(state: UserState, item: int) -> tuple[float, int] | None:
    history = state.history
    at = [n for n, known in enumerate(history.items.tolist()) if known == item]
    return (float(history.ratings[at[0]]), int(history.rated_at[at[0]])) if len(at) == 1 else None


def _last_words(name: str, applied: Sequence[Update]) -> list[Shown]:
    """The last value that each source gives an attribute."""
    last: dict[str, Shown] = {}
    for update in applied:
        if isinstance(update.change, SetAttributes) and name in update.change.attributes:
            last[update.source] = update.change.attributes[name]
    return list(last.values())


def _since(
    applied: Sequence[Update], state: UserState, differences: Sequence[Difference], limits: HistoryLimits
) -> Place | None:
    """The first event that the point no longer shows; None where no event tells.

    Where the state shows what was true before an earlier event, that one; else the first of the events that gave what
    differs the value it should have; else, where only what stands beside the state differs, the last one: every write
    writes the whole point.
    """
    names = [difference.what for difference in differences][:_NAMES_FOLLOWED_MAX]
    shown, shown_before, changed_at = _content(state), None, dict[str, int]()
    folded = NEW_USER
    for at, update in enumerate(applied):
        if _content(folded) == shown:
            shown_before = at
        following = fold(folded, [update], limits)
        changed_at |= {name: at for name in names if _value(following, name) != _value(folded, name)}
        folded = following
    if _content(folded) == shown:
        is_short = state.count < len(applied)
        first = state.count if is_short else len(applied) - 1
        told = is_short or any(name.startswith(_BESIDE_THE_STATE) for name in names)
        return _place(applied[first]) if applied and told else None
    if shown_before is None:
        shown_before = min(changed_at.values(), default=None)
    return None if shown_before is None else _place(applied[shown_before])


def _content(state: UserState) -> tuple[object, ...]:
    return exact(replace(state, count=0, offsets={}, last_source=None))


def _value(state: UserState, name: str) -> object:
    kind, _, key = name.partition(" ")
    match kind:
        case "item":
            rows = state.history.at(state.history.items == int(key))
            return rows.ratings.tobytes(), rows.rated_at.tobytes()
        case "seen":
            return bool((state.seen == int(key)).any())
        case "attribute":
            return repr(state.attributes.get(key))
    return state.user_id if kind == "user" else None


def _place(update: Update) -> Place:
    return update.source, update.offset
