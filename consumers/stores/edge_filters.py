"""Filters on users as Qdrant Edge takes them; `UserFilter.matches` says what they mean."""

import numpy as np
import qdrant_edge as engine

from consumers.stores.points import ACTIVE_AT_MS, NUM_RATINGS, attribute_path, finite
from recommender.filters import Between, OneOf, UserFilter


def edge_filter(where: UserFilter) -> engine.Filter:
    """The filter for users who meet every condition."""
    must: list[engine.ConditionType] = [_condition(one) for one in where.attributes]
    if where.min_ratings:
        must.append(_at_least(NUM_RATINGS, where.min_ratings))
    if where.active_since_ms is not None:
        must.append(_at_least(ACTIVE_AT_MS, where.active_since_ms))
    return engine.Filter(must=must)


def _condition(condition: Between | OneOf) -> "engine.ConditionType":
    if isinstance(condition, Between):
        return _between(condition)
    path = attribute_path(condition.attribute)
    # Python's own True would be the integer 1 here, and match no boolean.
    either: list[engine.ConditionType] = [
        engine.FieldCondition(path, match=engine.MatchValue(np.bool_(value)))  # type: ignore[arg-type]
        for value in condition.booleans
    ]
    if condition.texts:
        either.append(engine.FieldCondition(path, match=engine.MatchAny(condition.texts)))
    return engine.Filter(should=[*either, *map(_between, condition.ranges)])


def _between(condition: Between) -> engine.FieldCondition:
    least, greatest = map(finite, condition.limits)
    return engine.FieldCondition(attribute_path(condition.attribute), range=engine.RangeFloat(gte=least, lte=greatest))


def _at_least(path: str, least: int) -> engine.FieldCondition:
    return engine.FieldCondition(path, range=engine.RangeFloat(gte=least))
