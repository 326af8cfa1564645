"""What Qdrant Edge is asked and told: points, queries and filters of the engine, and its answers read."""

from collections.abc import Sequence
from operator import attrgetter

import qdrant_edge as engine

from consumers.stores.edge_filters import edge_filter
from consumers.stores.points import user_payload
from recommender.store import NeighbourQuery, Neighbours, UserWrite, point_id
from recommender.vector import SparseVector, Vector

_HIT = attrgetter("id", "score", "version")


def user_point(write: UserWrite, main: str) -> engine.Point:
    """A user's point, with the vectors that there are; `main` is the main one's name."""
    vectors = {name: engine_vector(vector) for name, vector in write.further.items()}
    if write.vector is not None:
        vectors[main] = engine_vector(write.vector)
    return engine.Point(point_id(write.user_id), vectors, user_payload(write.state))


def engine_vector(vector: Vector) -> "engine.NamedVector":
    """A vector as the engine takes it."""
    if isinstance(vector, SparseVector):
        return engine.SparseVector(vector.indices.tolist(), vector.values.tolist())
    values: list[float] = vector.values.tolist()
    return values


def nearest_request(query: NeighbourQuery, main: str) -> engine.QueryRequest:
    """Ask for one neighbour more than wanted, as the user's own point may be among them."""
    return engine.QueryRequest(
        limit=query.limit + 1,
        query=engine.Query.Nearest(engine_vector(query.vector), using=query.using or main),
        filter=edge_filter(query.where) if query.where else None,
        with_payload=False,
        with_vector=False,
        score_threshold=0.0,
    )


def neighbours(found: Sequence[engine.ScoredPoint], query: NeighbourQuery) -> Neighbours:
    """The answer to a query; the version is the engine's, which comes with every hit for nothing."""
    return Neighbours.of([*map(_HIT, found)], query)
