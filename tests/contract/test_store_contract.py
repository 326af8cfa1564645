"""The port for stores, law by law, for each kind of store."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_states import (
    TAG_MAX,
    exactly,
    history,
    insert,
    replace_tagged,
    sample_state,
    states,
    tags,
    vector,
    write,
)
from store_places import SETTINGS, NewPlace, Place

from recommender.memory_store import MemoryStore
from recommender.profile import UserState
from recommender.store import (
    NeighbourQuery,
    Neighbours,
    Store,
    StoreMismatchError,
    UserWrite,
    marker_id,
    point_id,
    settings_id,
)
from recommender.vector import ValueRule, query_vector, user_vector

engine = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# What is written


@engine
@given(
    written=st.lists(st.text(max_size=30), unique=True, max_size=3).flatmap(lambda ids: st.tuples(*map(states, ids)))
)
def test_a_state_is_read_back_bit_for_bit(store: Store, written: tuple[UserState, ...]) -> None:
    """History with retractions, seen items, attributes, count, offsets and tag come back exactly as they went in."""
    ids = [state.user_id or "" for state in written]
    before = tags(store, ids)
    write(store, *(replace_tagged(state, before.get(state.user_id or "", 1), missing=True) for state in written))
    found = store.read(ids, []).states
    assert [exactly(found[user_id]) for user_id in ids] == [exactly(state) for state in written]


def test_what_is_not_there_is_missing(store: Store) -> None:
    """Unknown users and sources are absent from a snapshot; asking for nothing gives nothing."""
    write(store, insert(sample_state("here", 1)), here=5)
    snapshot = store.read(["here", "gone"], ["here", "gone"])
    assert (list(snapshot.states), dict(snapshot.markers)) == (["here"], {"here": 5})
    assert not store.read([], []).states


def test_a_forgotten_user_leaves_no_id(store: Store) -> None:
    """After forgetting, offsets, count and tag stay; user id, history and vector are nowhere to be found."""
    write(store, insert(sample_state("someone", 1), vector({7: 1.0})))
    forgotten = UserState(count=3, offsets={"t.0": 12}, last_source="t.0", tag=2)
    write(store, UserWrite("someone", forgotten, None, frozenset({1}), missing=False))
    [(identity, state)] = store.scan(None, 10).states
    assert (identity, exactly(state)) == (point_id("someone"), exactly(forgotten))
    assert not store.histories([identity])
    assert nearest(store, {7: 1.0}).ids == []


def test_a_large_request_is_applied_whole(store: Store) -> None:
    """A request of 500 users and one with 1,500 expected tags are applied as small ones are."""
    everyone = [f"user {number}" for number in range(500)]
    write(store, *(insert(sample_state(user_id, 10_000 * (at % 3) + at)) for at, user_id in enumerate(everyone, 1)))
    new = {user_id: 50_000 + at for at, user_id in enumerate(everyone)}
    tried = {user_id: (at, 10_000 + at, 20_000 + at) for at, user_id in enumerate(everyone, 1)}
    write(store, *(replace_tagged(sample_state(user_id, new[user_id]), *tried[user_id]) for user_id in everyone))
    assert tags(store, everyone) == new


# Compare-and-set


def test_a_state_is_replaced_only_under_an_expected_tag(store: Store) -> None:
    """A wrong tag changes nothing at all; the right one, or one of several, replaces the whole state."""
    write(store, insert(sample_state("u", TAG_MAX)))
    write(store, replace_tagged(sample_state("u", 2, count=9), TAG_MAX - 1))
    assert exactly(store.read(["u"], []).states["u"]) == exactly(sample_state("u", TAG_MAX))
    write(store, replace_tagged(sample_state("u", 3, count=9), 5, TAG_MAX))
    assert exactly(store.read(["u"], []).states["u"]) == exactly(sample_state("u", 3, count=9))


def test_tags_that_differ_in_the_last_bit_are_different(store: Store) -> None:
    """63-bit tags are compared exactly, not as doubles."""
    write(store, insert(sample_state("u", 2**62 + 1)))
    write(store, replace_tagged(sample_state("u", 2), 2**62, 2**62 + 2))
    assert tags(store, ["u"]) == {"u": 2**62 + 1}


def test_conditions_hold_for_each_user_apart(store: Store) -> None:
    """Of the users of one request those whose tag stands are written, the others are left alone."""
    write(store, *(insert(sample_state(user_id, tag)) for user_id, tag in (("a", 1), ("b", 2), ("c", 3))))
    expected = {"a": (1,), "b": (22, 23), "c": (33, 3)}
    write(store, *(replace_tagged(sample_state(u, 100 + at), *expected[u]) for at, u in enumerate("abc")))
    assert tags(store, "abc") == {"a": 100, "b": 2, "c": 102}


def test_a_user_is_inserted_only_where_there_is_none(store: Store) -> None:
    """A write for a missing user makes the point; it never overwrites one that is there."""
    write(store, insert(sample_state("old", 1)))
    write(store, insert(sample_state("old", 2)), insert(sample_state("new", 3)))
    assert tags(store, ["old", "new"]) == {"old": 1, "new": 3}


def test_an_update_makes_no_point(store: Store) -> None:
    """Where tags are expected and no point stands, none is made."""
    write(store, replace_tagged(sample_state("u", 2), 1))
    assert tags(store, ["u"]) == {}


@pytest.mark.parametrize(("standing", "left"), [(None, 9), (1, 9), (2, 2)])
def test_tags_and_missing_together_allow_either(store: Store, standing: int | None, left: int) -> None:
    """With tags and `missing` a state is written where there is no point or an expected tag, and nowhere else."""
    if standing is not None:
        write(store, insert(sample_state("u", standing)))
    write(store, replace_tagged(sample_state("u", 9), 1, 5, missing=True))
    assert tags(store, ["u"]) == {"u": left}


def test_a_tag_written_by_a_request_is_not_expected_by_the_same_request(store: Store) -> None:
    """A user that was just inserted is not touched again by the update half of its own request, nor the reverse."""
    write(store, replace_tagged(sample_state("u", 5), 5, missing=True))
    write(store, replace_tagged(sample_state("u", 5, count=2), 5, missing=True))
    assert store.read(["u"], []).states["u"].count == 2


def test_markers_are_written_whatever_the_conditions_say(store: Store) -> None:
    """A marker takes any value, also a lower one, and also where no user of the request is written."""
    for offset in (41, -1, 2**40):
        write(store, replace_tagged(sample_state("u", 2), 1), **{"topic.0": offset, "topic.1": 7})
        assert store.read(["u"], ["topic.0", "topic.1"]).markers == {"topic.0": offset, "topic.1": 7}
    assert tags(store, ["u"]) == {}


def test_an_empty_request_changes_nothing(store: Store) -> None:
    """A request without markers and users is allowed."""
    write(store)
    assert not store.scan(None, 10).states


# Neighbours

SMALL = st.dictionaries(
    st.sampled_from([0, 1, 2, 3, 5, 8, 2**31, 2**32 - 1]),
    st.integers(-16, 16).filter(bool).map(lambda eighths: eighths / 8),
    min_size=1,
    max_size=6,
)


@engine
@given(
    profiles=st.lists(st.none() | SMALL, max_size=12),
    queries=st.lists(st.tuples(SMALL, st.integers(0, 12), st.integers(1, 14)), min_size=1, max_size=4),
)
def test_neighbours_are_those_of_the_exact_store(
    new_place: NewPlace,
    profiles: list[dict[int, float] | None],
    queries: list[tuple[dict[int, float], int, int]],
) -> None:
    """Similarities equal the oracle's, best first, up to the limit, each with the point it belongs to."""
    with opened(new_place) as store:
        oracle = MemoryStore(SETTINGS)
        for target in (store, oracle):
            users = [
                insert(sample_state(str(at), at + 1), None if values is None else vector(values))
                for at, values in enumerate(profiles)
            ]
            write(target, *users)
        asked = [NeighbourQuery(vector(values), limit, point_id(str(own))) for values, own, limit in queries]
        everyone = oracle.nearest([replace(query, limit=len(profiles) + 1) for query in asked])
        for found, everything, query in zip(store.nearest(asked), everyone, asked, strict=True):
            assert_best_of(found, everything, query)


