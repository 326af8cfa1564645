"""Which store is the current one: one suite for the folders of Edge and the aliases of a server."""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from qdrant_double import QdrantDouble
from store_places import SETTINGS

from consumers.stores.edge_generations import EdgeGenerations
from consumers.stores.generations import Generation, Generations, Lineage, later_name, visitor
from consumers.stores.server_generations import ServerGenerations
from consumers.stores.server_options import ServerOptions
from recommender.profile import UserState
from recommender.store import StateWrite, StoreBusyError, StoreError, StoreMismatchError, UserWrite

LATER = later_name(2, "0123abcd")
OTHER = later_name(2, "ffffffff")

Reopened = Callable[[], Generations]
"""Another process's view of the same place."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if running := os.environ.get("QDRANT_URL"):
        yield running
        return
    with QdrantDouble(tmp_path_factory.mktemp("qdrant")) as double:
        yield f"http://127.0.0.1:{double.port}"


@pytest.fixture(params=["edge", "server"])
def reopened(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> Iterator[Reopened]:
    options = ServerOptions(url, f"generations-{uuid.uuid4().hex}", os.environ.get("QDRANT_API_KEY"), timeout_s=30.0)
    opened: list[Generations] = []

    def again() -> Generations:
        is_edge = request.param == "edge"
        place: Generations = EdgeGenerations(tmp_path / "edge", 0) if is_edge else ServerGenerations(options)
        opened.append(place)
        return place

    yield again
    for place in opened:
        place.close()
    place = again()
    for name in [place.lineage().current.name, place.lineage().previous or "", *place.others()]:
        if request.param == "server" and name:
            place._connection.models.delete_collection(name)  # type: ignore[attr-defined]
    place.close()


@pytest.fixture
def place(reopened: Reopened) -> Generations:
    """A place with an origin that holds one user."""
    made = reopened()
    fill(made, made.lineage().current.name, 1)
    return made


def fill(place: Generations, name: str, epoch: int) -> None:
    """Make a generation that holds one user, whose number of events is the epoch."""
    store = place.open(name, replace(SETTINGS, epoch=epoch))
    write = UserWrite("ann", UserState("ann", count=epoch, tag=epoch), None, frozenset(), missing=True)
    store.write(StateWrite({"t:0": 10 * epoch}, [write]))
    store.close()


def content(place: Generations, name: str) -> tuple[int, int]:
    """The epoch of a generation, and its user's number of events."""
    store = place.open(name, SETTINGS)
    try:
        return store.settings.epoch, store.read(["ann"], []).states["ann"].count
    finally:
        store.close()


def test_without_anything_the_origin_is_current(reopened: Reopened) -> None:
    """Law: where nothing was ever switched, the store that the settings name is the one, made or not, of epoch 1."""
    place = reopened()
    before = place.lineage()
    assert not place.exists(before.current.name)
    assert (before.current.epoch, before.previous, list(place.others())) == (1, None, [])
    fill(place, before.current.name, 1)
    assert place.exists(before.current.name)
    assert reopened().lineage() == before


def test_a_switch_is_seen_by_others_as_a_whole(place: Generations, reopened: Reopened) -> None:
    """Law: after a switch every process finds the new one current and the old one kept; both hold what they held."""
    other = reopened()
    origin, name = place.lineage().current.name, place.named(LATER)
    fill(place, name, 2)
    assert other.lineage() == Lineage(Generation(origin, 1))
    assert list(other.others()) == [name]
    place.switch(Lineage(Generation(name, 2), origin))
    assert other.lineage() == place.lineage() == Lineage(Generation(name, 2), origin)
    assert list(other.others()) == []
    assert (content(other, name), content(other, origin)) == ((2, 2), (1, 1))


def test_a_switch_back_is_a_switch(place: Generations, reopened: Reopened) -> None:
    """Law: the kept one can be current again, under the epoch that it was raised to, and the other one is kept."""
    origin, name = place.lineage().current.name, place.named(LATER)
    fill(place, name, 2)
    place.switch(Lineage(Generation(name, 2), origin))
    store = place.open(origin, SETTINGS)
    store.raise_epoch(3)
    store.raise_epoch(2)
    assert store.settings.epoch == 3
    store.close()
    place.switch(Lineage(Generation(origin, 3), name))
    assert reopened().lineage() == Lineage(Generation(origin, 3), name)
    assert content(place, origin) == (3, 1)


def test_the_origin_can_be_deleted(place: Generations, reopened: Reopened) -> None:
    """Law: deleting what is kept leaves the current one whole and nothing else, the origin's files included."""
    origin, name = place.lineage().current.name, place.named(LATER)
    fill(place, name, 2)
    place.switch(Lineage(Generation(name, 2), origin))
    place.drop(origin)
    assert reopened().lineage() == Lineage(Generation(name, 2))
    assert not place.exists(origin)
    assert list(place.others()) == []
    assert content(place, name) == (2, 2)


