"""The log of an Edge shard over the real engine: no hole in it can lie before a marker."""

import os
from pathlib import Path

import pytest
import unflushed_writer
from hypothesis import given
from hypothesis import settings as examples
from sample_states import history, insert, sample_state, states, vector
from store_places import SETTINGS
from unflushed_writer import BATCH_EVENTS, write_from

from consumers.stores import edge_log
from consumers.stores.edge import EdgeStore
from consumers.stores.edge_log import EdgeLog, bytes_max
from recommender.profile import Repeats, UserState
from recommender.store import StateWrite

BATCHES = 120
"""More than two segments take."""
LOOK_BYTES = 4 * 1024 * 1024
"""More than all that is written here otherwise."""


class Watched:
    """A shard that writes down its flushes and updates, and which segments were full after each."""

    def __init__(self, shard: object, folder: Path) -> None:
        self._shard = shard
        self._folder = folder
        self.story: list[str] = []
        self.full: set[str] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._shard, name)

    def flush(self) -> None:
        self.story.append("flush")
        self._shard.flush()  # type: ignore[attr-defined]

    def update(self, operation: object) -> None:
        self._shard.update(operation)  # type: ignore[attr-defined]
        full = {path.name for path in (self._folder / "wal").glob("closed-*")}
        self.story.append("rolled" if full - self.full else "update")
        self.full |= full


def test_a_segment_is_only_left_right_after_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law: everything before the request that fills a segment is on the disk, and the full segment before the next."""
    monkeypatch.setattr(unflushed_writer, "HISTORY_ENTRIES", 4_000)
    monkeypatch.setattr(unflushed_writer, "EVENTS", BATCHES * BATCH_EVENTS)
    store = EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=0)
    watched = Watched(store._shard, tmp_path)
    store._shard = watched  # type: ignore[assignment]
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    monkeypatch.setattr(os, "fsync", fsync)
    flushes = 0
    for batch in range(BATCHES):
        watched.story.clear()
        write_from(store, batch * BATCH_EVENTS, 1)
        flushes += watched.story.count("flush")
        if "rolled" in watched.story:
            assert watched.story[0] == "flush"
            assert watched.full <= set(synced)
    assert len(watched.full) > 1
    assert flushes < 5 * len(watched.full)
    store.close()


def grown(store: EdgeStore, folder: Path, request: StateWrite) -> int:
    """How many bytes of the log a request takes."""
    before = used(folder, 0)
    store.write(request)
    return used(folder, before) - before


def used(folder: Path, at_least: int) -> int:
    """Where the log's last entry ends, which is behind so many bytes."""
    ends = []
    for path in (folder / "wal").glob("open-*"):
        with path.open("rb") as file:
            file.seek(at_least)
            ends.append(at_least + len(file.read(LOOK_BYTES).rstrip(b"\0")))
    return max(ends)


LARGE = sample_state(
    "ü" * 128,
    2**63 - 1,
    history=history(*((2**32 - 1 - item, 1 / 3, 2**62) for item in range(3_000))),
    seen=history(*((2**32 - 1 - item, 1.0, 1) for item in range(3_000))).items,
    attributes={f"attribute {n}": 1 / 3 for n in range(50)} | {"text": "\U0001f600" * 500},
    offsets={f"{'t' * 22}:{n}": 2**63 - 1 for n in range(20)},
    repeats=dict.fromkeys(range(500), Repeats(1 / 3, 5)),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def store(place: Path) -> EdgeStore:
    return EdgeStore(place, SETTINGS, disk_reserve_bytes=0)


@examples(max_examples=30, deadline=None)
@given(state=states("u"))
def test_a_request_takes_no_more_than_is_said(state: UserState, store: EdgeStore, place: Path) -> None:
    """Law: whatever a state holds, its request takes fewer bytes of the log than its room is checked for."""
    request = StateWrite({"topic.0": 2**62}, [insert(state, vector(dict.fromkeys(range(300), 0.1)))])
    assert 0 < grown(store, place, request) < bytes_max(request)


def test_a_large_request_takes_no_more_than_is_said(store: EdgeStore, place: Path) -> None:
    """Law: the same, where everything is as large as it gets."""
    request = StateWrite({f"{'t' * 22}:{n}": 2**62 for n in range(100)}, [insert(LARGE, vector({2**32 - 1: 1 / 3}))])
    assert 0 < grown(store, place, request) < bytes_max(request)


def test_room_is_what_is_left_of_the_segment(tmp_path: Path) -> None:
    """Law: at most what is left, and at least all of it but a block."""
    store = EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=0)
    write_from(store, 0, 40)
    left = 32 * 1024 * 1024 - used(tmp_path, 0)
    log = EdgeLog(tmp_path)
    assert not log.has_room(left + 1)
    assert log.has_room(left - edge_log._BLOCK_BYTES)
    store.close()