def test_neighbours_of_real_profiles_are_those_of_the_exact_store(store: Store) -> None:
    """With values of the ranking's rule, ids and similarities equal the oracle's within float32."""
    random = np.random.default_rng(7)
    rule, oracle = ValueRule(), MemoryStore(SETTINGS)
    histories = {str(number): random_history(random) for number in range(200)}
    for target in (store, oracle):
        write(
            target,
            *(
                insert(sample_state(user_id, at + 1, history=known), user_vector(known, rule))
                for at, (user_id, known) in enumerate(histories.items())
            ),
        )
    asked = []
    for user_id, known in list(histories.items())[:40]:
        wanted = query_vector(known, rule, 64, 10.0)
        assert wanted is not None
        asked.append(NeighbourQuery(wanted, 20, point_id(user_id)))
    for found, expected in zip(store.nearest(asked), oracle.nearest(asked), strict=True):
        assert found.ids == expected.ids
        assert found.similarities == pytest.approx(expected.similarities, rel=1e-5)


def test_the_own_point_is_no_neighbour(store: Store) -> None:
    """The asking user is left out and does not use up the limit."""
    write(store, *(insert(sample_state(u, at + 1), vector({1: 1.0 + at})) for at, u in enumerate("abc")))
    assert nearest(store, {1: 1.0}, limit=1, excluding="c").ids == [point_id("b")]
    assert nearest(store, {1: 1.0}, limit=1, excluding="a").ids == [point_id("c")]


