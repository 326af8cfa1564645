"""A store as a process sees it: requests that are lost, late or doubled, errors for answers, replicas that differ.

The semantics are those measured on the engines: a reply never says whether a condition held; after an error a write
may have been applied wholly, in part, not at all, or may yet be; a replica that took a write which the others did not
keeps it, and one that did not acknowledge what the others did is made their copy before it serves again.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from decisions import Fault
from disks import Disk, parts_of
from host import Host, seconds_of
from quorum import quorum_reads

from recommender.profile import History, UserState
from recommender.store import (
    NeighbourQuery,
    Neighbours,
    Page,
    Snapshot,
    StateWrite,
    StoreBusyError,
    StoreSettings,
    StoreUnavailableError,
)

SERVER_WRITE_FAULTS = ("lost", "unanswered", "late", "doubled", "in_part", "slow", "snapshot")
SERVER_READ_FAULTS = ("read_fails", "slow")
TIMEOUT_S = 1.0
_Answer = TypeVar("_Answer")


@dataclass(eq=False, slots=True)
class Place:
    """Where a store stands: its disks, requests under way, old snapshots, and (Edge) who has it open."""

    disks: list[Disk]
    acknowledgements_min: int = 1
    away: set[int] = field(default_factory=set)
    under_way: int = 0
    generation: int = 0
    snapshots: list[Disk] = field(default_factory=list)
    owner: Host | None = None

    @property
    def disk(self) -> Disk:
        """The one that answers first."""
        return next(disk for at, disk in enumerate(self.disks) if at not in self.away)

    def restore(self, snapshot: Disk) -> None:
        """Put an old snapshot back; nobody has the store open, and no request is under way any more."""
        self.generation += 1
        self.under_way = 0
        self.away.clear()
        for disk in self.disks:
            disk.become(snapshot)
            disk.flush()


class SimulatedStore:
    """One process's way to the store; see `recommender.store.Store`."""

    def __init__(self, host: Host, place: Place) -> None:
        if place.disk.exclusive:
            if place.owner is not None and not place.owner.gone:
                raise StoreBusyError("another process holds the store")
            place.owner = host
        self.exclusive = place.disk.exclusive
        self.settings: StoreSettings = place.disk.settings
        self._host = host
        self._place = place
        self._stick = host.dice.randrange(len(place.disks))
        self._quorum = quorum_reads(place.disks, lambda: place.away, host.dice) if len(place.disks) == 3 else None

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        """See `Store.read`."""
        quorum = self._quorum
        if quorum is not None:
            return self._asked("read", lambda _: quorum.read(user_ids, sources))
        return self._asked("read", lambda disk: disk.read(user_ids, sources))

    def write(self, request: StateWrite) -> None:
        """See `Store.write`."""
        users = [(u.user_id, u.state.count, u.state.tag % 1000, [t % 1000 for t in u.tags]) for u in request.users]
        self._host.tell(f"writes {dict(request.markers)} {users}")
        if self.exclusive:
            fault = self._host.enter("write", "slow")
            self._place.disk.write(request)
            self._wait_if_slow(fault)
        elif len(self._place.disks) > 1:
            allowed = self._quorum.allowed if self._quorum else None
            self._write_replicas(StateWrite(request.markers, [allowed(u) if allowed else u for u in request.users]))
        else:
            self._write_shared(request)

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        """See `Store.nearest`."""
        return self._asked("nearest", lambda disk: disk.nearest(queries))

    def histories(self, ids: Sequence[int]) -> Mapping[int, History]:
        """See `Store.histories`."""
        return self._asked("histories", lambda disk: disk.histories(ids))

    def states(self, ids: Sequence[int]) -> Mapping[int, UserState]:
        """See `Store.states`."""
        return self._asked("states", lambda disk: disk.states(ids))

    def scan(self, from_id: int | None, limit: int) -> Page:
        """See `Store.scan`."""
        return self._asked("scan", lambda disk: disk.scan(from_id, limit))

    def flush(self) -> None:
        """See `Store.flush`."""
        if self.exclusive:
            fault = self._host.enter("flush store", "slow")
            self._place.disk.flush()
            self._wait_if_slow(fault)

    def remember_partitions(self, partitions: Mapping[str, int]) -> None:
        """See `Store.remember_partitions`."""
        if self.settings.with_partitions(partitions) != self._place.disk.settings:
            for disk in self._place.disks:
                disk.remember_partitions(partitions)
                disk.flush()
        self.settings = self._place.disk.settings

    def remember_thinning(self, thinning: tuple[int, int]) -> None:
        """See `Store.remember_thinning`."""
        for disk in self._place.disks:
            disk.remember_thinning(thinning)
            disk.flush()
        self.settings = self._place.disk.settings

    def close(self) -> None:
        """See `Store.close`."""
        if self._place.owner is self._host:
            self._host.enter("close store")
            self._place.disk.flush()
            self._place.owner = None

    def _asked(self, call: str, ask: Callable[[Disk], _Answer]) -> _Answer:
        fault = self._host.enter(call, *(("slow",) if self.exclusive else SERVER_READ_FAULTS))
        answer = ask(self._readable())
        if fault is not None and fault.kind == "read_fails":
            self._fail("no answer", fault)
        self._wait_if_slow(fault)
        return answer

    def _readable(self) -> Disk:
        # A client stays with its node, and goes to another one while that is away.
        if self._stick not in self._place.away:
            return self._place.disks[self._stick]
        return self._place.disk

    def _write_shared(self, request: StateWrite) -> None:
        fault = self._host.enter("write", *SERVER_WRITE_FAULTS)
        disk, kind = self._place.disk, fault.kind if fault else ""
        if kind in {"", "unanswered", "doubled", "slow"} or kind not in SERVER_WRITE_FAULTS:
            disk.write(request)
        if fault is None:
            return
        if kind in {"late", "doubled"}:
            self._later(seconds_of(fault), disk, request)
        if kind in {"in_part", "snapshot"}:
            self._in_part(disk, request, fault)
        if kind in {"lost", "unanswered", "late", "in_part"}:
            self._fail("no answer", fault)
        self._wait_if_slow(fault)

    def _in_part(self, disk: Disk, request: StateWrite, fault: Fault) -> None:
        """Apply the beginning of a request; a snapshot is taken just then, and the rest follows."""
        parts = parts_of(request)
        count = 1 + int(fault.amount * (len(parts) - 1))
        for part in parts[:count]:
            disk.write(part)
        if fault.kind == "snapshot":
            self._place.snapshots.append(disk.copy())
            for part in parts[count:]:
                disk.write(part)

    def _write_replicas(self, request: StateWrite) -> None:
        fault = self._host.enter("write", "split", "slow", "lost", "unanswered")
        place = self._place
        dice = random.Random(fault.amount if fault is not None and fault.kind == "split" else None)  # noqa: S311  # no secret
        acknowledged: list[int] = []
        missed: list[int] = []
        for at, disk in enumerate(place.disks):
            takes, answers = True, True
            if fault is not None and fault.kind == "split":
                takes = dice.random() < 0.6
                answers = takes and dice.random() < 0.6
            if fault is not None and fault.kind == "lost":
                takes = answers = False
            if at in place.away:
                continue
            if not takes and len(place.disks) == 2:
                # A lower marker would stop the worker, which alone knows what to repair: so the markers arrive.
                disk.write(StateWrite(request.markers, []))
            if takes:
                disk.write(request)
            elif dice.random() < 0.3 and fault is not None and fault.kind == "split":
                self._later(seconds_of(fault), disk, request)
            (acknowledged if answers else missed).append(at)
        if fault is not None and (len(acknowledged) < place.acknowledgements_min or fault.kind == "unanswered"):
            self._fail("too few replicas answered", fault)
        for at in missed:
            self._catch_up(at)
        self._wait_if_slow(fault)

    def _catch_up(self, at: int) -> None:
        """A replica that missed what was acknowledged serves again as a copy of one that did not."""
        place, generation, scheduler = self._place, self._place.generation, self._host.scheduler
        place.away.add(at)
        place.under_way += 1

        def copied() -> None:
            if place.generation == generation:
                place.under_way -= 1
                place.disks[at].become(place.disk)
                place.away.discard(at)

        scheduler.at(scheduler.now + 0.1 + self._host.dice.random() * 2, copied)

    def _later(self, seconds: float, disk: Disk, request: StateWrite) -> None:
        place, generation, scheduler = self._place, self._place.generation, self._host.scheduler
        place.under_way += 1

        def applied() -> None:
            if place.generation == generation:
                place.under_way -= 1
                disk.write(request)

        scheduler.at(scheduler.now + seconds, applied)

    def _wait_if_slow(self, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "slow":
            self._host.scheduler.wait(seconds_of(fault))
        self._host.leave(fault)

    def _fail(self, why: str, fault: Fault) -> None:
        self._host.scheduler.wait(TIMEOUT_S * fault.amount)
        raise StoreUnavailableError(why)
