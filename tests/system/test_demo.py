"""The demonstration as a stranger runs it: in a process of its own, with a Kafka of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from consumers.demo.verdict import SentRating, compare
from consumers.settings import Settings
from consumers.settings_mapping import store_settings
from consumers.stores.edge import EdgeStore
from producers.datasets import bundled_dataset
from producers.tables import time_order
from recommender.profile import History
from recommender.store import StateWrite, UserWrite
from recommender.vector import ValueRule, user_vector

TASTESTREAM = [sys.executable, "-m", "consumers"]
IGNORING_SIGINT = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
"""What a shell without job control does to a command that it runs in the background."""
RATINGS = Path(__file__).parents[2] / "producers" / "data" / "ml-latest-small.zip"
CHECK = Path(__file__).with_name("independent_check.py")
USERS = 610
EVENTS = 100_836
DEMO_TIMEOUT_S = 300


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead the demo to another Kafka or to other settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TASTESTREAM_Q", "KAFKA_"))}
    return {**kept, "COLUMNS": "120", **more}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A demonstration of all ratings: what it printed, and the folder it kept."""
    folder = tmp_path_factory.mktemp("demo")
    command = [*TASTESTREAM, "demo", "--json", "--folder", str(folder)]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=DEMO_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), folder


@pytest.fixture
def store_copy(finished: tuple[dict[str, Any], Path], tmp_path: Path) -> Path:
    """A copy of the store that the demonstration left, to be patched."""
    return Path(shutil.copytree(finished[1] / "store", tmp_path / "store"))


def dumped(store: Path, to: Path) -> Path:
    """The store as `tastestream dump` prints it."""
    variables = environment(TASTESTREAM_QDRANT__EDGE_PATH=str(store))
    subprocess.run([*TASTESTREAM, "dump", "--out", str(to)], env=variables, check=True, timeout=DEMO_TIMEOUT_S)
    return to


def checked(dump: Path) -> subprocess.CompletedProcess[str]:
    """What the independent script says of a dump."""
    command = [sys.executable, "-I", str(CHECK), str(RATINGS), str(dump)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEMO_TIMEOUT_S)


def patch_one_rating(store: EdgeStore, user_id: str) -> None:
    """Change the first rating of a user behind the service's back."""
    state = store.read([user_id], []).states[user_id]
    ratings = state.history.ratings.copy()
    ratings[0] = 5.5 - ratings[0]
    history = History(state.history.items, ratings, state.history.rated_at)
    patched = replace(state, history=history, tag=state.tag + 1)
    write = UserWrite(user_id, patched, user_vector(history, ValueRule()), frozenset({state.tag}), missing=False)
    store.write(StateWrite({}, [write]))


def test_all_ratings_arrive_and_the_demo_says_so(finished: tuple[dict[str, Any], Path]) -> None:
    """Every rating is in the store and none is refused or doubled, by the demo's own batch computation."""
    report, _ = finished
    assert report["events"] == EVENTS
    assert report["verify"] == {"users": USERS, "mismatches": 0}
    assert report["dead_letters"] == 0
    assert report["duplicates_skipped"] == 0
    assert report["lists"] >= USERS
    assert report["refreshes_per_s"] > 0
    assert report["freshness_ms"]["p50"] <= report["freshness_ms"]["p99"]


def test_an_independent_script_finds_every_user_right(finished: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """Mean, count and items of all 610 users equal what the CSV says, by code that shares nothing with ours."""
    answer = checked(dumped(finished[1] / "store", tmp_path / "dump.jsonl"))
    assert answer.stdout.splitlines()[-1] == f"{USERS} users, 0 wrong"
    assert answer.returncode == 0


def test_one_patched_rating_is_found(store_copy: Path, tmp_path: Path) -> None:
    """A single rating changed in the store is named by the script and by the demo's comparison."""
    with_store = EdgeStore(store_copy, store_settings(Settings()))
    try:
        patch_one_rating(with_store, "42")
        rows = time_order(bundled_dataset().ratings).rows()
        verdict = compare(with_store, (SentRating(str(u), int(i), r, at) for u, i, r, at in rows))
    finally:
        with_store.close()
    assert list(verdict.mismatches) == ["42"]
    answer = checked(dumped(store_copy, tmp_path / "dump.jsonl"))
    assert answer.returncode == 1
    assert answer.stdout.startswith("user 42: ")
    assert answer.stdout.splitlines()[-1] == f"{USERS} users, 1 wrong"


def test_on_a_terminal_the_change_of_a_list_is_told() -> None:
    """The text shows one viewer's list before and after telling ratings, the change in a line, and the summary."""
    done = subprocess.run(
        [*TASTESTREAM, "demo", "--events", "2000"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the list now") == 2
    assert "The change: " in done.stdout
    assert ", 0 wrong" in done.stdout


@pytest.fixture
def own_temporary_folder(tmp_path: Path) -> Path:
    """A folder in which the demonstration makes all its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("descendants", [1, 2], ids=["while the broker starts", "while the worker runs"])
def test_ctrl_c_leaves_nothing_behind(own_temporary_folder: Path, descendants: int) -> None:
    """After Ctrl-C no process, port or file is left and the exit code says why, though a script ran it with `&`."""
    demo = psutil.Popen(
        [*IGNORING_SIGINT, *TASTESTREAM, "demo", "--events", "20000"],
        env=environment(TMPDIR=str(own_temporary_folder)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        family = awaited_family(demo, descendants)
        ports = {c.laddr.port for process in family for c in process.net_connections("tcp") if c.status == "LISTEN"}
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=60) == 130
        gone, alive = psutil.wait_procs(family, timeout=20)
    finally:
        if demo.is_running():
            demo.kill()
    assert not alive
    assert len(gone) >= descendants
    assert all(is_free(port) for port in ports)
    assert list(own_temporary_folder.iterdir()) == []


def awaited_family(demo: psutil.Popen, descendants: int) -> list[psutil.Process]:
    """The demonstration's processes, once there are enough of them."""
    while len(family := demo.children(recursive=True)) < descendants:
        assert demo.poll() is None, "the demonstration ended by itself"
        psutil.wait_procs([demo], timeout=0.05)
    return family


def is_free(port: int) -> bool:
    """Whether nobody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
