"""Named vectors beside the main one, and vectors weighed by how few users have a dimension; every kind of store."""

import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_double import QdrantDouble
from sample_states import insert, sample_state, vector, write
from store_places import SETTINGS, EdgePlace, NewPlace, Place

from consumers.stores.edge import EdgeStore
from consumers.stores.generations import visitor
from consumers.stores.server import ServerStore
from consumers.stores.server_options import ServerOptions
from recommender.filters import OneOf, UserFilter
from recommender.memory_store import MemoryStore
from recommender.store import (
    NeighbourQuery,
    Neighbours,
    Store,
    StoreError,
    StoreMismatchError,
    StoreUnavailableError,
    UserWrite,
    point_id,
)
from recommender.vector import DenseVector, SparseVector, Vector, VectorSpec

MAIN = vector({1: 1.0})
NOBODY = -1
FURTHER = {"content": VectorSpec(3), "shadow": VectorSpec(), "rare": VectorSpec(idf=True)}
WITH_FURTHER = replace(SETTINGS, further=FURTHER)

engine = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

eighths = st.integers(-16, 16).map(lambda number: number / 8)
dense_vectors = st.lists(eighths, min_size=3, max_size=3)
sparse_vectors = st.dictionaries(st.integers(0, 5), eighths.filter(bool), min_size=1, max_size=5)
groups = itertools.count()


def dense(*values: float) -> DenseVector:
    return DenseVector(np.array(values, np.float32))


def user(name: str, tag: int = 1, main: SparseVector | None = MAIN, **further: Vector) -> UserWrite:
    return replace(insert(sample_state(name, tag), main), further=further)


def twice(name: str, tag: int, taste: dict[int, float] | None) -> UserWrite:
    """A user whose two vectors are the same, or who has none."""
    return user(name, tag, None) if taste is None else user(name, tag, vector(taste), rare=vector(taste))


def asked(vector: Vector, using: str | None = None, where: UserFilter | None = None) -> NeighbourQuery:
    return NeighbourQuery(vector, 100, NOBODY, where, using)


def by_id(found: Neighbours) -> dict[int, float]:
    return dict(zip(found.ids, found.similarities, strict=True))


@pytest.fixture
def fuller_store(new_place: NewPlace) -> Store:
    return new_place().open(WITH_FURTHER)


# Further vectors


@engine
@given(
    points=st.lists(st.tuples(st.none() | dense_vectors, st.none() | sparse_vectors), max_size=8),
    content=dense_vectors,
    shadow=sparse_vectors,
)
def test_each_vector_finds_its_own_neighbours(
    fuller_store: Store,
    points: list[tuple[list[float] | None, dict[int, float] | None]],
    content: list[float],
    shadow: dict[int, float],
) -> None:
    """By each vector exactly those are found who have it and agree, as similar as the oracle says."""
    oracle, group = MemoryStore(WITH_FURTHER), next(groups)
    where = UserFilter((OneOf("group", (group,)),))
    for target in (fuller_store, oracle):
        for at, (coordinates, taste) in enumerate(points):
            further: dict[str, Vector] = {} if coordinates is None else {"content": dense(*coordinates)}
            further |= {} if taste is None else {"shadow": vector(taste)}
            state = sample_state(f"{group} {at}", at + 1, attributes={"group": group})
            write(target, UserWrite(state.user_id or "", state, MAIN, frozenset(), missing=True, further=further))
    queries = [
        asked(dense(*content), "content", where),
        asked(vector(shadow), "shadow", where),
        asked(MAIN, None, where),
    ]
    for found, expected in zip(fuller_store.nearest(queries), oracle.nearest(queries), strict=True):
        assert by_id(found) == pytest.approx(by_id(expected), abs=1e-5)
        assert found.similarities == sorted(found.similarities, reverse=True)


def test_a_point_is_replaced_with_all_its_vectors(fuller_store: Store) -> None:
    """What a write does not name is gone, and a point may have a further vector without the main one."""
    write(fuller_store, user("u", content=dense(1, 0, 0), shadow=vector({4: 1.0})))
    again = user("u", 2, content=dense(0, 1, 0))
    write(fuller_store, replace(again, tags=frozenset({1}), missing=False), user("v", 3, None, shadow=vector({4: 2.0})))
    queries = [asked(dense(1, 1, 0), "content"), asked(vector({4: 1.0}), "shadow"), asked(MAIN)]
    assert [list(by_id(found).items()) for found in fuller_store.nearest(queries)] == [
        [(point_id("u"), 1.0)],
        [(point_id("v"), 2.0)],
        [(point_id("u"), 1.0)],
    ]


