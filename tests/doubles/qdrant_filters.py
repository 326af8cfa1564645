"""Qdrant's gRPC filters to Edge's. Geo, full text and slices are refused: nothing here uses them."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import qdrant_client.grpc as pb
import qdrant_edge as qe
from qdrant_messages import json_path, point_id
from qdrant_refusals import bad_input, only, unserved


def optional_filter(request: Any, field: str = "filter") -> qe.Filter | None:
    """The filter in `field` of a request, or None where it sets none."""
    return edge_filter(getattr(request, field)) if request.HasField(field) else None


def edge_filter(message: pb.Filter) -> qe.Filter:
    minimum = message.min_should
    return qe.Filter(
        must=_conditions(message.must),
        should=_conditions(message.should),
        must_not=_conditions(message.must_not),
        min_should=qe.MinShould(_conditions(minimum.conditions) or [], minimum.min_count)
        if message.HasField("min_should")
        else None,
    )


def _conditions(messages: Iterable[pb.Condition]) -> "list[qe.ConditionType] | None":
    return [_condition(message) for message in messages] or None


def _condition(message: pb.Condition) -> "qe.ConditionType":  # noqa: PLR0911 - one for each kind of condition
    match message.WhichOneof("condition_one_of"):
        case "field":
            return _field(message.field)
        case "is_empty":
            return qe.IsEmptyCondition(json_path(message.is_empty.key))
        case "is_null":
            return qe.IsNullCondition(json_path(message.is_null.key))
        case "has_id":
            return qe.HasIdCondition({point_id(one) for one in message.has_id.has_id})
        case "has_vector":
            return qe.HasVectorCondition(message.has_vector.has_vector)
        case "nested":
            return qe.NestedCondition(json_path(message.nested.key), edge_filter(message.nested.filter))
        case "filter":
            return edge_filter(message.filter)
        case other:
            raise unserved(f"Condition.{other}")


def _field(message: pb.FieldCondition) -> qe.FieldCondition:
    only(message, "key", "match", "range", "is_empty", "is_null")
    given = {field.name for field, _ in message.ListFields()} - {"key"}
    if not given:
        raise bad_input("Validation error in body: [filter: at least one field condition must be specified]")
    return qe.FieldCondition(
        key=json_path(message.key),
        match=_match(message.match) if "match" in given else None,
        range=_range(message.range) if "range" in given else None,
        is_empty=message.is_empty if "is_empty" in given else None,
        is_null=message.is_null if "is_null" in given else None,
    )


def _range(message: pb.Range) -> qe.RangeFloat:
    return qe.RangeFloat(**{field.name: bound for field, bound in message.ListFields()})


def _match(message: pb.Match) -> "qe.MatchType":
    match message.WhichOneof("match_value"):
        case "keyword" | "integer" as kind:
            return qe.MatchValue(getattr(message, kind))
        case "boolean":
            # Edge takes Python's own True for the integer 1; numpy's cannot be mistaken.
            return qe.MatchValue(np.bool_(message.boolean))  # type: ignore[arg-type]
        case "keywords":
            return qe.MatchAny(list(message.keywords.strings))
        case "integers":
            return qe.MatchAny(list(message.integers.integers))
        case "except_keywords":
            return qe.MatchExcept(list(message.except_keywords.strings))
        case "except_integers":
            return qe.MatchExcept(list(message.except_integers.integers))
        case other:
            raise unserved(f"Match.{other}")
