"""The Points service of the Qdrant double.

Every write, alone or in a batch, becomes one Edge operation; a batch is checked as a whole, then applied in order.
"""
# ruff: noqa: N802 - gRPC finds a method by its name in the protocol

from collections.abc import Callable
from typing import Any

import qdrant_client.grpc as pb
import qdrant_edge as qe
from qdrant_client.grpc.points_service_pb2_grpc import PointsServicer
from qdrant_collections import Collection, Collections
from qdrant_filters import edge_filter, optional_filter
from qdrant_messages import (
    json_path,
    known_vector,
    payload,
    payload_selector,
    point_id,
    points,
    proto_id,
    retrieved_point,
    scored_point,
    set_fields,
    sparse_vector,
    vector_selector,
)
from qdrant_refusals import bad_input, only, unserved

DEFAULT_LIMIT = 10

_UPDATE_MODES = {
    pb.Upsert: qe.UpdateMode.Upsert,
    pb.InsertOnly: qe.UpdateMode.InsertOnly,
    pb.UpdateOnly: qe.UpdateMode.UpdateOnly,
}
_INDEX_TYPES = {
    pb.FieldTypeKeyword: ("keyword", qe.PayloadSchemaType.Keyword, qe.KeywordIndexParams),
    pb.FieldTypeInteger: ("integer", qe.PayloadSchemaType.Integer, qe.IntegerIndexParams),
    pb.FieldTypeFloat: ("float", qe.PayloadSchemaType.Float, qe.FloatIndexParams),
    pb.FieldTypeBool: ("bool", qe.PayloadSchemaType.Bool, qe.BoolIndexParams),
    pb.FieldTypeDatetime: ("datetime", qe.PayloadSchemaType.Datetime, qe.DatetimeIndexParams),
    pb.FieldTypeUuid: ("uuid", qe.PayloadSchemaType.Uuid, qe.UuidIndexParams),
}


