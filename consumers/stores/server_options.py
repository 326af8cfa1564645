"""How a Qdrant server is reached and its collection made. Imports no Qdrant library: those load for over a second."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recommender.store import StoreError

ReadConsistency = Literal["default", "quorum"]

GRPC_PORT = 6334


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
    node_urls: tuple[str, ...] = ()
    page_points_max: int = 500


def refuse_unsafe_replication(
    replication_factor: int, write_consistency_factor: int, read_consistency: ReadConsistency
) -> None:
    """Check that no replica can stay different for good, nor an acknowledged write be lost.

    Raises:
        StoreError: other settings than those that were seen to be safe while nodes were killed.
    """
    safe = {(1, 1, "default"), (1, 1, "quorum"), (2, 1, "default"), (3, 2, "quorum")}
    if (replication_factor, write_consistency_factor, read_consistency) not in safe:
        raise StoreError(
            f"qdrant.replication_factor = {replication_factor} with qdrant.write_consistency_factor = "
            f"{write_consistency_factor} and qdrant.read_consistency = {read_consistency} can lose updates: use 3, 2 "
            "and quorum; or 2, 1 and default; or, without replicas, 1 and 1"
        )
