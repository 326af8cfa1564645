"""Reads of three replicas by the service's own rule for replicas that disagree, over simulated nodes.

A quorum read asks two of them, drawn anew each time; a point about which they differ is silently missing.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from disks import Disk

from consumers.stores.points import Payload, marker_offset, user_state
from consumers.stores.server_replicas import ReplicaReads
from recommender.store import Snapshot, StoreUnavailableError, UserWrite, marker_id, point_id


@dataclass(frozen=True, slots=True)
class QuorumReads:
    """What `ServerStore` does with `ReplicaReads`."""

    reads: ReplicaReads

    def read(self, user_ids: Sequence[str], sources: Sequence[str]) -> Snapshot:
        """See `Store.read`."""
        users = {point_id(user_id): user_id for user_id in user_ids}
        markers = {marker_id(source): source for source in sources}
        found = self.reads.read([*users, *markers], "read")
        return Snapshot(
            {users[i]: user_state(payload) for i, payload in found.items() if i in users},
            {markers[i]: marker_offset(payload) for i, payload in found.items() if i in markers},
            frozenset(users[i] for i in found if i in users and self.reads.is_disputed(i)),
        )

    def allowed(self, write: UserWrite) -> UserWrite:
        """See `ReplicaReads.allowed`."""
        return self.reads.allowed(write)


def quorum_reads(disks: Sequence[Disk], away: Callable[[], set[int]], dice: random.Random) -> QuorumReads:
    """Reads of these replicas; those that are `away` do not answer."""

    def node(at: int) -> Any:
        return _Points(lambda: None if at in away() else disks[at].payloads())

    def agreed() -> dict[int, Payload] | None:
        present = [at for at in range(len(disks)) if at not in away()]
        if len(present) < 2:
            return None
        one, other = (disks[at].payloads() for at in dice.sample(present, 2))
        return {i: payload for i, payload in one.items() if other.get(i) == payload}

    # Its constructor dials the nodes, which here are none that could be dialled.
    reads = ReplicaReads.__new__(ReplicaReads)
    reads._connections, reads._disputed = [], {}
    points: Any = _Points(agreed)
    reads._points, reads._nodes = points, [node(at) for at in range(len(disks))]
    return QuorumReads(reads)


@dataclass(frozen=True, slots=True)
class _Points:
    """`ServerPoints`, as far as `ReplicaReads` uses it."""

    payloads: Callable[[], dict[int, Payload] | None]

    def get(self, ids: Sequence[int], _fields: object, doing: str) -> dict[int, Payload]:
        found = self.payloads()
        if found is None:
            raise StoreUnavailableError(f"cannot {doing}: too many replicas are away")
        return {i: found[i] for i in ids if i in found}