def test_only_positive_similarities_are_neighbours(store: Store) -> None:
    """Users who disagree, share nothing, or have no vector are never returned, however large the limit."""
    taste = {"agrees": {1: 0.5}, "disagrees": {1: -0.5}, "elsewhere": {2: 1.0}, "cancels": {1: 1.0, 3: -1.0}}
    write(store, *(insert(sample_state(u, at + 1), vector(values)) for at, (u, values) in enumerate(taste.items())))
    write(store, insert(sample_state("unknown", 9), None))
    found = nearest(store, {1: 1.0, 3: 1.0})
    assert (found.ids, found.similarities) == ([point_id("agrees")], [0.5])


def test_no_queries_no_answers(store: Store) -> None:
    """Asking for the neighbours of nobody gives no answers."""
    assert store.nearest([]) == []


def test_versions_change_with_the_point_and_only_then(store: Store) -> None:
    """A neighbour's version stays while its point does, whatever is refused or written elsewhere, and then changes."""
    taste = vector({1: 1.0})
    write(store, insert(sample_state("u", 1), taste), insert(sample_state("w", 2), taste))
    first = versions(store)
    write(store, insert(sample_state("u", 3), taste), replace_tagged(sample_state("u", 4), 99), **{"topic.0": 5})
    write(store, insert(sample_state("else", 5)))
    assert versions(store) == first
    write(store, UserWrite("u", sample_state("u", 6), taste, frozenset({1}), missing=False))
    second = versions(store)
    assert second["u"] != first["u"]
    assert second["w"] == first["w"]


# Histories and scans


def test_histories_are_those_of_the_points_that_are_there(store: Store) -> None:
    """Histories come back bit for bit, an empty one too; a point that is gone is missing."""
    rated = history((7, 4.0, 1_000), (9, float("nan"), 2_000))
    write(store, insert(sample_state("u", 1, history=rated)), insert(sample_state("empty", 2, history=history())))
    found = store.histories([point_id("u"), point_id("empty"), point_id("gone")])
    assert set(found) == {point_id("u"), point_id("empty")}
    assert exactly(UserState(history=found[point_id("u")])) == exactly(UserState(history=rated))
    assert len(found[point_id("empty")]) == 0
    assert not store.histories([])


def test_many_histories_come_in_one_call(store: Store) -> None:
    """The number of histories asked for at once is not limited by any page."""
    everyone = [f"user {number}" for number in range(300)]
    write(store, *(insert(sample_state(user_id, at + 1)) for at, user_id in enumerate(everyone)))
    assert set(store.histories([point_id(user_id) for user_id in everyone])) == set(map(point_id, everyone))


def test_states_are_those_of_the_points_that_are_there(store: Store) -> None:
    """Any number of them in one call, as `read` has them; neither markers nor what is gone are among them."""
    everyone = [f"user {number}" for number in range(300)]
    write(store, *(insert(sample_state(user_id, at + 1)) for at, user_id in enumerate(everyone)), source=5)
    found = store.states([*map(point_id, everyone), point_id("gone"), marker_id("source")])
    read = store.read(everyone, []).states
    assert {i: exactly(state) for i, state in found.items()} == {point_id(u): exactly(read[u]) for u in everyone}
    assert not store.states([])


@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_a_scan_meets_every_user_once_in_id_order(store: Store, limit: int) -> None:
    """Page by page, all users appear once in point id order, and neither markers nor settings do."""
    everyone = [f"user {number}" for number in range(100)]
    write(store, *(insert(sample_state(u, at + 1)) for at, u in enumerate(everyone)), **{"topic.0": 1, "topic.1": 2})
    store.remember_partitions({"ratings": 2})
    seen: list[tuple[int, UserState]] = []
    from_id: int | None = None
    while True:
        page = store.scan(from_id, limit)
        assert len(page.states) <= limit
        seen.extend(page.states)
        if page.next_id is None:
            break
        from_id = page.next_id
    assert [identity for identity, _ in seen] == sorted(map(point_id, everyone))
    assert {state.user_id for _, state in seen} == set(everyone)