@pytest.mark.parametrize(
    ("name", "unfit", "sentence"),
    [
        ("nothing", MAIN, r"no vector 'nothing'; beside the main one it has: \['content', 'rare', 'shadow'\]"),
        ("content", MAIN, "'content' is dense with 3 dimensions, not sparse"),
        ("content", dense(1, 2), "'content' is dense with 3 dimensions, not dense with 2 dimensions"),
        ("shadow", dense(1, 2, 3), "'shadow' is sparse, not dense with 3 dimensions"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused_whole(
    fuller_store: Store, name: str, unfit: Vector, sentence: str
) -> None:
    """Neither written nor asked by; nothing of its request is applied, markers included."""
    with pytest.raises(StoreError, match=sentence):
        write(fuller_store, user("v"), replace(user("u"), further={name: unfit}), **{"topic.0": 5})
    with pytest.raises(StoreError, match=sentence):
        fuller_store.nearest([asked(MAIN), asked(unfit, name)])
    assert not fuller_store.scan(None, 10).states
    assert not fuller_store.read([], ["topic.0"]).markers


def test_further_vectors_may_come_later(lasting_place: Place) -> None:
    """A store that has users gets them when it is opened; who has none is found by the main one, as before."""
    write(lasting_place.open(), user("old"))
    store = lasting_place.reopen(replace(SETTINGS, further={"content": VectorSpec(3)}))
    write(store, user("new", 2, content=dense(1, 0, 0)))
    store = lasting_place.reopen(replace(SETTINGS, further={"rare": VectorSpec(idf=True)}))
    assert store.settings.further == {"content": VectorSpec(3), "rare": VectorSpec(idf=True)}
    write(store, user("newer", 3, rare=vector({1: 2.0})))
    queries = [asked(dense(1, 0, 0), "content"), asked(MAIN, "rare"), asked(MAIN)]
    found = [set(answer.ids) for answer in store.nearest(queries)]
    assert found == [{point_id("new")}, {point_id("newer")}, {point_id("old"), point_id("new"), point_id("newer")}]
    assert lasting_place.reopen().settings.further == store.settings.further


def test_a_further_vector_stays_as_it_was_made(lasting_place: Place) -> None:
    """Another number of dimensions or another weighing is refused, with both in the sentence."""
    lasting_place.open(WITH_FURTHER)
    others: Mapping[str, VectorSpec] = {"content": VectorSpec(4), "shadow": VectorSpec(3), "rare": VectorSpec()}
    for name, spec in others.items():
        sentence = f"vector '{name}' that is {FURTHER[name]}, this process has one that is {spec}"
        with pytest.raises(StoreMismatchError, match=sentence):
            lasting_place.reopen(replace(SETTINGS, further={name: spec}))


def test_a_visitor_adds_nothing(lasting_place: Place) -> None:
    """Whoever only looks leaves the store with the vectors that it had."""
    lasting_place.open()
    assert lasting_place.reopen(visitor(WITH_FURTHER)).settings.further == {}


def test_workers_that_start_together_add_a_vector_once(double_url: str) -> None:
    """Each finds it there, whoever was first."""
    options = ServerOptions(double_url, f"together-{next(groups)}", timeout_s=30.0)
    with ThreadPoolExecutor(4) as workers:
        stores = list(workers.map(lambda _: ServerStore(options, WITH_FURTHER), range(4)))
    for at, store in enumerate(stores):
        write(store, user(str(at), at + 1, content=dense(1, 0, 0)))
    assert [store.settings.further for store in stores] == [FURTHER] * 4
    assert len(stores[0].nearest([asked(dense(1, 0, 0), "content")])[0].ids) == 4
    for store in stores:
        store.close()


def test_an_answer_that_is_lost_while_a_vector_is_added_does_no_harm(tmp_path: Path) -> None:
    """The vector is there, so the worker goes on."""
    with QdrantDouble(tmp_path) as double:
        double.fail_next("CreateVectorName", "lost_answer")
        store = ServerStore(ServerOptions(f"http://127.0.0.1:{double.port}", "users"), WITH_FURTHER)
        assert store.settings.further == FURTHER
        store.close()


def test_a_start_that_ends_before_the_vector_is_noted_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Edge, where the shard has the vector and the settings do not know it yet, the next start finds it there."""
    place = EdgePlace(tmp_path / "edge")
    write(place.open(), user("old"))
    place.shut()
    with monkeypatch.context() as crash:
        crash.setattr(EdgeStore, "_write_settings", lambda _: (_ for _ in ()).throw(StoreError("power is gone")))
        with pytest.raises(StoreError, match="power is gone"):
            place.open(WITH_FURTHER)
    store = place.open(WITH_FURTHER)
    write(store, user("new", 2, content=dense(1, 0, 0)))
    assert place.reopen().settings.further == FURTHER
    place.remove()


def test_a_server_that_does_not_take_the_note_finds_the_vector_at_the_next_start(tmp_path: Path) -> None:
    """The vector was added, its note was refused: starting again is enough."""
    with QdrantDouble(tmp_path) as double:
        options = ServerOptions(f"http://127.0.0.1:{double.port}", "users")
        ServerStore(options, SETTINGS).close()
        double.fail_next("UpdateBatch", "unavailable")
        with pytest.raises(StoreUnavailableError):
            ServerStore(options, WITH_FURTHER)
        store = ServerStore(options, WITH_FURTHER)
        assert store.settings.further == FURTHER
        store.close()


# Weighed by idf


@engine
@given(
    tastes=st.lists(st.none() | sparse_vectors, max_size=8),
    later=st.dictionaries(st.integers(0, 7), st.none() | sparse_vectors, max_size=4),
    query=sparse_vectors,
)
def test_rare_dimensions_weigh_as_the_formula_says(
    new_place: NewPlace,
    tastes: list[dict[int, float] | None],
    later: dict[int, dict[int, float] | None],
    query: dict[int, float],
) -> None:
    """ln((n − df + ½) / (df + ½) + 1) over the users as they are now, those without the vector and markers left out."""
    place = new_place()
    weighed = replace(SETTINGS, idf=True, further={"rare": VectorSpec(idf=True)})
    store, oracle = place.open(weighed), MemoryStore(weighed)
    for target in (store, oracle):
        write(target, *(twice(str(at), at + 1, taste) for at, taste in enumerate(tastes)), **{"topic.0": 5})
        changed = {at: taste for at, taste in later.items() if at < len(tastes)}
        for at, taste in changed.items():
            write(target, replace(twice(str(at), 100 + at, taste), tags=frozenset({at + 1}), missing=False))
    queries = [asked(vector(query)), asked(vector(query), "rare")]
    for found, expected in zip(store.nearest(queries), oracle.nearest(queries), strict=True):
        kept = {identity: similarity for identity, similarity in by_id(found).items() if similarity > 1e-4}
        assert kept == pytest.approx({i: s for i, s in by_id(expected).items() if s > 1e-4}, abs=1e-3, rel=1e-4)
    place.remove()


def test_a_dimension_of_one_user_in_three_weighs_ln_of_eight_thirds(new_place: NewPlace) -> None:
    """Of n = 3, df = 1 gives ln(2.5 / 1.5 + 1); a dimension that all have still counts a little, ln(0.5 / 3.5 + 1)."""
    store = new_place().open(replace(SETTINGS, idf=True))
    tastes = ({1: 1.0, 2: 1.0}, {1: 1.0}, {1: 1.0})
    write(store, *(user(str(at), at + 1, vector(taste)) for at, taste in enumerate(tastes)), user("d", 9, None))
    [rare, common] = store.nearest([asked(vector({2: 1.0})), asked(vector({1: 1.0}))])
    assert by_id(rare) == pytest.approx({point_id("0"): 0.980829}, rel=1e-5)
    assert by_id(common) == pytest.approx({point_id(str(at)): 0.133531 for at in range(3)}, rel=1e-4)


def test_a_store_stays_weighed_as_it_was_made(lasting_place: Place) -> None:
    """The modifier is part of what a store was made for, in both directions."""
    lasting_place.open()
    with pytest.raises(StoreMismatchError, match="idf = False, this process has True"):
        lasting_place.reopen(replace(SETTINGS, idf=True))
    assert lasting_place.reopen().settings == SETTINGS
