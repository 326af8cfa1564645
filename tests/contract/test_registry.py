"""Dimensions of items whose ids are text, law by law, for each kind of table."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_double import QdrantDouble
from store_places import SETTINGS

import recommender.registry
from consumers.stores.edge_items import EdgeItemTable
from consumers.stores.server import ServerStore
from consumers.stores.server_items import ITEMS_SUFFIX, ServerItemTable
from consumers.stores.server_options import ServerOptions
from recommender.registry import PROBES_MAX, ItemRegistry, ItemTable, MemoryTable, Probe, probe
from recommender.store import (
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreUnavailableError,
)

NewTable = Callable[[], ItemTable]
"""Opens a table; of a server or a memory the same one again and again, as other processes would."""

SKUS = [f"SKU-{number}" for number in range(2_500)]


def crowded(item_id: str, number: int) -> int:
    """Every id at the same four places, one after the other, then at places of its own."""
    return number if number < 4 else 10 + probe(item_id, number) % 1_000


def rivals(item_id: str, number: int) -> int:
    """The first two places of every id among 64."""
    return probe(item_id, number) % 64 if number < 2 else probe(item_id, number)


def options(url: str) -> ServerOptions:
    return ServerOptions(url, f"items-{uuid.uuid4().hex}", os.environ.get("QDRANT_API_KEY"), timeout_s=30.0)


@pytest.fixture(params=["memory", "edge", "server"])
def new_table(request: pytest.FixtureRequest, tmp_path: Path, double_url: str) -> Iterator[NewTable]:
    opened: list[ItemTable] = []
    memory, place = MemoryTable(), options(double_url)

    def table() -> ItemTable:
        match request.param:
            case "memory":
                return memory
            case "edge":
                for one in opened:
                    one.close()
                opened[:] = [EdgeItemTable(tmp_path / "items", 0)]
            case _:
                opened.append(ServerItemTable(place))
        return opened[-1]

    yield table
    for one in opened:
        one.close()


def test_an_id_has_one_dimension_for_ever(new_table: NewTable) -> None:
    """Law: asked again, by another process, in another order or company, an id has the dimension it was given."""
    first = ItemRegistry(new_table()).dimensions(SKUS)
    assert len(set(first.values())) == len(SKUS)
    assert all(0 <= dimension < 2**32 for dimension in first.values())
    again = ItemRegistry(new_table())
    assert again.dimensions([*reversed(SKUS[:50]), "another"]).items() >= {sku: first[sku] for sku in SKUS[:50]}.items()
    assert again.ids(first.values()) == {dimension: sku for sku, dimension in first.items()}
    assert again.known(SKUS) == first


def test_without_collisions_the_dimension_is_the_hash(new_table: NewTable) -> None:
    """Law: a dimension is the 32-bit BLAKE2b hash of the id, so that a registry that is made anew agrees."""
    found = ItemRegistry(new_table()).dimensions(["tt0111161", "Ünïcødé", "123"])
    assert found == {"tt0111161": 1_976_062_238, "Ünïcødé": 4_157_087_770, "123": 876_999_198}


def test_asking_gives_no_dimension(new_table: NewTable) -> None:
    """Law: `known`, `expected` and `ids` assign nothing; `expected` says what an assignment then gives."""
    registry = ItemRegistry(new_table(), probe=crowded)
    registry.dimensions(["a"])
    assert registry.known(["a", "b"]) == {"a": 0}
    assert registry.expected(["a", "b"]) == {"a": 0, "b": 1}
    assert (registry.known(["b"]), registry.ids([1])) == ({}, {})
    assert registry.dimensions(["b"]) == {"b": 1}
    assert (registry.dimensions([]), registry.known([]), registry.ids([])) == ({}, {}, {})


def test_ids_that_collide_get_different_dimensions(new_table: NewTable) -> None:
    """Law: ids of one hash go on to their next places, in one call as in several, and are found there again."""
    registry = ItemRegistry(new_table(), probe=crowded)
    found = dict(registry.dimensions(["a", "b", "c"])) | dict(registry.dimensions(["d", "e", "f"]))
    assert sorted(found.values())[:4] == [0, 1, 2, 3]
    assert len(set(found.values())) == len(found)
    again = ItemRegistry(new_table(), probe=crowded)
    assert again.known([*found, "g"]) == found
    assert again.ids(found.values()) == {dimension: item for item, dimension in found.items()}


def test_probes_are_bounded(new_table: NewTable) -> None:
    """Law: an id whose places are all taken is an error that names it; those that were registered stay."""
    registry = ItemRegistry(new_table(), probe=lambda _item_id, number: min(number, 2))
    assert registry.dimensions(["a", "b", "c"]) == {"a": 0, "b": 1, "c": 2}
    with pytest.raises(StoreError, match=f"'d' finds no free dimension in {PROBES_MAX} probes"):
        registry.dimensions(["d"])
    with pytest.raises(StoreError, match="'d'"):
        registry.known(["d"])
    assert registry.known(["a"]) == {"a": 0}


def test_a_cache_that_is_too_small_changes_nothing(new_table: NewTable) -> None:
    """Law: what does not fit in memory is read again, both ways; memory stays within its limit."""
    registry = ItemRegistry(new_table(), cached_items_max=3)
    found = registry.dimensions(SKUS[:20])
    assert registry.known(SKUS[:20]) == found
    assert registry.ids(found.values()) == {dimension: sku for sku, dimension in found.items()}
    assert len(registry._ids) == len(registry._dimensions) == 3
    assert {item: dimension for dimension, item in registry._ids.items()} == registry._dimensions


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.lists(st.text(min_size=1, max_size=3), max_size=6), max_size=6), places=st.integers(1, 50))
def test_every_table_answers_as_memory_does(new_table: NewTable, calls: list[list[str]], places: int) -> None:
    """Law: after any calls, with any collisions, every kind of table has given the dimensions that memory gives."""
    run = uuid.uuid4().hex

    def few(item_id: str, number: int) -> int:
        return probe(run + item_id, number) if number > 3 else probe(run, probe(item_id, number) % places)

    real, oracle = ItemRegistry(new_table(), probe=few), ItemRegistry(MemoryTable(), probe=few)
    for call in calls:
        assert real.expected(call) == oracle.expected(call)
        assert real.dimensions(call) == oracle.dimensions(call)


def test_two_who_register_at_once_agree(double_url: str) -> None:
    """Law: workers that register the same and colliding ids at the same time all read the same dimensions."""
    place = options(double_url)

    def registered(worker: int) -> Mapping[str, int]:
        table = ServerItemTable(place)
        try:
            registry = ItemRegistry(table, probe=rivals)
            order = SKUS[:100] if worker % 2 else SKUS[99::-1]
            found: dict[str, int] = {}
            for start in range(0, 100, 10):
                found |= registry.dimensions(order[start : start + 10])
            return found
        finally:
            table.close()

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(registered, range(4))
    assert all(other == first for other in others)
    assert len(set(first.values())) == 100


class _Faster:
    """A table in front of which another process registers an id of its own between a look and the write."""

    def __init__(self, table: ItemTable, other: str, use: Probe) -> None:
        self._table = table
        self._other: str | None = other
        self._use = use

    def read(self, dimensions: list[int]) -> Mapping[int, str]:
        return self._table.read(dimensions)

    def insert(self, ids: Mapping[int, str]) -> None:
        if self._other is not None:
            other, self._other = self._other, None
            ItemRegistry(self._table, probe=self._use).dimensions([other])
        self._table.insert(ids)

    def close(self) -> None:
        self._table.close()


def test_whoever_comes_second_reads_what_stands_there(new_table: NewTable) -> None:
    """Law: an id that another process put first keeps its place; the loser of the race goes on to its next one."""
    table = new_table()
    slower = ItemRegistry(_Faster(table, "other", crowded), probe=crowded)  # type: ignore[arg-type]
    assert slower.dimensions(["mine"]) == {"mine": 1}
    assert ItemRegistry(table, probe=crowded).known(["mine", "other"]) == {"other": 0, "mine": 1}


# What only Edge promises

OWNER = """
import sys
from pathlib import Path
from consumers.stores.edge_items import EdgeItemTable
from recommender.registry import ItemRegistry
registry = ItemRegistry(EdgeItemTable(Path(sys.argv[1]), 0))
found = registry.dimensions([f"SKU-{number}" for number in range(300)])
print(sorted(found.items()), flush=True)
sys.stdin.read()
"""


def test_what_was_assigned_survives_a_kill(tmp_path: Path) -> None:
    """Law: after kill -9 right after an assignment, before anything used it, every dimension is as it was given."""
    roots = str(Path(recommender.registry.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "items")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": roots},
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        with pytest.raises(StoreBusyError, match="another process holds"):
            EdgeItemTable(tmp_path / "items", 0)
        process.send_signal(signal.SIGKILL)
        process.wait()
    table = EdgeItemTable(tmp_path / "items", 0)
    assert str(sorted(ItemRegistry(table).known(SKUS).items())) + "\n" == told
    table.close()


def test_nothing_is_assigned_before_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: a registration flushes before it returns, and one that cannot be flushed is an error."""
    table = EdgeItemTable(tmp_path / "items", 0)
    flushed: list[int] = []

    class Shard:
        def __init__(self, shard: object) -> None:
            self._shard = shard

        def __getattr__(self, name: str) -> object:
            return getattr(self._shard, name)

        def flush(self) -> None:
            flushed.append(1)
            raise OSError("the disk is gone")

    monkeypatch.setattr(table, "_shard", Shard(table._shard))
    with pytest.raises(StoreError, match="the disk is gone"):
        ItemRegistry(table).dimensions(["a"])
    assert flushed == [1]
    table.close()


