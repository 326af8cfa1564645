"""Qdrant's gRPC messages to what Qdrant Edge takes, and back.

Edge does not validate and panics on some input (a length mismatch even survives in its log), so everything is checked
here first, with the answers a server gives: unequal lengths, duplicate indices and unknown vector names are refused;
NaN, infinity and empty vectors pass, as they do on a server.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

import qdrant_client.grpc as pb
import qdrant_edge as qe
from google.protobuf.message import Message
from qdrant_refusals import bad_input, only

PointId = int | UUID


def point_id(message: pb.PointId) -> PointId:
    match message.WhichOneof("point_id_options"):
        case "num":
            return message.num
        case "uuid":
            return _uuid(message.uuid)
        case _:
            raise bad_input("Wrong input: point id is missing")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise bad_input(f"Unable to parse UUID: {text}") from error


def proto_id(identity: Any) -> pb.PointId:
    return pb.PointId(num=identity) if isinstance(identity, int) else pb.PointId(uuid=str(identity))


def json_path(path: str) -> str:
    """A payload path Edge and the server both parse; a key with `/` has to be quoted."""
    try:
        qe.IsEmptyCondition(path)
    except ValueError as error:
        raise bad_input(f"Wrong input: invalid JSON path: {path!r}") from error
    return path


def payload(fields: Mapping[str, pb.Value]) -> dict[str, Any]:
    return {key: value(field) for key, field in fields.items()}


def value(message: pb.Value) -> Any:
    match message.WhichOneof("kind"):
        case "struct_value":
            return payload(message.struct_value.fields)
        case "list_value":
            return [value(item) for item in message.list_value.values]
        case "double_value" if not math.isfinite(message.double_value):
            raise bad_input("cannot convert to json number")
        case None | "null_value":
            return None
        case kind:
            return getattr(message, kind)


def proto_payload(fields: Mapping[str, Any] | None) -> dict[str, pb.Value]:
    return {key: proto_value(field) for key, field in (fields or {}).items()}


def proto_value(field: Any) -> pb.Value:  # noqa: PLR0911 - one for each kind of JSON value
    match field:
        case None:
            return pb.Value(null_value=pb.NULL_VALUE)
        case bool():
            return pb.Value(bool_value=field)
        case int():
            return pb.Value(integer_value=field)
        case float():
            return pb.Value(double_value=field)
        case str():
            return pb.Value(string_value=field)
        case dict():
            return pb.Value(struct_value=pb.Struct(fields=proto_payload(field)))
        case _:
            return pb.Value(list_value=pb.ListValue(values=[proto_value(item) for item in field]))


def sparse_vector(indices: Collection[int], values: Collection[float], where: str) -> qe.SparseVector:
    if len(indices) != len(values):
        raise bad_input(f"Validation error in body: [{where}.values: must be the same length as indices]")
    if len(set(indices)) != len(indices):
        raise bad_input(f"Validation error in body: [{where}.indices: must be unique]")
    return qe.SparseVector(list(indices), list(values))


def known_vector(name: str, names: Collection[str]) -> str:
    if name not in names:
        raise bad_input(f"Wrong input: Not existing vector name error: {name}")
    return name


def points(messages: Iterable[pb.PointStruct], names: Collection[str]) -> list[qe.Point]:
    """Points to upsert, checked; an upsert without points is refused, as on a server."""
    if found := [_point(message, names, f"points[{at}]") for at, message in enumerate(messages)]:
        return found
    raise bad_input("Bad request: Empty update request")


def _point(message: pb.PointStruct, names: Collection[str], where: str) -> qe.Point:
    vectors = {name: _vector(one, f"{where}.{name}") for name, one in _named(message.vectors).items()}
    for name in vectors:
        known_vector(name, names)
    return qe.Point(point_id(message.id), dict(vectors), payload(message.payload))


def _named(message: Any) -> dict[str, pb.Vector]:
    if message.WhichOneof("vectors_options") == "vector":
        return {"": message.vector}
    return dict(message.vectors.vectors)


def _vector(message: pb.Vector, where: str) -> "qe.NamedVector":
    only(message, "sparse", "dense", "data", "indices")
    if message.WhichOneof("vector") == "sparse":
        return sparse_vector(message.sparse.indices, message.sparse.values, where)
    if message.HasField("indices"):
        return sparse_vector(message.indices.data, message.data, where)
    return list(message.dense.data) or list(message.data)


def payload_selector(request: Any, *, default: bool) -> bool | qe.PayloadSelector:
    """Which payload to return; `default` where the request does not say."""
    selector = request.with_payload
    match selector.WhichOneof("selector_options"):
        case "enable":
            return bool(selector.enable)
        case "include":
            return qe.PayloadSelector.Include([json_path(path) for path in selector.include.fields])
        case "exclude":
            return qe.PayloadSelector.Exclude([json_path(path) for path in selector.exclude.fields])
        case _:
            return default


def vector_selector(request: Any, names: Collection[str]) -> bool | list[str]:
    selector = request.with_vectors
    if selector.WhichOneof("selector_options") == "include":
        return [known_vector(name, names) for name in selector.include.names]
    return bool(selector.enable)


def scored_point(point: qe.ScoredPoint) -> pb.ScoredPoint:
    return pb.ScoredPoint(score=point.score, version=point.version, **_point_fields(point))


def retrieved_point(record: qe.Record) -> pb.RetrievedPoint:
    return pb.RetrievedPoint(**_point_fields(record))


def _point_fields(point: qe.ScoredPoint | qe.Record) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": proto_id(point.id), "payload": proto_payload(point.payload)}
    if isinstance(point.vector, dict):
        fields["vectors"] = pb.VectorsOutput(vectors=pb.NamedVectorsOutput(vectors=_proto_vectors(point.vector)))
    return fields


def _proto_vectors(vectors: Mapping[str, Any]) -> dict[str, pb.VectorOutput]:
    return {name: _proto_vector(vector) for name, vector in vectors.items()}


def _proto_vector(vector: Any) -> pb.VectorOutput:
    if isinstance(vector, qe.SparseVector):
        return pb.VectorOutput(sparse=pb.SparseVector(indices=vector.indices, values=vector.values))
    return pb.VectorOutput(dense=pb.DenseVector(data=vector))


def set_fields(message: Message) -> dict[str, Any]:
    """The fields a message sets, by name: for settings whose Edge class takes the same names."""
    return {field.name: content for field, content in message.ListFields()}
