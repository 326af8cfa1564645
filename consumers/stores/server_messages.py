"""gRPC messages of a Qdrant server, built and read without qdrant-client's models, which halve the throughput."""

from collections.abc import Iterable, Sequence
from typing import Any

import qdrant_client.grpc as pb
from qdrant_client.conversions.conversion import grpc_to_payload, payload_to_grpc

from consumers.stores.points import TAG, Payload, user_payload
from consumers.stores.server_filters import server_filter
from consumers.stores.server_options import ReadConsistency
from consumers.stores.stored_points import StoredPoint, StoredVector, stored_vector
from recommender.store import NeighbourQuery, Neighbours, UserWrite, point_id
from recommender.vector import DenseVector, SparseVector, Vector

EVERYTHING = pb.WithPayloadSelector(enable=True)
_TAG_ONLY = pb.WithPayloadSelector(include=pb.PayloadIncludeSelector(fields=[TAG]))
_CONSISTENCY = {"default": None, "quorum": pb.ReadConsistency(type=pb.ReadConsistencyType.Quorum)}
_STRONG = pb.WriteOrdering(type=pb.WriteOrderingType.Strong)


def only_fields(*names: str) -> pb.WithPayloadSelector:
    """Ask for some fields of the payload."""
    return pb.WithPayloadSelector(include=pb.PayloadIncludeSelector(fields=names))


def consistency(name: ReadConsistency) -> pb.ReadConsistency | None:
    """How many replicas have to agree on what is read."""
    return _CONSISTENCY[name]


def plain_point(identity: int, payload: Payload) -> pb.PointStruct:
    """A point without vector."""
    return pb.PointStruct(id=pb.PointId(num=identity), payload=payload_to_grpc(payload))


def user_point(write: UserWrite, main: str) -> pb.PointStruct:
    """A user's point, with the vectors that there are; `main` is the main one's name."""
    point = plain_point(point_id(write.user_id), user_payload(write.state))
    vectors = point.vectors.vectors.vectors
    if write.vector is not None:
        vectors[main].sparse.CopyFrom(_sparse(write.vector))
    for name, vector in write.further.items():
        if isinstance(vector, SparseVector):
            vectors[name].sparse.CopyFrom(_sparse(vector))
        else:
            vectors[name].dense.CopyFrom(_dense(vector))
    return point


def upsert(points: Sequence[pb.PointStruct]) -> pb.PointsUpdateOperation:
    """Write points whatever stands there."""
    return _upsert(points=points)


def update_tagged(points: Sequence[pb.PointStruct], tags: Iterable[int]) -> pb.PointsUpdateOperation:
    """Write points only where one of the tags stands."""
    match = pb.Match(integers=pb.RepeatedIntegers(integers=sorted(tags)))
    condition = pb.Condition(field=pb.FieldCondition(key=TAG, match=match))
    return _upsert(points=points, update_filter=pb.Filter(must=[condition]), update_mode=pb.UpdateMode.UpdateOnly)


def insert_missing(points: Sequence[pb.PointStruct]) -> pb.PointsUpdateOperation:
    """Write points only where there is none."""
    return _upsert(points=points, update_mode=pb.UpdateMode.InsertOnly)


def update_batch(collection: str, operations: Sequence[pb.PointsUpdateOperation]) -> pb.UpdateBatchPoints:
    """One ordered request; strong ordering, because weaker ones lose writes without any fault."""
    return pb.UpdateBatchPoints(collection_name=collection, wait=True, operations=operations, ordering=_STRONG)


def nearest_query(collection: str, query: NeighbourQuery, main: str) -> pb.QueryPoints:
    """Ask for one neighbour more than wanted, as the user's own point may be among them."""
    return pb.QueryPoints(
        collection_name=collection,
        query=pb.Query(nearest=_input(query.vector)),
        using=query.using or main,
        filter=server_filter(query.where) if query.where else None,
        limit=query.limit + 1,
        score_threshold=0.0,
        with_payload=_TAG_ONLY,
    )


def neighbours(found: Iterable[pb.ScoredPoint], query: NeighbourQuery) -> Neighbours:
    """The answer to a query; the version is the tag, because replicas count their points' versions apart."""
    return Neighbours.of([(hit.id.num, hit.score, hit.payload[TAG].integer_value) for hit in found], query)


def payloads(records: Iterable[pb.RetrievedPoint]) -> dict[int, Payload]:
    """Payloads by point id."""
    return {record.id.num: grpc_to_payload(record.payload) for record in records}


def with_vectors(names: Sequence[str]) -> pb.WithVectorsSelector | None:
    """Ask for these vectors; nothing where there are none."""
    return pb.WithVectorsSelector(include=pb.VectorsSelector(names=names)) if names else None


def stored_points(records: Iterable[pb.RetrievedPoint], vector_name: str) -> list[StoredPoint]:
    """Points with their payload and one vector."""
    points = []
    for record in records:
        vectors = record.vectors.vectors.vectors
        vector = _vector_of(vectors[vector_name]) if vector_name in vectors else None
        points.append(StoredPoint(record.id.num, grpc_to_payload(record.payload), vector))
    return points


def _vector_of(output: pb.VectorOutput) -> StoredVector:
    # Servers that still fill the older fields fill only those.
    if output.WhichOneof("vector") == "sparse":
        return stored_vector(output.sparse.indices, output.sparse.values)
    return stored_vector(output.indices.data, output.data)


def _upsert(**fields: Any) -> pb.PointsUpdateOperation:
    return pb.PointsUpdateOperation(upsert=pb.PointsUpdateOperation.PointStructList(**fields))


def _input(vector: Vector) -> pb.VectorInput:
    if isinstance(vector, SparseVector):
        return pb.VectorInput(sparse=_sparse(vector))
    return pb.VectorInput(dense=_dense(vector))


def _dense(vector: DenseVector) -> pb.DenseVector:
    return pb.DenseVector(data=vector.values.tolist())


def _sparse(vector: SparseVector) -> pb.SparseVector:
    return pb.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())