class Points(PointsServicer):
    """Points in the collections of a double."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    def Upsert(self, request: pb.UpsertPoints, _: Any) -> pb.PointsOperationResponse:
        return self._write(request, _upsert(request, self._names(request)))

    def SetPayload(self, request: pb.SetPayloadPoints, _: Any) -> pb.PointsOperationResponse:
        return self._write(request, _set_payload(request))

    def OverwritePayload(self, request: pb.SetPayloadPoints, _: Any) -> pb.PointsOperationResponse:
        return self._write(request, _overwrite_payload(request))

    def DeletePayload(self, request: pb.DeletePayloadPoints, _: Any) -> pb.PointsOperationResponse:
        return self._write(request, _delete_payload(request))

    def ClearPayload(self, request: pb.ClearPayloadPoints, _: Any) -> pb.PointsOperationResponse:
        return self._write(request, _clear_payload(request))

    def Delete(self, request: pb.DeletePoints, _: Any) -> pb.PointsOperationResponse:
        return self._write(request, _delete_points(request))

    def CreateFieldIndex(self, request: pb.CreateFieldIndexCollection, _: Any) -> pb.PointsOperationResponse:
        only(request, "field_name", "field_type", "field_index_params")
        operation = qe.UpdateOperation.create_field_index(json_path(request.field_name), _index(request))
        return self._write(request, operation)

    def DeleteFieldIndex(self, request: pb.DeleteFieldIndexCollection, _: Any) -> pb.PointsOperationResponse:
        only(request, "field_name")
        return self._write(request, qe.UpdateOperation.delete_field_index(json_path(request.field_name)))

    def CreateVectorName(self, request: pb.CreateVectorNameRequest, _: Any) -> pb.PointsOperationResponse:
        operation_id = self._collections.add_vector(request)
        return pb.PointsOperationResponse(result=_result(request, operation_id))

    def UpdateBatch(self, request: pb.UpdateBatchPoints, _: Any) -> pb.UpdateBatchResponse:
        only(request, "operations")
        names = self._names(request)
        operations = [_operation(message, names) for message in request.operations]
        ids = self._find(request).write(operations)
        return pb.UpdateBatchResponse(result=[_result(request, operation_id) for operation_id in ids])

    def Get(self, request: pb.GetPoints, _: Any) -> pb.GetResponse:
        only(request, "ids", "with_payload", "with_vectors")
        ids = [point_id(one) for one in request.ids]
        with_payload = payload_selector(request, default=False)
        with_vectors = vector_selector(request, self._names(request))
        with self._find(request).shard() as shard:
            records = shard.retrieve([*ids], with_payload, with_vectors)
        return pb.GetResponse(result=[retrieved_point(record) for record in records])

    def Scroll(self, request: pb.ScrollPoints, _: Any) -> pb.ScrollResponse:
        only(request, "filter", "offset", "limit", "with_payload", "with_vectors")
        scroll = qe.ScrollRequest(
            offset=point_id(request.offset) if request.HasField("offset") else None,
            limit=_limit(request),
            filter=optional_filter(request),
            with_payload=payload_selector(request, default=True),
            with_vector=vector_selector(request, self._names(request)),
        )
        with self._find(request).shard() as shard:
            records, following = shard.scroll(scroll)
        page = [retrieved_point(record) for record in records]
        return pb.ScrollResponse(result=page, next_page_offset=None if following is None else proto_id(following))

    def Count(self, request: pb.CountPoints, _: Any) -> pb.CountResponse:
        only(request, "filter", "exact")
        with self._find(request).shard() as shard:
            count = shard.count(qe.CountRequest(exact=True, filter=optional_filter(request)))
        return pb.CountResponse(result=pb.CountResult(count=count))

    def Query(self, request: pb.QueryPoints, _: Any) -> pb.QueryResponse:
        query = _query(request, self._names(request))
        with self._find(request).shard() as shard:
            found = shard.query(query)
        return pb.QueryResponse(result=[scored_point(point) for point in found])

    def QueryBatch(self, request: pb.QueryBatchPoints, _: Any) -> pb.QueryBatchResponse:
        only(request, "query_points")
        names = self._names(request)
        batch = qe.QueryBatchRequest([_query(query, names) for query in request.query_points])
        with self._find(request).shard() as shard:
            found = shard.query_batch(batch)
        results = [pb.BatchResult(result=[scored_point(point) for point in points]) for points in found]
        return pb.QueryBatchResponse(result=results)

    def _find(self, request: Any) -> Collection:
        return self._collections.find(request.collection_name)

    def _names(self, request: Any) -> frozenset[str]:
        return self._find(request).vector_names

    def _write(self, request: Any, operation: qe.UpdateOperation) -> pb.PointsOperationResponse:
        [operation_id] = self._find(request).write([operation])
        return pb.PointsOperationResponse(result=_result(request, operation_id))


def _result(request: Any, operation_id: int) -> pb.UpdateResult:
    """COMPLETED says that the write was waited for, never that its condition held."""
    return pb.UpdateResult(operation_id=operation_id, status=pb.Completed if request.wait else pb.Acknowledged)


def _operation(message: pb.PointsUpdateOperation, names: frozenset[str]) -> qe.UpdateOperation:
    match message.WhichOneof("operation"):
        case "upsert":
            return _upsert(message.upsert, names)
        case "set_payload":
            return _set_payload(message.set_payload)
        case "overwrite_payload":
            return _overwrite_payload(message.overwrite_payload)
        case "delete_payload":
            return _delete_payload(message.delete_payload)
        case "clear_payload":
            return _clear_payload(message.clear_payload)
        case "delete_points":
            return _delete_points(message.delete_points)
        case other:
            raise unserved(f"PointsUpdateOperation.{other}")


# Each of these takes the request of its own method or the same operation inside a batch: their fields are the same.
def _upsert(message: Any, names: frozenset[str]) -> qe.UpdateOperation:
    only(message, "points", "update_filter", "update_mode")
    condition = optional_filter(message, "update_filter")
    mode = _UPDATE_MODES[message.update_mode]
    return qe.UpdateOperation.upsert_points(points(message.points, names), condition, mode)


def _set_payload(message: Any) -> qe.UpdateOperation:
    only(message, "payload", "points_selector", "key")
    by_ids, by_filter = qe.UpdateOperation.set_payload, qe.UpdateOperation.set_payload_by_filter
    key = json_path(message.key) if message.HasField("key") else None
    return _selected(message.points_selector, by_ids, by_filter, payload(message.payload), key)


def _overwrite_payload(message: Any) -> qe.UpdateOperation:
    only(message, "payload", "points_selector")
    by_ids, by_filter = qe.UpdateOperation.overwrite_payload, qe.UpdateOperation.overwrite_payload_by_filter
    return _selected(message.points_selector, by_ids, by_filter, payload(message.payload))


def _delete_payload(message: Any) -> qe.UpdateOperation:
    only(message, "keys", "points_selector")
    by_ids, by_filter = qe.UpdateOperation.delete_payload, qe.UpdateOperation.delete_payload_by_filter
    return _selected(message.points_selector, by_ids, by_filter, [json_path(key) for key in message.keys])


def _clear_payload(message: Any) -> qe.UpdateOperation:
    only(message, "points")
    return _selected(message.points, qe.UpdateOperation.clear_payload, qe.UpdateOperation.clear_payload_by_filter)


def _delete_points(message: Any) -> qe.UpdateOperation:
    only(message, "points")
    return _selected(message.points, qe.UpdateOperation.delete_points, qe.UpdateOperation.delete_points_by_filter)


def _selected(
    selector: pb.PointsSelector,
    by_ids: Callable[..., qe.UpdateOperation],
    by_filter: Callable[..., qe.UpdateOperation],
    *arguments: object,
) -> qe.UpdateOperation:
    match selector.WhichOneof("points_selector_one_of"):
        case "points":
            return by_ids([point_id(one) for one in selector.points.ids], *arguments)
        case "filter":
            return by_filter(edge_filter(selector.filter), *arguments)
        case _:
            raise bad_input("PointSelector is missing")


def _query(request: pb.QueryPoints, names: frozenset[str]) -> qe.QueryRequest:
    only(request, "query", "using", "filter", "limit", "offset", "score_threshold", "with_payload", "with_vectors")
    return qe.QueryRequest(
        query=_nearest(request, names) if request.HasField("query") else None,
        limit=_limit(request),
        offset=request.offset,
        filter=optional_filter(request),
        score_threshold=request.score_threshold if request.HasField("score_threshold") else None,
        with_payload=payload_selector(request, default=False),
        with_vector=vector_selector(request, names),
    )


def _nearest(request: pb.QueryPoints, names: frozenset[str]) -> qe.Query:
    only(request.query, "nearest")
    only(request.query.nearest, "sparse", "dense")
    using = known_vector(request.using, names)
    if request.query.nearest.HasField("dense"):
        return qe.Query.Nearest(list(request.query.nearest.dense.data), using=using)
    sparse = request.query.nearest.sparse
    return qe.Query.Nearest(sparse_vector(sparse.indices, sparse.values, "query.nearest.sparse"), using=using)


def _limit(request: Any) -> int:
    limit = int(request.limit) if request.HasField("limit") else DEFAULT_LIMIT
    if limit < 1:
        raise bad_input("Validation error in body: [limit: value 0 invalid, must be 1 or larger]")
    return limit


def _index(request: pb.CreateFieldIndexCollection) -> Any:
    if request.field_type not in _INDEX_TYPES:
        raise unserved(f"{pb.FieldType.Name(request.field_type)} indexes")
    name, plain, params_class = _INDEX_TYPES[request.field_type]
    if not request.HasField("field_index_params"):
        return plain
    only(request.field_index_params, f"{name}_index_params")
    params = getattr(request.field_index_params, f"{name}_index_params")
    only(params, "is_tenant", "is_principal", "on_disk", "enable_hnsw", "lookup", "range", "nested")
    return params_class(**set_fields(params))
