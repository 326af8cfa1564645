"""How a Qdrant server is reached and its collection made. Imports no Qdrant library: those load for over a second."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from consumers.stores.payload_indexes import PayloadIndex
from recommender.store import StoreError

ReadConsistency = Literal["default", "quorum"]

GRPC_PORT = 6334


class Replication(NamedTuple):
    """Copies of every point, how many must confirm a write, and how many a read asks."""

    factor: int
    writes: int
    reads: ReadConsistency


_SAFE = frozenset({Replication(1, 1, "default"), Replication(1, 1, "quorum"), Replication(3, 2, "quorum")})
_SAFE_WHILE_WRITERS_LIVE = Replication(2, 1, "default")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the server is, how the collection is made there, and the limits of one request.

    `url` is http://host:port or https://host:port with the gRPC port (6334 where it names none). Shards, replication
    and write consistency matter where the collection is made; one that is there keeps its own. `node_urls` are the
    nodes of a replicated collection, each by itself, as `url` may stand for all of them.
    """

    url: str
    collection: str
    api_key: str | None = field(default=None, repr=False)
    tls_ca_file: Path | None = None
    timeout_s: float = 5.0
    shards: int = 1
    replication_factor: int = 1
    write_consistency_factor: int = 1
    read_consistency: ReadConsistency = "default"
    accept_lost_ratings_if_a_worker_dies: bool = False
    node_urls: tuple[str, ...] = ()
    page_points_max: int = 500
    indexes: tuple[PayloadIndex, ...] = ()

    @property
    def replication(self) -> Replication:
        """That of a collection that is made."""
        return Replication(self.replication_factor, self.write_consistency_factor, self.read_consistency)

    def refuse_unsafe(self, found: Replication) -> None:
        """Check that no replica can stay different for good, nor an acknowledged write be lost.

        Two replicas hold while the worker lives that saw a write fail: only it knows that they may differ. Should it
        die before it has written anew, a rating can be lost, which `accept_lost_ratings_if_a_worker_dies` takes.

        Raises:
            StoreError: other settings than those that were seen to be safe while nodes and workers were killed, or
                nodes that cannot be read one by one.
        """
        if problem := self._problem(found):
            raise StoreError(
                f"qdrant.replication_factor = {found.factor} with qdrant.write_consistency_factor = {found.writes} and "
                f"qdrant.read_consistency = {found.reads} {problem}"
            )
        if 1 < found.factor > len(self.node_urls):
            raise StoreError(
                f"the collection has {found.factor} replicas, qdrant.node_urls names {len(self.node_urls)} nodes: name "
                "every node's own gRPC url, so that disagreeing replicas can be read"
            )

    def _problem(self, found: Replication) -> str:
        if found == _SAFE_WHILE_WRITERS_LIVE and not self.accept_lost_ratings_if_a_worker_dies:
            return (
                "loses a rating when a worker dies right after a write that failed: use 3, 2 and quorum; or take that "
                "risk (qdrant.accept_lost_ratings_if_a_worker_dies = true)"
            )
        if found not in {*_SAFE, _SAFE_WHILE_WRITERS_LIVE}:
            return "can lose updates: use 3, 2 and quorum; or, without replicas, 1 and 1"
        return ""
