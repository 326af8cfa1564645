"""Filters on users as gRPC messages of a Qdrant server; `UserFilter.matches` says what they mean."""

import qdrant_client.grpc as pb

from consumers.stores.points import ACTIVE_AT_MS, NUM_RATINGS, attribute_path, finite
from recommender.filters import Between, OneOf, UserFilter


def server_filter(where: UserFilter) -> pb.Filter:
    """The filter for users who meet every condition."""
    must = [_condition(one) for one in where.attributes]
    if where.min_ratings:
        must.append(_at_least(NUM_RATINGS, where.min_ratings))
    if where.active_since_ms is not None:
        must.append(_at_least(ACTIVE_AT_MS, where.active_since_ms))
    return pb.Filter(must=must)


def _condition(condition: Between | OneOf) -> pb.Condition:
    if isinstance(condition, Between):
        return _between(condition)
    path = attribute_path(condition.attribute)
    either = [_matches(path, pb.Match(boolean=value)) for value in condition.booleans]
    if condition.texts:
        either.append(_matches(path, pb.Match(keywords=pb.RepeatedStrings(strings=condition.texts))))
    return pb.Condition(filter=pb.Filter(should=[*either, *map(_between, condition.ranges)]))


def _matches(path: str, match: pb.Match) -> pb.Condition:
    return pb.Condition(field=pb.FieldCondition(key=path, match=match))


def _between(condition: Between) -> pb.Condition:
    least, greatest = map(finite, condition.limits)
    path = attribute_path(condition.attribute)
    return pb.Condition(field=pb.FieldCondition(key=path, range=pb.Range(gte=least, lte=greatest)))


def _at_least(path: str, least: int) -> pb.Condition:
    return pb.Condition(field=pb.FieldCondition(key=path, range=pb.Range(gte=least)))
