"""The points of one collection on a server: every request of the hot path, with its deadline and consistency."""

from collections.abc import Mapping, Sequence

import qdrant_client.grpc as pb

from consumers.stores.points import Payload
from consumers.stores.server_connection import Connection
from consumers.stores.server_messages import (
    EVERYTHING,
    consistency,
    nearest_query,
    neighbours,
    payloads,
    stored_points,
    update_batch,
    with_vectors,
)
from consumers.stores.server_options import ServerOptions
from consumers.stores.stored_points import StoredPoint
from recommender.store import NeighbourQuery, Neighbours, StoreUnavailableError


class ServerPoints:
    """Reads and writes points; after an error a write may have been applied wholly, partly or not at all."""

    def __init__(self, connection: Connection, options: ServerOptions, vector_name: str) -> None:
        self._connection = connection
        self._stub = connection.points
        self._collection = options.collection
        self._vector_name = vector_name
        self._consistency = consistency(options.read_consistency)
        self._page_points_max = options.page_points_max
        self._timeout_s = options.timeout_s

    def get(self, ids: Sequence[int], fields: pb.WithPayloadSelector, doing: str) -> dict[int, Payload]:
        """Payloads of points, page by page; what is not there is missing."""
        found: dict[int, Payload] = {}
        for start in range(0, len(ids), self._page_points_max):
            request = pb.GetPoints(
                collection_name=self._collection,
                ids=[pb.PointId(num=identity) for identity in ids[start : start + self._page_points_max]],
                with_payload=fields,
                read_consistency=self._consistency,
            )
            with self._connection.errors(doing):
                found |= payloads(self._stub.Get(request, timeout=self._timeout_s).result)
        return found

    def update(self, operations: Sequence[pb.PointsUpdateOperation], doing: str) -> None:
        """Apply operations in order; returns when they are applied and in the write-ahead log."""
        request = update_batch(self._collection, operations)
        with self._connection.errors(doing):
            results = self._stub.UpdateBatch(request, timeout=self._timeout_s).result
        short = {pb.UpdateStatus.Name(one.status) for one in results if one.status != pb.UpdateStatus.Completed}
        if short or len(results) != len(operations):
            raise StoreUnavailableError(
                f"could not {doing}: Qdrant at {self._connection.place} completed only "
                f"{sum(one.status == pb.UpdateStatus.Completed for one in results)} of {len(operations)} operations "
                f"({', '.join(sorted(short)) or 'no answer for the others'})"
            )

    def nearest(self, queries: Sequence[NeighbourQuery]) -> list[Neighbours]:
        """The neighbours for each query, in one request."""
        request = pb.QueryBatchPoints(
            collection_name=self._collection,
            query_points=[nearest_query(self._collection, query, self._vector_name) for query in queries],
            read_consistency=self._consistency,
        )
        with self._connection.errors("look for neighbours"):
            answers = self._stub.QueryBatch(request, timeout=self._timeout_s).result
        return [neighbours(answer.result, query) for answer, query in zip(answers, queries, strict=True)]

    def page(self, from_id: int | None, limit: int) -> tuple[Mapping[int, Payload], int | None]:
        """Payloads in point id order, and the id to go on from."""
        found, following = self._scrolled(from_id, limit, vectors=())
        return payloads(found), following

    def page_of_points(self, from_id: int | None, limit: int) -> tuple[list[StoredPoint], int | None]:
        """Whole points in point id order, and the id to go on from."""
        found, following = self._scrolled(from_id, limit, vectors=(self._vector_name,))
        return stored_points(found, self._vector_name), following

    def _scrolled(
        self, from_id: int | None, limit: int, vectors: Sequence[str]
    ) -> tuple[Sequence[pb.RetrievedPoint], int | None]:
        request = pb.ScrollPoints(
            collection_name=self._collection,
            offset=None if from_id is None else pb.PointId(num=from_id),
            limit=min(limit, self._page_points_max),
            with_payload=EVERYTHING,
            with_vectors=with_vectors(vectors),
            read_consistency=self._consistency,
        )
        with self._connection.errors("scan the collection"):
            answer = self._stub.Scroll(request, timeout=self._timeout_s)
        return answer.result, answer.next_page_offset.num if answer.HasField("next_page_offset") else None