def test_an_item_is_not_registered_while_the_disk_is_nearly_full(tmp_path: Path) -> None:
    """Law: under the reserve nothing is written, as a full disk would end the process."""
    table = EdgeItemTable(tmp_path / "items", 2**62)
    with pytest.raises(StoreFullError, match="make room"):
        ItemRegistry(table).dimensions(["a"])
    assert ItemRegistry(table).known(["a"]) == {}
    table.close()


# What only a server does


@pytest.fixture
def double(tmp_path: Path) -> Iterator[QdrantDouble]:
    with QdrantDouble(tmp_path / "double") as made:
        yield made


def test_a_server_that_is_away_is_asked_again(double: QdrantDouble) -> None:
    """Law: an error leaves the registry as it was, and the same call again gives what the first would have given."""
    table = ServerItemTable(options(f"http://127.0.0.1:{double.port}"))
    registry = ItemRegistry(table)
    for method in ("Get", "UpdateBatch"):
        double.fail_next(method, "unavailable")
        with pytest.raises(StoreUnavailableError):
            registry.dimensions(["a", "b"])
    assert registry.dimensions(["a", "b"]) == {"a": probe("a", 0), "b": probe("b", 0)}
    calls = double.calls.copy()
    registry.dimensions(["b", "a"])
    assert double.calls == calls
    table.close()


def test_the_users_collection_is_no_registry(double: QdrantDouble) -> None:
    """Law: where the registry's name is another deployment's collection of users, nothing is written into it."""
    place = options(f"http://127.0.0.1:{double.port}")
    users = ServerOptions(place.url, place.collection + ITEMS_SUFFIX, timeout_s=30.0)
    ServerStore(users, SETTINGS).close()
    with pytest.raises(StoreMismatchError, match="holds users"):
        ServerItemTable(place)


def test_a_table_of_something_else_is_told(tmp_path: Path) -> None:
    """Law: a point that is no item is an error of ours, not an id."""
    table = EdgeItemTable(tmp_path / "items", 0)
    engine = pytest.importorskip("qdrant_edge")
    table._shard.update(engine.UpdateOperation.upsert_points([engine.Point(7, {}, {"name": "theirs"})]))
    with pytest.raises(StoreMismatchError, match="points that are no items"):
        ItemRegistry(table).ids([7])
    table.close()
