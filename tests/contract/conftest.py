"""Stores of every kind for the contract suite.

A server is always stood in for by the double; `QDRANT_URL` (http://host:grpc-port) and a Docker engine add real ones.
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
from qdrant_double import QdrantDouble
from store_places import EdgePlace, MemoryPlace, NewPlace, Place, ServerPlace

from consumers.stores.server_connection import Connection
from consumers.stores.server_options import ServerOptions
from recommender.store import Store, StoreUnavailableError

IMAGE = "qdrant/qdrant:v1.19.0"


@pytest.fixture(scope="session")
def double_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with QdrantDouble(tmp_path_factory.mktemp("double")) as double:
        yield f"http://127.0.0.1:{double.port}"


@pytest.fixture(scope="session")
def container_url() -> Iterator[str]:
    run = ["docker", "run", "--rm", "--detach", "--publish", "127.0.0.1::6334", IMAGE]
    container = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    try:
        port = subprocess.run(["docker", "port", container, "6334"], check=True, capture_output=True, text=True).stdout
        url = f"http://127.0.0.1:{port.strip().rpartition(':')[2]}"
        _await_server(url)
        yield url
    finally:
        subprocess.run(["docker", "stop", container], check=True, capture_output=True)


@stamina.retry(on=StoreUnavailableError, attempts=None, timeout=60)
def _await_server(url: str) -> None:
    connection = Connection(ServerOptions(url, "none"))
    try:
        connection.refuse_old_server()
    finally:
        connection.close()


def _has_docker_engine() -> bool:
    return (
        shutil.which("docker") is not None
        and not subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=10).returncode
    )


LASTING = ["edge", "server"]
if "QDRANT_URL" in os.environ:
    LASTING.append("server-at-url")
if _has_docker_engine():
    LASTING.append("server-in-container")


def _new_place(kind: str, request: pytest.FixtureRequest) -> NewPlace:
    match kind:
        case "memory":
            return MemoryPlace
        case "edge":
            folders: Path = request.getfixturevalue("tmp_path")
            return lambda: EdgePlace(folders / uuid.uuid4().hex)
        case "server":
            url = request.getfixturevalue("double_url")
        case "server-at-url":
            url = os.environ["QDRANT_URL"]
        case _:
            url = request.getfixturevalue("container_url")
    return lambda: ServerPlace(url)


@pytest.fixture(params=["memory", *LASTING])
def new_place(request: pytest.FixtureRequest) -> Iterator[NewPlace]:
    """Makes places of one kind; each kind of store in turn."""
    yield from _tidied(_new_place(request.param, request))


@pytest.fixture(params=LASTING)
def new_lasting_place(request: pytest.FixtureRequest) -> Iterator[NewPlace]:
    """As `new_place`, for the stores that outlive their process."""
    yield from _tidied(_new_place(request.param, request))


def _tidied(make: NewPlace) -> Iterator[NewPlace]:
    made: list[Place] = []

    def remembered() -> Place:
        made.append(make())
        return made[-1]

    yield remembered
    for place in made:
        place.remove()


@pytest.fixture
def store(new_place: NewPlace) -> Store:
    """An empty store of each kind."""
    return new_place().open()


@pytest.fixture
def lasting_place(new_lasting_place: NewPlace) -> Place:
    return new_lasting_place()
