"""Reads that see through replicas which disagree.

A failed write may have reached some replicas only. A consistent read then hides the point, as if it were new; so what
it does not show is asked of every node, whose plain read answers from its own replica. The write that follows is
allowed wherever one of the tags found stands, which brings all replicas to the same state again.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from consumers.stores.points import TAG, Payload, marker_offset
from consumers.stores.server_connection import Connection
from consumers.stores.server_messages import EVERYTHING
from consumers.stores.server_options import ServerOptions
from consumers.stores.server_points import ServerPoints
from recommender.store import StoreUnavailableError, UserWrite, point_id

# A node that is away misses a write, so the cluster copies its shards anew before it serves them again.
NODES_AWAY_MAX = 1


@dataclass(frozen=True, slots=True)
class _Disputed:
    tags: frozenset[int]
    missing: bool


class ReplicaReads:
    """Reads points, from every node where the collection as a whole does not show them."""

    def __init__(self, points: ServerPoints, options: ServerOptions, vector_name: str) -> None:
        self._points = points
        self._connections = [Connection(replace(options, url=url)) for url in options.node_urls]
        plain = replace(options, read_consistency="default")
        self._nodes = [ServerPoints(connection, plain, vector_name) for connection in self._connections]
        self._disputed: dict[int, _Disputed] = {}

    def read(self, ids: Sequence[int], doing: str) -> dict[int, Payload]:
        """Payloads of points by id; what no replica holds is missing.

        Raises:
            StoreUnavailableError: too many nodes are away to tell.
        """
        found = self._points.get(ids, EVERYTHING, doing)
        for identity in found:
            self._disputed.pop(identity, None)
        hidden = [identity for identity in ids if identity not in found]
        return found | self._asked_of_every_node(hidden, doing) if hidden and self._nodes else found

    def tags_at(self, identity: int) -> frozenset[int]:
        """The tags that stood at a point on different replicas when it was last read; none where they agreed."""
        disputed = self._disputed.get(identity)
        return frozenset() if disputed is None else disputed.tags

    def is_disputed(self, identity: int) -> bool:
        """Whether replicas disagreed on a point when it was last read."""
        return identity in self._disputed

    def allowed(self, write: UserWrite) -> UserWrite:
        """The write, allowed on every replica that was seen to disagree."""
        disputed = self._disputed.get(point_id(write.user_id))
        if disputed is None:
            return write
        return replace(write, tags=write.tags | disputed.tags, missing=write.missing or disputed.missing)

    def close(self) -> None:
        """Close the connections to the nodes."""
        for connection in self._connections:
            connection.close()

    def _asked_of_every_node(self, ids: Sequence[int], doing: str) -> dict[int, Payload]:
        answers = self._answers(ids, doing)
        found: dict[int, Payload] = {}
        for identity in ids:
            copies = [answer[identity] for answer in answers if identity in answer]
            if copies:
                tags = frozenset(int(copy[TAG]) for copy in copies if TAG in copy)
                self._disputed[identity] = _Disputed(tags, missing=len(copies) < len(answers))
                found[identity] = _most_trusted(copies)
        return found

    def _answers(self, ids: Sequence[int], doing: str) -> list[dict[int, Payload]]:
        answers: list[dict[int, Payload]] = []
        for asked, node in enumerate(self._nodes):
            try:
                answers.append(node.get(ids, EVERYTHING, doing))
            except StoreUnavailableError:
                if asked - len(answers) >= NODES_AWAY_MAX:
                    raise
        return answers


def _most_trusted(copies: Sequence[Payload]) -> Payload:
    """What most replicas hold was acknowledged; among equals the furthest state, and the lowest marker."""
    held = Counter(map(_edition, copies))

    def trust(copy: Payload) -> tuple[int, int, int]:
        offset = 0 if TAG in copy else marker_offset(copy)
        return held[_edition(copy)], int(copy.get("count", 0)), -offset

    return max(copies, key=trust)


def _edition(copy: Payload) -> tuple[str, int]:
    return (TAG, int(copy[TAG])) if TAG in copy else ("marker", marker_offset(copy))
