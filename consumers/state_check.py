"""A store against the events that made it: one look at everybody, and a second one at whoever looked wrong.

The order makes it safe beside running workers: first what is committed, then the store, then the topics. So every
event that a state names stands below the ends that are read to, each state is judged at its own offsets, and nothing
that moves on meanwhile looks wrong.

The first look keeps of every user a digest of the stored state and the fold so far, which it lets go of as soon as
that has reached the state's offsets: about a kilobyte per user and 20 bytes per kept rating at most, whatever the
length of the topics. The second one holds all events of `SUSPECTS_MAX` users at a time. What it still finds wrong is.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from consumers.judgement import Judgement, Making, judge
from consumers.stores.stored_points import PointStore, StoredPoint
from consumers.topic_states import FILE_SOURCE, Events, Progress
from consumers.verification import Difference, point_differences, point_state, state_digest
from recommender.neighbour_pool import POINT_ID_BITS
from recommender.profile import NEW_USER, HistoryLimits, Update, UserState, fold
from recommender.store import point_id

PAGE_POINTS = 500
PENDING_MAX_EVENTS = 50_000
"""Events that wait to be folded: of one user many at once cost little more than one."""
SUSPECTS_MAX = 5_000
DETAILS_MAX = 1_000
"""Mismatches that a report describes; all are counted."""
IDS_END: int = 2**POINT_ID_BITS


@dataclass(frozen=True, slots=True)
class Selection:
    """Whom to look at: these points, or a range of point ids, which is a sample because ids are hashes of user ids.

    With `users_max` the range ends behind so many stored users; it is the same users wherever the ids are the same.
    """

    ids: frozenset[int] | None = None
    from_id: int = 0
    users_max: int | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A user who is not as the events make them; `user_id` is None where it is not known."""

    user_id: str | None
    point_id: int
    judgement: Judgement


@dataclass(slots=True)
class Report:
    """What a check found. `mismatches` holds the first `DETAILS_MAX` of `mismatch_count`.

    `not_provable` users have events that no topic tells any more; `waiting` ones have uncommitted events to come.
    `checked_to` are the committed offsets by source; `next_id` is where the next sample begins.
    """

    users: int = 0
    mismatch_count: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    not_provable: int = 0
    waiting: int = 0
    records: int = 0
    checked_to: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    next_id: int = 0


@dataclass(slots=True)
class _Account:
    """A stored user in the first look: what stands there, and the fold of what it says it has applied."""

    owner: str | None
    digest: bytes
    count: int
    offsets: Mapping[str, int]
    is_consistent: bool
    folded: UserState | None = NEW_USER
    pending: list[Update] = field(default_factory=list)
    taken: int = 0
    is_equal: bool = False
    lacks_committed: bool = False
    waits: bool = False

    def settle(self, limits: HistoryLimits, digest_of: Callable[[UserState], bytes]) -> None:
        """Fold what waits; let go of the state where it has become what is stored."""
        if self.folded is None or not self.pending:
            return
        self.folded = fold(self.folded, self.pending, limits)
        self.pending = []
        if self.taken >= self.count and digest_of(self.folded) == self.digest:
            self.folded, self.is_equal = None, True


@dataclass(frozen=True, slots=True)
class StateCheck:
    """Compares a store with events; reads only."""

    store: PointStore
    events: Events
    making: Making

    def run(self, selection: Selection, report_progress: Progress) -> Report:
        """Look at the selected users.

        Raises:
            StoreError: the store cannot be read.
            ClusterError: the brokers do not answer in time.
        """
        begun = time.monotonic()
        look = _FirstLook(self.store, self.events, self.making)
        report = look.run(selection, report_progress)
        suspects = iter(sorted(look.suspects))
        while some := list(islice(suspects, SUSPECTS_MAX)):
            for mismatch, is_provable in self._second_look(some, report_progress):
                report.not_provable += not is_provable
                if mismatch is not None:
                    report.mismatch_count += 1
                    if len(report.mismatches) < DETAILS_MAX:
                        report.mismatches.append(mismatch)
        report.seconds = time.monotonic() - begun
        return report

    def _second_look(self, ids: Collection[int], progress: Progress) -> Iterator[tuple[Mismatch | None, bool]]:
        self.events.begin(self.store.settings)
        points = {point.id: point for point in _points_at(self.store, ids)}
        wanted, rows = frozenset(ids), defaultdict[int, list[Update]](list)
        for update in self.events.updates(progress):
            if (identity := point_id(update.user_id)) in wanted:
                rows[identity].append(update)
        for identity in ids:
            mine = sorted(rows[identity], key=lambda update: (update.source, update.offset))
            point = points.get(identity)
            if not self.events.has_offsets and point is not None:
                point = _placed(point, mine)
            judgement = judge(point, mine, self.events.bounds, self.making)
            mismatch = None if judgement.kind is None else Mismatch(_name(point, mine), identity, judgement)
            yield mismatch, judgement.is_provable


