"""What a loss of power leaves of an Edge store that was written without flushing: the ground the worker stands on.

No machine is switched off. A process writes batches, flushes some and is killed; then its files are made what a loss of
power can leave of them, page by page: of the write-ahead log the beginning, and behind the cut whatever else had come
to the disk; of everything else each page as it was at the last flush, or as it was at the end.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import unflushed_writer
from sample_states import exactly
from store_places import SETTINGS
from unflushed_writer import (
    BATCH_EVENTS,
    EVENTS,
    FLUSHED_BATCHES,
    SOURCE,
    USERS,
    state_at,
    user_of,
    vector_at,
    write_from,
)

import recommender.store
from consumers.stores.edge import EdgeStore
from recommender.store import point_id

PAGE_BYTES = 4096
WRITE_AHEAD_LOG = "wal"
EVERYONE = [f"user {number}" for number in range(USERS)]
KINDS = {"the end alone": 0.0, "the end, but for some pages": 0.5}
"""How a log is cut, and which share of its pages behind the cut is on the disk all the same."""
ROUNDS = 8


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A store's folder as of its last flush, and as it was left by a process that was killed after further writes."""
    root = tmp_path_factory.mktemp("power")
    folder, flushed = root / "killed", root / "flushed"
    roots = [str(Path(recommender.store.__file__).parents[1]), str(Path(unflushed_writer.__file__).parent)]
    with subprocess.Popen(
        [sys.executable, unflushed_writer.__file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "flushed\n"
            shutil.copytree(folder, flushed)
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert process.stdout.readline() == "written\n"
        finally:
            process.kill()
    yield flushed, folder
    shutil.rmtree(root)


def after_power_loss(flushed: Path, killed: Path, made: Path, dice: random.Random, kept_share: float) -> None:
    """Make a folder of what a loss of power may leave."""
    for path in sorted(path for path in killed.rglob("*") if path.is_file()):
        name = path.relative_to(killed)
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        before = (flushed / name).read_bytes() if (flushed / name).exists() else b""
        after = path.read_bytes()
        changed = [
            at for at in range(0, len(after), PAGE_BYTES) if after[at : at + PAGE_BYTES] != before[at : at + PAGE_BYTES]
        ]
        share = 0.5
        cut = 0
        if name.parts[0] == WRITE_AHEAD_LOG and changed:
            share = kept_share
            cut = dice.randint(changed[0], changed[-1] + PAGE_BYTES)
        _write_pages(
            made / name, before, after, [at for at in changed if at + PAGE_BYTES <= cut or dice.random() < share], cut
        )


def _write_pages(path: Path, before: bytes, after: bytes, kept: list[int], cut: int) -> None:
    """The file as it was before, with these pages as they were after, and up to the cut every byte."""
    pages = bytearray(before.ljust(len(after), b"\0"))
    for at in kept:
        pages[at : at + PAGE_BYTES] = after[at : at + PAGE_BYTES]
    pages[:cut] = after[:cut]
    with path.open("wb") as file:
        file.truncate(len(pages))
        for at in range(0, len(pages), PAGE_BYTES):
            if any(page := pages[at : at + PAGE_BYTES]):
                file.seek(at)
                file.write(page)


def assert_as_written(store: EdgeStore) -> dict[str, int]:
    """Every stored user is, bit for bit, what one of their events made, state and vector; returns which, by user."""
    found = store.read(EVERYONE, []).states
    vectors = {point.id: point.vector for point in store.points(None, USERS + 10).points}
    for user_id, state in found.items():
        offset = state.offsets[SOURCE]
        made = vector_at(offset)
        assert exactly(state) == exactly(state_at(offset))
        assert vectors[point_id(user_id)] == tuple(zip(made.indices.tolist(), made.values.tolist(), strict=True))
    return {user_id: state.offsets[SOURCE] for user_id, state in found.items()}


def last_event(user_id: str, below: int) -> int:
    return max((offset for offset in range(below) if user_of(offset) == user_id), default=-1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_the_surviving_marker_vouches_for_survived(
    killed: tuple[Path, Path], tmp_path: Path, kind: str, seed: int
) -> None:
    """Law: a prefix of the writes is left, and from its marker on everything can be written once more."""
    after_power_loss(*killed, tmp_path / "store", random.Random(seed), KINDS[kind])  # noqa: S311 - no secret
    store = EdgeStore(tmp_path / "store", SETTINGS, disk_reserve_bytes=0)
    marker = store.read([], [SOURCE]).markers[SOURCE]
    assert marker >= (FLUSHED_BATCHES - 1) * BATCH_EVENTS - 1
    found = assert_as_written(store)
    assert all(found.get(user_id, -1) >= last_event(user_id, marker + 1) for user_id in EVERYONE)
    assert max(found.values()) <= marker + BATCH_EVENTS
    write_from(store, marker + 1)
    everything = {user_id: last_event(user_id, EVENTS) for user_id in EVERYONE}
    assert assert_as_written(store) == everything
    store.close()
    again = EdgeStore(tmp_path / "store", SETTINGS, disk_reserve_bytes=0)
    assert assert_as_written(again) == everything
    again.close()
