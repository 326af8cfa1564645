"""Neighbours who meet a filter: every kind of store, with payload indexes and without, answers as `matches` does."""

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_states import history, insert, sample_state, vector, write
from store_places import EdgePlace, NewPlace, Place, ServerPlace

from consumers.stores.payload_indexes import payload_indexes
from consumers.stores.server_connection import Connection
from recommender.filters import Between, OneOf, UserFilter, near
from recommender.profile import AttributeValue, UserState
from recommender.store import NeighbourQuery, Store, UserWrite, point_id

TASTE = vector({1: 1.0})
INDEXES = payload_indexes(["a:float", "b:keyword", "c:bool"])
NOBODY = -1
groups = itertools.count(2)
"""A dimension for each example, so that the users of one are no neighbours of another's."""

engine = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

values = (
    st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.1, 1.0, -2.5, 1e-300, 2.0**53, 2.0**62])
    | st.sampled_from(["", "F", "M", "1", "True", "ü😀"])
)
numbers = st.integers(-3, 3).map(float) | st.sampled_from([0.1, -2.5, 2.0**53, -math.inf, math.inf])
names = st.sampled_from("abcd")
ranges = st.builds(lambda name, one, other: Between(name, min(one, other), max(one, other)), names, numbers, numbers)
choices = st.builds(OneOf, names, st.lists(values, min_size=1, max_size=4).map(tuple))
filters = st.builds(
    UserFilter,
    st.lists(ranges | choices, max_size=3).map(tuple),
    st.integers(0, 3),
    st.none() | st.sampled_from([1_000, 1_700_000_000_000]),
)


@st.composite
def users(draw: st.DrawFn) -> list[UserState]:
    rated = history((7, 4.0, 1_000)), history((7, 4.0, 1_000), (8, math.nan, 1_700_000_000_000))
    more = history((7, 4.0, 1_000), (8, 1.0, 1_700_000_000_000), (9, 1.0, 1_700_000_000_001))
    known = draw(st.lists(st.dictionaries(names, values, max_size=4), max_size=8))
    return [
        sample_state(str(at), at + 1, attributes=one, history=draw(st.sampled_from([*rated, more])))
        for at, one in enumerate(known)
    ]


@pytest.fixture(params=[(), INDEXES], ids=["plain", "indexed"])
def indexed_or_not(request: pytest.FixtureRequest, new_place: NewPlace) -> Store:
    place = new_place()
    place.indexes = request.param
    return place.open()


@engine
@given(everyone=users(), asked=st.lists(filters, min_size=1, max_size=4))
def test_neighbours_are_those_who_match(
    indexed_or_not: Store, everyone: list[UserState], asked: list[UserFilter]
) -> None:
    """Of a batch of queries each finds exactly the users that its own filter matches."""
    store, group = indexed_or_not, next(groups)
    taste = vector({group: 1.0})
    members = [replace(state, user_id=f"{group} {state.user_id}") for state in everyone]
    write(store, *(insert(state, taste) for state in members), **{"topic.0": 5})
    expected = [{point_id(one.user_id or "") for one in members if where.matches(one)} for where in asked]
    answers = store.nearest([NeighbourQuery(taste, 100, NOBODY, where) for where in asked])
    assert [set(answer.ids) for answer in answers] == expected


def test_each_kind_of_value_is_found_by_itself_alone(indexed_or_not: Store) -> None:
    """True is not 1, 1 is 1.0, text is neither; so for every value and every path that is indexed as another kind."""
    kinds: list[AttributeValue] = [True, False, 1, 0, 1.0, -2.5, 0.1, "1", "True", "", "F", 2**62]
    everyone = [sample_state(str(at), at + 1, attributes=dict.fromkeys("abcd", kind)) for at, kind in enumerate(kinds)]
    write(indexed_or_not, *(insert(state, TASTE) for state in everyone))
    asked = [UserFilter((OneOf(name, (kind,)),)) for name in "abcd" for kind in kinds]
    expected = [{point_id(one.user_id or "") for one in everyone if where.matches(one)} for where in asked]
    assert [set(ids) for ids in found(indexed_or_not, *asked)] == expected