@dataclass(slots=True)
class _FirstLook:
    """Finds who may be wrong: nobody who is can pass."""

    store: PointStore
    events: Events
    making: Making
    suspects: set[int] = field(default_factory=set)
    _accounts: dict[int, _Account] = field(default_factory=dict)
    _waiting: set[int] = field(default_factory=set)
    _touched: dict[int, _Account] = field(default_factory=dict)
    _pending: int = 0

    def run(self, selection: Selection, progress: Progress) -> Report:
        self.events.begin(self.store.settings)
        checked_to = dict(self.events.bounds.committed)
        end_id = self._scan(selection)
        ids, from_id = selection.ids, selection.from_id
        for update in self.events.updates(progress):
            identity = point_id(update.user_id)
            if identity in ids if ids is not None else from_id <= identity < end_id:
                self._take(identity, update)
        self._fold_pending()
        report = Report(records=self.events.records, checked_to=checked_to, next_id=end_id % IDS_END)
        self._sum_up(report)
        return report

    def _scan(self, selection: Selection) -> int:
        """Open an account for every selected point; returns the id at which the selection ends."""
        points, limit = _selected(self.store, selection), selection.users_max
        for point in points:
            if limit is not None and len(self._accounts) == limit:
                return point.id
            self._accounts[point.id] = self._account(point)
        return IDS_END

    def _account(self, point: StoredPoint) -> _Account:
        state = point_state(point)
        if isinstance(state, Difference):
            return _Account(None, b"", 0, {}, is_consistent=False)
        is_consistent = not point_differences(
            point, state, self.making.value, carries=self.making.carriers.admits(point.id)
        )
        offsets = dict(state.offsets) if self.events.has_offsets else {}
        return _Account(state.user_id, self._digest(state), state.count, offsets, is_consistent)

    def _digest(self, state: UserState) -> bytes:
        return state_digest(state if self.events.has_offsets else replace(state, offsets={}, last_source=None))

    def _take(self, identity: int, update: Update) -> None:
        account = self._accounts.get(identity)
        if account is None:
            (self.suspects if self.events.bounds.must_be_stored(update) else self._waiting).add(identity)
        elif account.owner is not None and account.owner != update.user_id:
            # The worker refuses a second user whose id hashes to the same point.
            return
        elif self._has_applied(account, update):
            account.taken += 1
            account.pending.append(update)
            self._touched[identity] = account
            self._pending += 1
            if self._pending >= PENDING_MAX_EVENTS:
                self._fold_pending()
        elif self.events.bounds.must_be_stored(update):
            account.lacks_committed = True
        else:
            account.waits = True

    def _has_applied(self, account: _Account, update: Update) -> bool:
        if not self.events.has_offsets:
            return account.taken < account.count
        return update.offset <= account.offsets.get(update.source, -1)

    def _fold_pending(self) -> None:
        for account in self._touched.values():
            account.settle(self.making.limits, self._digest)
        self._touched.clear()
        self._pending = 0

    def _sum_up(self, report: Report) -> None:
        self._waiting -= self.suspects
        report.users = len(self._accounts) + len(self.suspects)
        report.waiting = len(self._waiting) + sum(account.waits for account in self._accounts.values())
        for identity, account in self._accounts.items():
            if not account.is_consistent or account.lacks_committed:
                self.suspects.add(identity)
            elif not account.is_equal:
                if account.taken < account.count and self.events.bounds.may_lack_events_of(account.offsets):
                    report.not_provable += 1
                else:
                    self.suspects.add(identity)


def _selected(store: PointStore, selection: Selection) -> Iterator[StoredPoint]:
    if selection.ids is not None:
        yield from _points_at(store, sorted(selection.ids))
        return
    next_id: int | None = selection.from_id
    while next_id is not None:
        page = store.points(next_id, PAGE_POINTS)
        yield from page.points
        next_id = page.next_id


def _points_at(store: PointStore, ids: Iterable[int]) -> Iterator[StoredPoint]:
    for identity in ids:
        # Markers and settings are points too, but stand at ids of their own.
        yield from (point for point in store.points(identity, 1).points if point.id == identity)


def _placed(point: StoredPoint, events: Sequence[Update]) -> StoredPoint:
    """The point as if it had been made from a file: its offset is the place of the last event that it counts."""
    count = point.payload.get("count")
    if not isinstance(count, int) or not events:
        return point
    last = events[max(0, min(count, len(events)) - 1)].offset
    return replace(point, payload={**point.payload, "o": {FILE_SOURCE: last}, "last": FILE_SOURCE})


def _name(point: StoredPoint | None, events: Sequence[Update]) -> str | None:
    stored = None if point is None else point.payload.get("user_id")
    return str(stored) if stored is not None else events[0].user_id if events else None
