"""What only Qdrant Edge promises: one process, a disk that does not fill up, and states that survive its death."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import qdrant_edge
from sample_states import insert, replace_tagged, sample_state, tags, vector, write
from store_places import SETTINGS

import recommender.store
from consumers.stores.edge import EdgeStore
from recommender.store import StoreBusyError, StoreError, StoreFullError, StoreMismatchError, StoreUnavailableError

NUM_USERS = 300
OWNER = f"""
import sys
from pathlib import Path
from sample_states import insert, sample_state, write
from store_places import SETTINGS
from consumers.stores.edge import EdgeStore
store = EdgeStore(Path(sys.argv[1]), SETTINGS, disk_reserve_bytes=0)
for number in range({NUM_USERS}):
    write(store, insert(sample_state(f"user {{number}}", number + 1)), **{{"topic.0": number}})
store.flush()
print("flushed", flush=True)
sys.stdin.read()
"""


@contextmanager
def owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the store in a folder and has flushed users into it."""
    roots = [str(Path(recommender.store.__file__).parents[1]), str(Path(__file__).parents[1] / "doubles")]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots)},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "flushed\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """While one process holds the folder, another gets a sentence with the folder and the setting, and no damage."""
    with owner(tmp_path / "store"):
        with pytest.raises(
            StoreError, match=r"another process holds the store at .*store.*qdrant\.edge_path"
        ) as refusal:
            EdgeStore(tmp_path / "store", SETTINGS)
        assert not isinstance(refusal.value, StoreUnavailableError)


def test_a_second_opening_in_one_process_is_refused(tmp_path: Path) -> None:
    """The same holds within a process, until the first is closed."""
    first = EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=0)
    with pytest.raises(StoreError, match="another process holds the store"):
        EdgeStore(tmp_path, SETTINGS)
    first.close()
    EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=0).close()


def test_a_refused_process_does_the_owner_no_harm(tmp_path: Path) -> None:
    """The owner goes on writing and flushing, and keeps everything: the engine's own refusal would come too late."""
    first = EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=0)
    for start in range(0, NUM_USERS, 100):
        users = range(start, start + 100)
        write(first, *(insert(sample_state(str(user), user + 1), vector({user: 1.0, 5_000: 2.0})) for user in users))
        first.flush()
        with pytest.raises(StoreBusyError):
            EdgeStore(tmp_path, SETTINGS)
    first.close()
    again = EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=0)
    everyone = {str(user): user + 1 for user in range(NUM_USERS)}
    assert tags(again, everyone) == everyone
    again.close()


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    """After kill -9 every state and marker that a flush returned for is there."""
    with owner(tmp_path / "store") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    store = EdgeStore(tmp_path / "store", SETTINGS, disk_reserve_bytes=0)
    everyone = {f"user {number}": number + 1 for number in range(NUM_USERS)}
    assert tags(store, everyone) == everyone
    assert store.read([], ["topic.0"]).markers == {"topic.0": NUM_USERS - 1}
    store.close()


def test_a_write_is_refused_while_the_disk_is_nearly_full(tmp_path: Path) -> None:
    """Under the reserve neither a write nor a flush is tried, nothing changes, and reading goes on."""
    ample = EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=0)
    write(ample, insert(sample_state("u", 1), vector({1: 1.0})))
    ample.close()
    tight = EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=2**62)
    with pytest.raises(StoreFullError, match=r"MiB are free at .*make room"):
        write(tight, replace_tagged(sample_state("u", 2), 1), **{"topic.0": 3})
    with pytest.raises(StoreFullError):
        tight.flush()
    assert tags(tight, ["u"]) == {"u": 1}
    assert not tight.read([], ["topic.0"]).markers


def test_a_store_goes_on_after_it_was_optimised(tmp_path: Path) -> None:
    """Tidying segments changes no state, and conditions hold afterwards as before."""
    store = EdgeStore(tmp_path, SETTINGS, disk_reserve_bytes=0)
    write(store, *(insert(sample_state(str(at), at + 1), vector({1: 1.0})) for at in range(50)))
    store.optimize()
    write(store, replace_tagged(sample_state("7", 100), 8), replace_tagged(sample_state("8", 200), 8))
    assert tags(store, map(str, range(50))) == {**{str(at): at + 1 for at in range(50)}, "7": 100}
    store.close()


def test_a_shard_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A shard that holds points but no settings of ours is left alone."""
    config = qdrant_edge.EdgeConfig(sparse_vectors={"other": qdrant_edge.EdgeSparseVectorParams()})
    shard = qdrant_edge.EdgeShard.create(str(tmp_path), config)
    shard.update(qdrant_edge.UpdateOperation.upsert_points([qdrant_edge.Point(1, {}, {"name": "theirs"})]))
    shard.close()
    with pytest.raises(StoreMismatchError, match="is no store of ours"):
        EdgeStore(tmp_path, SETTINGS)


def test_a_folder_that_cannot_be_used_is_an_error_of_ours(tmp_path: Path) -> None:
    """Where a file stands in the way, the sentence names the place."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be opened"):
        EdgeStore(tmp_path / "file", SETTINGS)