def test_the_current_one_is_never_deleted(place: Generations) -> None:
    """Law: neither the origin nor a later one goes while it is current."""
    origin, name = place.lineage().current.name, place.named(LATER)
    with pytest.raises(StoreError, match="is the current one"):
        place.drop(origin)
    fill(place, name, 2)
    place.switch(Lineage(Generation(name, 2), origin))
    with pytest.raises(StoreError, match="is the current one"):
        place.drop(name)
    assert content(place, name) == (2, 2)


def test_unfinished_ones_are_found_and_deleted(place: Generations) -> None:
    """Law: what is neither current nor kept is listed until it is deleted."""
    for name in (LATER, OTHER):
        fill(place, place.named(name), 2)
    assert list(place.others()) == [place.named(LATER), place.named(OTHER)]
    place.drop(place.named(LATER))
    assert list(place.others()) == [place.named(OTHER)]
    place.drop(place.named(OTHER))
    assert list(place.others()) == []
    assert content(place, place.lineage().current.name) == (1, 1)


def test_a_visitor_reads_a_store_of_other_settings(place: Generations) -> None:
    """Law: who uses a store must have its settings; who visits it need not, and changes none of them."""
    origin = place.lineage().current.name
    others = replace(SETTINGS, scale_max=10.0, value_rule="v9")
    with pytest.raises(StoreMismatchError, match="tastestream rebuild"):
        place.open(origin, others)
    store = place.open(origin, visitor(others))
    assert store.settings == SETTINGS
    assert [state.count for _, state in store.scan(None, 10).states] == [1]
    store.close()
    assert content(place, origin) == (1, 1)


@pytest.fixture
def edge(tmp_path: Path) -> EdgeGenerations:
    made = EdgeGenerations(tmp_path / "edge", 0)
    fill(made, made.lineage().current.name, 1)
    return made


def test_one_process_changes_the_folders_of_edge(edge: EdgeGenerations, tmp_path: Path) -> None:
    """Law: of two rebuilds the second one ends and says why; when the first one is done, it may."""
    edge.claim()
    second = EdgeGenerations(tmp_path / "edge", 0)
    with pytest.raises(StoreBusyError, match="another `tastestream rebuild`"):
        second.claim()
    edge.close()
    second.claim()
    second.close()


def test_what_a_worker_holds_is_not_deleted(edge: EdgeGenerations) -> None:
    """Law: a store that some process has open stays, and stays known."""
    origin, name = edge.lineage().current.name, edge.named(LATER)
    fill(edge, name, 2)
    edge.switch(Lineage(Generation(name, 2), origin))
    held = edge.open(origin, SETTINGS)
    with pytest.raises(StoreBusyError):
        edge.drop(origin)
    held.close()
    assert edge.lineage().previous == origin
    assert content(edge, origin) == (1, 1)


def test_a_deletion_that_was_cut_short_is_found(edge: EdgeGenerations, tmp_path: Path) -> None:
    """Law: half an origin that nobody knows any more is listed, and deleted the next time."""
    origin, name = edge.lineage().current.name, edge.named(LATER)
    fill(edge, name, 2)
    edge.switch(Lineage(Generation(name, 2)))
    (tmp_path / "edge" / "edge_config.json").unlink()
    assert list(edge.others()) == [origin]
    edge.drop(origin)
    assert list(edge.others()) == []
    assert content(edge, name) == (2, 2)


@pytest.mark.parametrize("text", ["", "{}", '{"current": "../elsewhere", "epoch": 2, "previous": null}', "\0"])
def test_a_pointer_that_says_nothing_is_refused(edge: EdgeGenerations, tmp_path: Path, text: str) -> None:
    """Law: a damaged pointer is never taken for the origin, nor followed out of the folder; the file is named."""
    pointer = tmp_path / "edge" / "current"
    pointer.write_text(text)
    with pytest.raises(StoreError, match=str(pointer)):
        edge.lineage()


def test_a_draft_of_the_pointer_counts_for_nothing(edge: EdgeGenerations, tmp_path: Path) -> None:
    """Law: a process that ended while it wrote the pointer has changed nothing."""
    before = edge.lineage()
    (tmp_path / "edge" / "current.draft").write_text('{"current": "epo')
    assert edge.lineage() == before
    assert list(edge.others()) == []


def test_an_answer_that_was_lost_does_not_hide_the_switch(tmp_path: Path) -> None:
    """Law: where the server switched and its answer got lost, the switch stands, and is no error."""
    with QdrantDouble(tmp_path / "qdrant") as double:
        place = ServerGenerations(ServerOptions(f"http://127.0.0.1:{double.port}", "users", timeout_s=5.0))
        fill(place, "users", 1)
        fill(place, place.named(LATER), 2)
        double.fail_next("Collections.UpdateAliases", "lost_answer")
        place.switch(Lineage(Generation(place.named(LATER), 2), "users"))
        assert place.lineage() == Lineage(Generation(place.named(LATER), 2), "users")
        double.fail_next("Collections.UpdateAliases", "unavailable")
        with pytest.raises(StoreError, match="switch the aliases"):
            place.switch(Lineage(Generation("users", 3), place.named(LATER)))
        assert place.lineage().current.name == place.named(LATER)
        place.close()