def test_points_of_different_purposes_have_different_ids(store: Store) -> None:
    """A user named like a source or like the settings shares no point with them."""
    write(
        store, insert(sample_state("settings", 1)), insert(sample_state("topic.0", 2)), **{"topic.0": 5, "settings": 6}
    )
    assert len({point_id("settings"), marker_id("settings"), settings_id()}) == 3
    assert tags(store, ["settings", "topic.0"]) == {"settings": 1, "topic.0": 2}
    assert store.read([], ["topic.0", "settings"]).markers == {"topic.0": 5, "settings": 6}


# Settings


def test_partition_counts_are_added_and_never_changed(store: Store) -> None:
    """Topics are added to the settings; a topic with another count is refused, and nothing of that call is kept."""
    store.remember_partitions({"ratings": 4})
    store.remember_partitions({"ratings": 4, "lists": 8})
    with pytest.raises(StoreMismatchError, match="'ratings' has 6 partitions, the store was filled from 4"):
        store.remember_partitions({"more": 1, "ratings": 6})
    assert store.settings.partitions == {"ratings": 4, "lists": 8}


def test_who_is_in_the_neighbour_pool_is_remembered(lasting_place: Place) -> None:
    """The thinning outlives the process, may go up and down, and whoever opens the store later finds the store's."""
    store = lasting_place.open()
    assert store.settings.thinning == (0, 0)
    store.remember_thinning((7, 3))
    store.remember_thinning((3, 3))
    assert store.settings.thinning == (3, 3)
    assert lasting_place.reopen(replace(SETTINGS, thinning=(9, 9))).settings.thinning == (3, 3)


def test_a_store_opened_again_holds_what_it_held(lasting_place: Place) -> None:
    """States, markers, epoch and partition counts outlive the process; the opener's own epoch does not matter."""
    store = lasting_place.open(replace(SETTINGS, epoch=3))
    write(store, insert(sample_state("u", 1), vector({1: 1.0})), **{"topic.0": 5})
    store.remember_partitions({"ratings": 4})
    store.flush()
    again = lasting_place.reopen()
    assert again.settings == replace(SETTINGS, epoch=3, partitions={"ratings": 4})
    assert exactly(again.read(["u"], []).states["u"]) == exactly(sample_state("u", 1))
    assert again.read([], ["topic.0"]).markers == {"topic.0": 5}
    assert nearest(again, {1: 1.0}).ids == [point_id("u")]


@pytest.mark.parametrize(
    "other",
    [
        {"catalogue": "anime"},
        {"scale_min": 1.0},
        {"scale_max": 10.0},
        {"value_rule": "v9999"},
        {"format_version": SETTINGS.format_version + 1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_store_made_with_other_settings_is_refused(lasting_place: Place, other: Mapping[str, Any]) -> None:
    """The sentence names the setting and both values, and the store stays as it was."""
    write(lasting_place.open(), insert(sample_state("u", 1)))
    [(name, ours)] = other.items()
    with pytest.raises(StoreMismatchError, match=f"{name} = {getattr(SETTINGS, name)}, this process has {ours}"):
        lasting_place.reopen(replace(SETTINGS, **other))
    assert tags(lasting_place.open(), ["u"]) == {"u": 1}


@contextmanager
def opened(new_place: NewPlace) -> Iterator[Store]:
    place = new_place()
    yield place.open()
    place.remove()


def nearest(store: Store, values: Mapping[int, float], limit: int = 100, excluding: str = "nobody") -> Neighbours:
    [found] = store.nearest([NeighbourQuery(vector(values), limit, point_id(excluding))])
    return found


def versions(store: Store) -> dict[str, int]:
    names = {point_id(user_id): user_id for user_id in ("u", "w", "else")}
    found = nearest(store, {1: 1.0})
    return {names[identity]: version for identity, version in zip(found.ids, found.versions, strict=True)}


def assert_best_of(found: Neighbours, everyone: Neighbours, query: NeighbourQuery) -> None:
    # Among equal similarities an engine may choose; everything else is fixed.
    exact = dict(zip(everyone.ids, everyone.similarities, strict=True))
    assert found.similarities == pytest.approx(everyone.similarities[: query.limit], abs=1e-6)
    assert [exact[identity] for identity in found.ids] == pytest.approx(found.similarities, abs=1e-6)
    assert len(set(found.ids)) == len(found.ids) == len(found.versions)
    assert query.excluding not in found.ids


def random_history(random: np.random.Generator) -> Any:
    items = random.choice(400, size=random.integers(1, 80), replace=False)
    return history(*((int(item), float(random.integers(1, 11)) / 2, at) for at, item in enumerate(items)))