@pytest.mark.parametrize("value", [0.1, 94.24502837770503, 57.394118792810076, -15.960421235803823, 1e-300])
def test_a_number_meets_its_own_bounds_after_it_was_stored(lasting_place: Place, value: float) -> None:
    """A float whose last digit changes in the store still lies between itself and itself, and is one of itself."""
    store = lasting_place.open()
    write(store, insert(sample_state("u", 1, attributes={"a": value}), TASTE))
    store.flush()
    asked = [UserFilter((Between("a", value, value),)), UserFilter((OneOf("a", (value,)),))]
    assert found(lasting_place.reopen(), *asked) == [[point_id("u")]] * 2


def test_a_filter_does_not_shorten_what_is_found(store: Store) -> None:
    """The limit counts those who match, the asking user's own point does not, and the best of them come first."""
    for at in range(20):
        known: dict[str, AttributeValue] = {"age": 20 + at, "gender": "FM"[at % 2]}
        write(store, insert(sample_state(str(at), at + 1, attributes=known), vector({1: 1.0 + at})))
    where = UserFilter((near("age", 30, 5), OneOf("gender", ("F",))), min_ratings=1)
    [best] = store.nearest([NeighbourQuery(TASTE, 3, point_id("12"), where)])
    assert best.ids == [point_id("14"), point_id("10"), point_id("8")]


def test_who_changes_or_is_forgotten_is_found_no_more(store: Store) -> None:
    """A filter sees the attributes as they were written last."""
    where = UserFilter((near("age", 30, 5),))
    write(store, insert(sample_state("u", 1, attributes={"age": 30}), TASTE))
    assert found(store, where) == [[point_id("u")]]
    write(store, changed("u", 1, age=60))
    assert found(store, where, UserFilter((near("age", 60, 0),))) == [[], [point_id("u")]]
    write(store, UserWrite("u", UserState(count=3, tag=3), None, frozenset({2}), missing=False))
    assert found(store, UserFilter((near("age", 60, 0),)), UserFilter()) == [[], []]


def test_indexes_are_made_where_they_are_missing(lasting_place: Place) -> None:
    """A store that has none yet, or one of another kind, gets those that are asked for, and finds as before."""
    where = UserFilter((near("a", 30, 5),), min_ratings=1)
    write(lasting_place.open(), insert(sample_state("u", 1, attributes={"a": 30}), TASTE))
    assert indexed(lasting_place) == {}
    for declared, kind in (("a:keyword", "keyword"), ("a:float", "float"), ("a:float", "float")):
        lasting_place.shut()
        lasting_place.indexes = payload_indexes([declared])
        assert found(lasting_place.open(), where) == [[point_id("u")]]
        expected = {"num_ratings": "integer", "active_at_ms": "integer", "attributes.a": kind}
        assert indexed(lasting_place) == expected


def changed(user_id: str, tag: int, **attributes: AttributeValue) -> UserWrite:
    state = sample_state(user_id, tag + 1, attributes=attributes)
    return UserWrite(user_id, state, TASTE, frozenset({tag}), missing=False)


def found(store: Store, *filters: UserFilter) -> list[list[int]]:
    answers = store.nearest([NeighbourQuery(TASTE, 100, NOBODY, where) for where in filters])
    return [answer.ids for answer in answers]


def indexed(place: Place) -> dict[str, str]:
    """The kinds of the indexes of the store that is open at a place, by path."""
    if isinstance(place, EdgePlace):
        store: Any = place.opened[-1]
        schema = store._shard.info().payload_schema
        return {path: str(index.data_type).rpartition(".")[2].lower() for path, index in schema.items()}
    assert isinstance(place, ServerPlace)
    connection = Connection(place.options)
    schema = connection.models.get_collection(place.options.collection).payload_schema
    connection.close()
    return {path: index.data_type.value for path, index in schema.items()}
